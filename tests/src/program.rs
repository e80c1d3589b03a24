//! Sample programs: built from `targets/` when a test first asks for them, and kept until source or flags change.
use std::collections::HashMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// How a sample program is built.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Program {
    source: &'static str,
    label: &'static str,
    flags: Vec<String>,
    stripped: bool,
    /// Another compiler of C than the machine's.
    compiler: Option<&'static str>,
}

impl Program {
    /// The program whose source is `targets/SOURCE`, in C, C++, Rust or Go.
    pub fn new(source: &'static str) -> Self {
        Self {
            source,
            label: "plain",
            flags: Vec::new(),
            stripped: false,
            compiler: None,
        }
    }

    /// Names this way of building it: part of the file's name.
    #[must_use]
    pub fn labelled(mut self, label: &'static str) -> Self {
        self.label = label;
        self
    }

    /// Compiles C with this command.
    #[must_use]
    pub fn compiled_by(mut self, compiler: &'static str) -> Self {
        self.compiler = Some(compiler);
        self
    }

    /// Adds compiler flags.
    #[must_use]
    pub fn flags<F: AsRef<str>>(mut self, flags: &[F]) -> Self {
        self.flags
            .extend(flags.iter().map(|flag| flag.as_ref().to_owned()));
        self
    }

    /// Removes all symbols.
    #[must_use]
    pub fn stripped(mut self) -> Self {
        self.stripped = true;
        self
    }

    /// Builds it, unless that has been done, and gives its file.
    pub fn build(&self) -> PathBuf {
        static BUILDS: OnceLock<Mutex<HashMap<Program, PathBuf>>> = OnceLock::new();
        // Held while compiling: two tests that want the same program must not build it twice.
        let mut builds = BUILDS
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        builds
            .entry(self.clone())
            .or_insert_with(|| self.compile())
            .clone()
    }

    fn compile(&self) -> PathBuf {
        let source = sources().join(self.source);
        let folder = builds_folder();
        fs::create_dir_all(&folder).expect("the folder of the sample programs can be made");
        let stem = Path::new(self.source)
            .file_stem()
            .and_then(OsStr::to_str)
            .expect("a source has a name");
        let file = folder.join(format!("{stem}-{}-{:016x}", self.label, self.fingerprint()));
        if file.exists() {
            return file;
        }
        // Another test process may be building it too: the rename makes either result whole.
        let unfinished = file.with_extension(format!("{}.part", std::process::id()));
        run(&mut self.compiler(&source, &unfinished));
        if self.stripped {
            run(Command::new("strip").arg("--strip-all").arg(&unfinished));
        }
        fs::rename(&unfinished, &file).expect("a built program can be renamed");
        file
    }

    fn compiler(&self, source: &Path, output: &Path) -> Command {
        let tool =
            |variable: &str, default: &str| Command::new(env::var_os(variable).unwrap_or(default.into()));
        let mut command = match source.extension().and_then(OsStr::to_str) {
            Some("rs") => tool("RUSTC", "rustc"),
            Some("cpp") => tool("CXX", "g++"),
            Some("go") => return self.go_compiler(source, output, tool("GO", "go")),
            _ => self.compiler.map_or_else(|| tool("CC", "cc"), Command::new),
        };
        if source.extension() == Some(OsStr::new("rs")) {
            command.args(["--edition", "2024", "-C", "panic=unwind"]);
        } else {
            command.args(["-Wall", "-Wextra", "-Werror", "-pthread", "-g0"]);
        }
        // Libraries among the flags come after what needs them.
        command.arg("-o").arg(output).arg(source).args(&self.flags);
        command
    }

    /// `go build`: flags come before the source, and its cache is in our folder.
    fn go_compiler(&self, source: &Path, output: &Path, mut go: Command) -> Command {
        go.arg("build")
            .arg("-o")
            .arg(output)
            .args(&self.flags)
            .arg(source)
            .env("CGO_ENABLED", "0")
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("GOCACHE", builds_folder().join("go-cache"));
        go
    }

    /// Changes with the source, the shared header and the flags.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        for file in [self.source, "target.h"] {
            fs::read(sources().join(file))
                .expect("a sample program's source can be read")
                .hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The folder of the sources, for flags that name a file there.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets")
}

fn builds_folder() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own file");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("cargo puts tests into target/PROFILE/deps");
    profile.join("sample-programs")
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
