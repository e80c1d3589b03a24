//! Containers, made on the spot: a root file system of a sample program and the libraries that it needs, run by podman or
//! by plain runc. No registry is asked, no network is made.
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kernel::{self, AttachMode};
use crate::target::{Outcome, Target};

/// Where the program is within a container.
const PROGRAM: &str = "/srv/program";
/// The storage driver that copies files.
const VFS: &str = "vfs";

/// Runs `test` under each attach mode with a podman of its own, which leaves nothing behind.
pub fn for_each_attach_mode_with_podman(test: impl Fn(AttachMode, &Podman)) {
    if let Some(missing) = missing(&["podman", "runc"]) {
        kernel::cannot_run(&missing);
        return;
    }
    let podman = Podman::new();
    kernel::for_each_attach_mode(|mode| test(mode, &podman));
}

/// Runs `test` once with a podman of its own, which leaves nothing behind.
pub fn with_podman(test: impl FnOnce(&Podman)) {
    match missing(&["podman", "runc"]) {
        Some(missing) => kernel::cannot_run(&missing),
        None => kernel::with_kernel(|_| test(&Podman::new())),
    }
}

/// Runs `test` once if runc is there.
pub fn with_runc(test: impl FnOnce(AttachMode)) {
    match missing(&["runc"]) {
        Some(missing) => kernel::cannot_run(&missing),
        None => kernel::with_kernel(test),
    }
}

fn missing(programs: &[&str]) -> Option<String> {
    let is_there = |program: &str| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let missing = programs.iter().find(|program| !is_there(program))?;
    Some(format!(
        "containers need `{missing}`: `cargo xtask setup --tests` installs it"
    ))
}

/// A podman with a storage of its own. All that it has made goes when it is dropped.
pub struct Podman {
    folder: TempDir,
    driver: &'static str,
}

/// An image with one program.
pub struct Image<'a> {
    podman: &'a Podman,
    /// Its name, as podman shows it.
    pub name: String,
}

/// A container whose program waits to be let go. Removed when dropped.
pub struct Container {
    target: Option<Target>,
    remove: Command,
    /// Its name; for runc its id.
    pub name: String,
}

impl Podman {
    fn new() -> Self {
        let mut podman = Self {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            driver: "overlay",
        };
        // Some file systems cannot be below an overlay. Copies then do, and containers share no file.
        if !podman.try_command(&["info"]).status.success() {
            podman.driver = VFS;
        }
        podman
    }

    /// Checks that two containers of one image run the very same file, and says where they cannot: the storage driver then
    /// copies files, and a test that tells containers apart proves less.
    #[expect(clippy::print_stderr, reason = "what was not tested must be said")]
    pub fn check_shared(&self, image: &Image<'_>, containers: [&Container; 2]) {
        eprintln!("podman's storage driver is `{}`", self.driver);
        if self.driver == VFS {
            eprintln!("`overlay` does not work here: the containers share no file");
            return;
        }
        let [one, other] = containers.map(|container| image.lower_file(container));
        assert_eq!(one, other, "they share the file of the lowest layer");
        for container in containers {
            let seen = fs::metadata(format!("/proc/{}/exe", image.pid(container)));
            let seen = seen.expect("the program is there").ino();
            assert_eq!(seen, one.1, "the program is that file");
        }
    }

    /// An image of `program` and the libraries that it needs.
    pub fn image(&self, program: &Path) -> Image<'_> {
        self.image_with(program, |_| {})
    }

    /// The same, with more files: `add` is given the folder that becomes the root.
    pub fn image_with(&self, program: &Path, add: impl FnOnce(&Path)) -> Image<'_> {
        let root = RootFolder::of(program);
        add(&root.path());
        let archive = self.folder.path().join("root.tar");
        run(Command::new("tar")
            .arg("-C")
            .arg(root.path())
            .arg("-cf")
            .arg(&archive)
            .arg("."));
        let name = format!("localhost/{}:1", unique("image"));
        run(self.command().arg("import").arg(&archive).arg(&name));
        Image { podman: self, name }
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new("podman");
        command
            .args(["--cgroup-manager", "cgroupfs", "--runtime", "runc"])
            .args(["--storage-driver", self.driver])
            .arg("--root")
            .arg(folder.join("root"))
            .arg("--runroot")
            .arg(folder.join("run"))
            .arg("--tmpdir")
            .arg(folder.join("tmp"));
        command
    }

    fn try_command(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments);
        command
            .output()
            .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // A test that has failed may have left containers; their locks are of the whole machine.
        drop(self.try_command(&["rm", "--force", "--all", "--time", "0"]));
        drop(self.try_command(&["image", "rm", "--force", "--all"]));
    }
}

impl Image<'_> {
    /// Starts a container whose name begins so, and waits until its program is ready.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Container {
        self.start_named(unique(name), arguments)
    }

    /// The same, with this very name: that of a container that is gone.
    pub fn start_named(&self, name: String, arguments: &[&str]) -> Container {
        let mut run = self.podman.command();
        run.args([
            "run",
            "--interactive",
            "--network",
            "host",
            "--log-driver",
            "none",
        ])
        // Podman's own limits are above what root may have on some machines.
        .args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"])
        .args(["--name", &name, &self.name, PROGRAM])
        .args(arguments);
        let mut remove = self.podman.command();
        remove.args(["rm", "--force", "--time", "0", &name]);
        Container::start(&mut run, remove, name)
    }

    /// The id that podman knows a container by.
    pub fn id(&self, container: &Container) -> String {
        self.inspect(container, "{{.Id}}")
    }

    /// The id of a container's program, as the host sees it.
    pub fn pid(&self, container: &Container) -> u32 {
        let pid = self.inspect(container, "{{.State.Pid}}");
        pid.parse().expect("podman knows the program's id")
    }

    fn inspect(&self, container: &Container, format: &str) -> String {
        let output = self
            .podman
            .try_command(&["inspect", "--format", format, &container.name]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Device and inode of the program in the layers below a container, which nothing above them hides.
    fn lower_file(&self, container: &Container) -> (u64, u64) {
        let file = PROGRAM.trim_start_matches('/');
        let upper = self.inspect(container, "{{.GraphDriver.Data.UpperDir}}");
        assert!(
            !Path::new(&upper).join(file).exists(),
            "the container has its own"
        );
        let lower = self.inspect(container, "{{.GraphDriver.Data.LowerDir}}");
        let found = lower
            .split(':')
            .find_map(|folder| fs::metadata(Path::new(folder).join(file)).ok());
        let found = found.unwrap_or_else(|| panic!("no `{file}` in {lower}"));
        (found.dev(), found.ino())
    }
}

impl Container {
    fn start(run: &mut Command, remove: Command, name: String) -> Self {
        let mut container = Self {
            target: None,
            remove,
            name,
        };
        container.target = Some(Target::spawn(run));
        container
    }

    /// Lets the program go and waits for its end.
    pub fn finish(mut self) -> Outcome {
        let target = self.target.take().expect("it is taken only here");
        target.finish()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It fails where the container has gone by itself.
        drop(self.remove.output());
    }
}

/// A container of plain runc, with its bundle.
pub struct RuncContainer {
    /// The container.
    pub container: Container,
    root: Arc<RootFolder>,
    _bundle: TempDir,
}

impl RuncContainer {
    /// Starts `program` in a container whose id begins so, and waits until it is ready.
    pub fn start(name: &str, program: &Path, arguments: &[&str]) -> Self {
        Self::start_in(Arc::new(RootFolder::of(program)), name, arguments)
    }

    /// Starts another container, with the same files.
    #[must_use]
    pub fn start_beside(&self, name: &str, arguments: &[&str]) -> Self {
        Self::start_in(Arc::clone(&self.root), name, arguments)
    }

    /// The id of its program, as the host sees it.
    pub fn pid(&self) -> u32 {
        let output = Command::new("runc")
            .args(["state", &self.container.name])
            .output();
        let output = output.expect("`runc` can be started").stdout;
        let state: Value = serde_json::from_slice(&output).expect("runc tells its state");
        state["pid"].as_u64().expect("runc knows the program's id") as u32
    }

    fn start_in(root: Arc<RootFolder>, name: &str, arguments: &[&str]) -> Self {
        let bundle = tempfile::tempdir().expect("a temporary folder can be made");
        let id = unique(name);
        let arguments: Vec<&str> = [PROGRAM].into_iter().chain(arguments.iter().copied()).collect();
        let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "args": arguments, "cwd": "/"},
            "root": {"path": root.path()},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"cgroupsPath": format!("/{id}"), "namespaces": namespaces},
        });
        let folder = bundle.path();
        fs::write(folder.join("config.json"), config.to_string()).expect("the bundle is ours");
        let mut run = Command::new("runc");
        run.arg("run").arg("--bundle").arg(folder).arg(&id);
        let mut remove = Command::new("runc");
        remove.args(["delete", "--force", &id]);
        Self {
            container: Container::start(&mut run, remove, id),
            root,
            _bundle: bundle,
        }
    }
}

/// The root of a file system.
struct RootFolder {
    folder: TempDir,
}

impl RootFolder {
    /// With `program`, and the libraries that it needs where it looks for them.
    fn of(program: &Path) -> Self {
        let root = Self {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        };
        for folder in ["proc", "sys", "dev", "tmp", "etc"] {
            fs::create_dir_all(root.path().join(folder)).expect("the folder is ours");
        }
        root.copy(program, Path::new(PROGRAM));
        for library in libraries(program) {
            root.copy(&library, &library);
        }
        root
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// Copied by a program of its own: a child of another test could hold the copy open for writing.
    fn copy(&self, from: &Path, to: &Path) {
        let to = self.path().join(to.strip_prefix("/").unwrap_or(to));
        run(Command::new("install")
            .args(["-D", "-m", "755"])
            .arg(from)
            .arg(to));
    }
}

/// The libraries of a program and its dynamic linker, by the paths under which it asks for them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .expect("`ldd` can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

/// A name that no other test has.
fn unique(name: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{number}", process::id())
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{stderr}");
}
