//! A compiler that can build `core` for the kernel: found in one of two ways, and written down for the build script.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::{linker, packages};
use crate::{
    exec::{Failure, Outcome, answer, exec, note, step},
    workspace,
};

/// The oldest compiler that takes the kernel side's source.
const OLDEST_RUSTC: (u32, u32) = (1, 95);

/// A way to get a compiler and the standard library's source for exactly that compiler.
struct Way {
    name: &'static str,
    what: &'static str,
    takes: &'static str,
    find: fn() -> Outcome<Compiler>,
}

/// In order of preference.
const WAYS: &[Way] = &[
    Way {
        name: "rustup",
        what: "look for a rustup toolchain with the component `rust-src`",
        takes: "a few seconds",
        find: from_rustup,
    },
    Way {
        name: "debian",
        what: "look for the distribution's packages rustc-web, cargo-web and rust-web-src",
        takes: "1 to 3 minutes where they are missing",
        find: from_debian,
    },
];

/// What the build script needs to compile the kernel side.
pub(crate) struct Toolchain {
    way: String,
    compiler: Compiler,
    linker: PathBuf,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            way,
            compiler,
            linker,
        } = self;
        write!(
            f,
            "eBPF toolchain by way of {way}: {}, {}",
            compiler.version,
            linker.display()
        )
    }
}

impl Toolchain {
    pub(crate) fn cargo(&self) -> &Path {
        &self.compiler.cargo
    }

    pub(crate) fn rustc(&self) -> &Path {
        &self.compiler.rustc
    }

    pub(crate) fn linker(&self) -> &Path {
        &self.linker
    }

    /// Its `cargo-clippy`, installed if need be.
    pub(crate) fn clippy(&self) -> Outcome<PathBuf> {
        let clippy = self.compiler.cargo.with_file_name("cargo-clippy");
        if !clippy.is_file() && self.way == "debian" {
            step("install clippy for the eBPF toolchain", "half a minute");
            packages::install(&["rust-web-clippy"])?;
        }
        if clippy.is_file() {
            return Ok(clippy);
        }
        Err(Failure::new(
            format!("there is no `{}`", clippy.display()),
            "rustup component add clippy",
        ))
    }

    /// Where the build script finds it.
    fn record() -> PathBuf {
        workspace::target().join("ebpf-toolchain.env")
    }

    /// What an earlier set-up wrote down, if it is still true.
    pub(super) fn recorded() -> Option<Self> {
        let text = fs::read_to_string(Self::record()).ok()?;
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines.find_map(|(found, value)| (found == key).then(|| value.to_owned()))
        };
        let path = |key: &str| value(key).map(PathBuf::from);
        let compiler = Compiler::examine(path("CARGO")?, path("RUSTC")?)
            .and_then(Compiler::with_source)
            .ok()?;
        let toolchain = Self {
            way: value("WAY")?,
            compiler,
            linker: path("BPF_LINKER")?,
        };
        let is_true = text == toolchain.to_record() && linker::works(&toolchain.linker);
        is_true.then_some(toolchain)
    }

    /// Takes the first way that works and writes it down.
    pub(super) fn install() -> Outcome<Self> {
        let mut refused = Vec::new();
        for way in WAYS {
            step(way.what, way.takes);
            match way.install() {
                Ok(toolchain) => {
                    note(&format!("taken: {toolchain}"));
                    toolchain.write()?;
                    return Ok(toolchain);
                }
                Err(failure) => {
                    note(&format!("not this way: {failure}"));
                    refused.push(format!("\n- {}: {failure}", way.name));
                }
            }
        }
        Err(Failure::new(
            format!("found no toolchain for the eBPF programs:{}", refused.concat()),
            "make one of these ways possible, then run `cargo xtask setup` again",
        ))
    }

    fn to_record(&self) -> String {
        let Self {
            way,
            compiler,
            linker,
        } = self;
        format!(
            "# Written by `cargo xtask setup`, read by `profiler-user/build.rs`.\n\
             WAY={way}\nVERSION={}\nCARGO={}\nRUSTC={}\nBPF_LINKER={}\n",
            compiler.version,
            compiler.cargo.display(),
            compiler.rustc.display(),
            linker.display()
        )
    }

    fn write(&self) -> Outcome<()> {
        let record = Self::record();
        fs::write(&record, self.to_record()).map_err(|error| Failure::file("write", &record, &error))
    }
}

impl Way {
    fn install(&self) -> Outcome<Toolchain> {
        let compiler = (self.find)()?;
        let linker = linker::ensure(compiler.llvm)?;
        Ok(Toolchain {
            way: self.name.to_owned(),
            compiler,
            linker,
        })
    }
}

/// A cargo and a rustc that belong together, new enough for the kernel side's source.
struct Compiler {
    cargo: PathBuf,
    rustc: PathBuf,
    /// Its first line of `rustc -vV`.
    version: String,
    /// The major version of its LLVM.
    llvm: u32,
}

impl Compiler {
    fn examine(cargo: PathBuf, rustc: PathBuf) -> Outcome<Self> {
        let unusable = |why: &str| {
            Failure::new(
                format!("`{}` cannot be used: {why}", rustc.display()),
                format!(
                    "use Rust {}.{} or newer with rust-src",
                    OLDEST_RUSTC.0, OLDEST_RUSTC.1
                ),
            )
        };
        if !rustc.is_file() {
            return Err(unusable("it is not installed"));
        }
        let about =
            answer(workspace::tool(&rustc).arg("-vV")).ok_or_else(|| unusable("it does not start"))?;
        let field = |name: &str| {
            about
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
        };
        let (release, llvm) = (
            major_minor(field("release: ")),
            major_minor(field("LLVM version: ")),
        );
        let (Some(release), Some((llvm, _minor))) = (release, llvm) else {
            return Err(unusable("it does not tell its version"));
        };
        if release < OLDEST_RUSTC {
            return Err(unusable(&format!("it is {}.{}", release.0, release.1)));
        }
        if !cargo.is_file() {
            return Err(unusable(&format!("its cargo, `{}`, is missing", cargo.display())));
        }
        let version = about.lines().next().unwrap_or_default().to_owned();
        Ok(Self {
            cargo,
            rustc,
            version,
            llvm,
        })
    }

    fn has_source(&self) -> bool {
        let sysroot = answer(workspace::tool(&self.rustc).args(["--print", "sysroot"])).unwrap_or_default();
        Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .is_file()
    }

    fn with_source(self) -> Outcome<Self> {
        if self.has_source() {
            return Ok(self);
        }
        Err(Failure::new(
            format!("`{}` has no library source", self.rustc.display()),
            "install its rust-src",
        ))
    }
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// rustup's toolchains, the default first. The source is downloaded where it can be.
fn from_rustup() -> Outcome<Compiler> {
    let list = answer(workspace::tool("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let mut toolchains: Vec<_> = list.lines().filter(|line| line.contains('-')).collect();
    toolchains.sort_by_key(|line| !line.contains("default"));
    let mut reasons = Vec::new();
    for toolchain in toolchains
        .iter()
        .filter_map(|line| line.split_whitespace().next())
    {
        match rustup_compiler(toolchain) {
            Ok(compiler) => return Ok(compiler),
            Err(failure) => reasons.push(format!("{toolchain}: {failure}")),
        }
    }
    if reasons.is_empty() {
        reasons.push("rustup is not on PATH, or has no toolchain".to_owned());
    }
    Err(Failure::new(
        reasons.join("; "),
        "with a network: rustup component add rust-src",
    ))
}

fn rustup_compiler(toolchain: &str) -> Outcome<Compiler> {
    let sysroot = answer(workspace::tool("rustup").args(["run", toolchain, "rustc", "--print", "sysroot"]));
    let Some(sysroot) = sysroot.map(PathBuf::from) else {
        return Err(Failure::new(
            "its rustc does not start",
            "reinstall the toolchain",
        ));
    };
    let compiler = Compiler::examine(sysroot.join("bin/cargo"), sysroot.join("bin/rustc"))?;
    if !compiler.has_source() {
        exec(
            workspace::tool("rustup").args(["component", "add", "rust-src", "--toolchain", toolchain]),
            "download rust-src",
            "check the network",
        )?;
    }
    compiler.with_source()
}

/// Debian's packages of a recent Rust for its web browsers. They live beside rustup's.
fn from_debian() -> Outcome<Compiler> {
    const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];
    let installed = || {
        Compiler::examine("/usr/bin/cargo".into(), "/usr/bin/rustc".into()).and_then(Compiler::with_source)
    };
    installed().or_else(|missing| {
        note(&format!("{missing}"));
        packages::install(PACKAGES)?;
        installed()
    })
}
