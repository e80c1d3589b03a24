//! Builds the kernel side with the toolchain that `cargo xtask setup` wrote down, and puts the object where the library
//! embeds it: `$OUT_DIR/profiler-ebpf`.
#![expect(
    clippy::print_stderr,
    reason = "this is how a build script explains a failure"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What the object depends on, from the workspace's root. Nothing else rebuilds it.
const INPUTS: &[&str] = &[
    TOOLCHAIN_FILE,
    "Cargo.toml",
    "profiler-common/Cargo.toml",
    "profiler-common/src",
    "profiler-ebpf/.cargo/config.toml",
    "profiler-ebpf/Cargo.lock",
    "profiler-ebpf/Cargo.toml",
    "profiler-ebpf/src",
];

/// Written by `cargo xtask setup`.
const TOOLCHAIN_FILE: &str = "target/ebpf-toolchain.env";

/// Variables of the outer build that would change the inner one, by name or, with a `*`, by prefix.
const OUTER_ONLY: &[&str] = &[
    "CARGO",
    "CARGO_BUILD_*",
    "CARGO_CFG_*",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_FEATURE_*",
    "CARGO_INCREMENTAL",
    "CARGO_MANIFEST_*",
    "CARGO_PKG_*",
    "CARGO_PROFILE_*",
    "CARGO_TARGET_*",
    "CARGO_UNSTABLE_*",
    "CLIPPY_*",
    "DEBUG",
    "DEP_*",
    "HOST",
    "LD_LIBRARY_PATH",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC",
    "RUSTC_*",
    "RUSTDOC*",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
    "TARGET",
    "__CARGO_*",
];

/// Why there is no object.
enum Failure {
    /// Something is missing: said in cargo's own error lines, without the script's whole output around them.
    NotSetUp(String),
    /// The compiler's report comes first; cargo shows it when the script fails.
    NotBuilt(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::NotBuilt(message)
    }
}

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::NotSetUp(cause)) => {
            println!("cargo::error=the eBPF toolchain is not set up: run `cargo xtask setup` ({cause})");
            ExitCode::SUCCESS
        }
        Err(Failure::NotBuilt(message)) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Failure> {
    let root = workspace_root()?;
    for input in INPUTS {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let toolchain = Toolchain::read(&root.join(TOOLCHAIN_FILE))?;
    let object = toolchain.compile(&root)?;
    let embedded = PathBuf::from(variable("OUT_DIR")?).join("profiler-ebpf");
    fs::copy(&object, &embedded).map_err(|error| {
        format!(
            "failed to copy `{}` to `{}`: {error}",
            object.display(),
            embedded.display()
        )
    })?;
    Ok(())
}

fn workspace_root() -> Result<PathBuf, String> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    manifest
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("`{}` has no parent directory", manifest.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("cargo did not set `{name}`: {error}"))
}

/// The compiler and linker of the kernel side.
struct Toolchain {
    cargo: String,
    rustc: String,
    linker: String,
}

impl Toolchain {
    fn read(file: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::NotSetUp(format!("failed to read `{}`: {error}", file.display())))?;
        let lines: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let path = |key: &str| match lines.get(key) {
            Some(path) if Path::new(path).is_file() => Ok((*path).to_owned()),
            Some(path) => Err(Failure::NotSetUp(format!(
                "there is no `{path}`, the {key} of `{}`",
                file.display()
            ))),
            None => Err(Failure::NotSetUp(format!(
                "`{}` has no line `{key}=`",
                file.display()
            ))),
        };
        Ok(Self {
            cargo: path("CARGO")?,
            rustc: path("RUSTC")?,
            linker: path("BPF_LINKER")?,
        })
    }

    /// Compiles the object and returns its path.
    fn compile(&self, root: &Path) -> Result<PathBuf, Failure> {
        let target_arch = variable("CARGO_CFG_TARGET_ARCH")?;
        let arch = kernel_arch(&target_arch)?;
        // A folder per architecture: the flags differ, and one would evict the other's `core`.
        let target_dir = root.join("target/ebpf").join(arch);
        let mut cargo = Command::new(&self.cargo);
        // The compiler's flags are in this folder's `.cargo/config.toml`; variables are added to them.
        cargo
            .current_dir(root.join("profiler-ebpf"))
            .args(["build", "--release", "--target-dir"]);
        cargo.arg(&target_dir);
        if env::var_os("CARGO_FEATURE_KERNEL_LOG").is_some() {
            cargo.args(["--features", "log"]);
        }
        for (name, _value) in env::vars_os() {
            if name.to_str().is_some_and(is_outer_only) {
                cargo.env_remove(&name);
            }
        }
        cargo
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker)
            .env(
                "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
                format!("--cfg=bpf_target_arch=\"{arch}\""),
            );
        self.run(cargo)?;
        Ok(target_dir.join("bpfel-unknown-none/release/profiler-ebpf"))
    }

    /// Cargo shows what a build script printed only when it fails: then this is the compiler's own report.
    fn run(&self, mut cargo: Command) -> Result<(), Failure> {
        let status = cargo
            .status()
            .map_err(|error| Failure::NotSetUp(format!("failed to start `{}`: {error}", self.cargo)))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::NotBuilt(format!(
            "failed to compile the eBPF programs in `profiler-ebpf` ({status}); the compiler's report is above.\n\
             Where it blames the toolchain (`{}`, `{}`) and not the source, run `cargo xtask setup` again.",
            self.rustc, self.linker
        )))
    }
}

/// The architecture whose registers the programs read, as aya-ebpf names it.
fn kernel_arch(target_arch: &str) -> Result<&str, String> {
    match target_arch {
        "x86_64" | "aarch64" => Ok(target_arch),
        other => Err(format!("ebpf-prof runs on x86_64 and aarch64, not on `{other}`")),
    }
}

fn is_outer_only(name: &str) -> bool {
    OUTER_ONLY.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    })
}
