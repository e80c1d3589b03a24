//! A running `ebpf-prof`.
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::kernel::AttachMode;
use crate::process::{self, Output};
use crate::records::{self, Record, Recording};
use crate::report::Report;
use crate::target::{Target, code};

/// What the profiler writes to standard error once every probe is in place.
const ATTACHED: &str = "ebpf-prof: attached";

/// The profiler's file: `EBPF_PROF_BIN`, or the one that cargo built beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("EBPF_PROF_BIN") {
        return path.into();
    }
    let test = env::current_exe().expect("a test knows its own file");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("cargo puts tests into target/PROFILE/deps");
    let path = profile.join("ebpf-prof");
    assert!(
        path.exists(),
        "no profiler at `{}`: build it with `cargo build -p ebpf-prof`, or name it in EBPF_PROF_BIN",
        path.display()
    );
    path
}

/// A profiler that is attached. Killed when dropped.
pub struct Profiler {
    child: Child,
    stdout: Output,
    stderr: Output,
    folder: TempDir,
}

/// How a profiler ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or 128 + the signal that killed it.
    pub status: i32,
    /// What it (and under `run` the command) printed.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its summary, if it wrote one.
    pub report: Option<Report>,
    folder: TempDir,
}

impl Profiler {
    /// Attaches to `target` in `mode` with further options, without an overhead budget, and waits until all probes
    /// are in place.
    pub fn attach(target: &Target, mode: AttachMode, options: &[&str]) -> Self {
        let profiler = Self::start(&attach_arguments(target.pid(), mode, options));
        profiler.wait_until_attached();
        profiler
    }

    /// Like [`Profiler::attach`], to the processes that these options choose.
    pub fn attach_to(targets: &[&str], mode: AttachMode, options: &[&str]) -> Self {
        let profiler = Self::start(&arguments(targets, mode, options));
        profiler.wait_until_attached();
        profiler
    }

    /// Like [`Profiler::attach`], with every call and return recorded as CSV.
    pub fn attach_recording(target: &Target, mode: AttachMode, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let csv = folder.path().join(RECORDS);
        let mut arguments = attach_arguments(target.pid(), mode, options);
        arguments.extend(["--recording", "csv", "-o"].map(str::to_owned));
        arguments.push(csv.display().to_string());
        let profiler = Self::start_in(folder, &arguments);
        profiler.wait_until_attached();
        profiler
    }

    /// Starts the profiler with these arguments, and a summary; its working folder is a temporary one.
    pub fn start<A: AsRef<str>>(arguments: &[A]) -> Self {
        Self::start_in(
            tempfile::tempdir().expect("a temporary folder can be made"),
            arguments,
        )
    }

    /// Like [`Profiler::start`], with more in its environment, and in that of a command that it starts.
    pub fn start_within<A: AsRef<str>>(environment: &[(&str, &str)], arguments: &[A]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::spawn_within(environment, folder, Stdio::piped(), arguments)
    }

    /// Like [`Profiler::start`], with its standard output going to `stdout`.
    pub fn start_writing_to<A: AsRef<str>>(stdout: Stdio, arguments: &[A]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::spawn(folder, stdout, arguments)
    }

    fn start_in<A: AsRef<str>>(folder: TempDir, arguments: &[A]) -> Self {
        Self::spawn(folder, Stdio::piped(), arguments)
    }

    fn spawn<A: AsRef<str>>(folder: TempDir, stdout: Stdio, arguments: &[A]) -> Self {
        Self::spawn_within(&[], folder, stdout, arguments)
    }

    fn spawn_within<A: AsRef<str>>(
        environment: &[(&str, &str)],
        folder: TempDir,
        stdout: Stdio,
        arguments: &[A],
    ) -> Self {
        let (mode, rest) = arguments.split_first().expect("a sub-command comes first");
        let mut command = Command::new(binary());
        command
            .arg(mode.as_ref())
            .arg("--summary-json")
            .arg(folder.path().join(SUMMARY))
            .args(rest.iter().map(AsRef::as_ref))
            .current_dir(folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        let stdout = child
            .stdout
            .take()
            .map_or_else(|| Output::of(io::empty()), Output::of);
        let stderr = Output::of(child.stderr.take().expect("stderr is a pipe"));
        Self {
            child,
            stdout,
            stderr,
            folder,
        }
    }

    /// Waits until all probes are in place.
    pub fn wait_until_attached(&self) {
        assert!(
            self.stderr.wait_for_line(ATTACHED).is_some(),
            "the profiler did not say that it is attached; it wrote:\n{}",
            self.stderr.so_far()
        );
    }

    /// Waits for a line on its standard error that begins so.
    pub fn wait_for_message(&self, start: &str) {
        assert!(
            self.stderr.wait_for_line(start).is_some(),
            "the profiler did not say `{start}`; it wrote:\n{}",
            self.stderr.so_far()
        );
    }

    /// Waits for so many lines on its standard error that begin so.
    pub fn wait_for_messages(&self, start: &str, number: usize) {
        assert!(
            self.stderr.wait_for_lines(start, number),
            "the profiler did not say `{start}` {number} times; it wrote:\n{}",
            self.stderr.so_far()
        );
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let status = code(process::wait_for_end(&mut self.child, "the profiler"));
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a temporary folder"));
        let report = Report::read(&folder.path().join(SUMMARY));
        Ended {
            status,
            stdout,
            stderr,
            report,
            folder,
        }
    }

    /// Waits for its end, which must be a success, and gives its report.
    pub fn report(self) -> Report {
        self.wait().success()
    }

    /// Stops it as Ctrl-C does, and waits for its end.
    pub fn interrupt(self) -> Ended {
        process::send_signal(self.pid(), libc::SIGINT);
        self.wait()
    }

    /// Kills it with `SIGKILL` and waits for its end.
    pub fn kill(mut self) {
        process::kill(&mut self.child);
    }
}

impl Drop for Profiler {
    fn drop(&mut self) {
        process::kill(&mut self.child);
    }
}

impl Ended {
    /// Its report; fails if it did not succeed.
    pub fn success(self) -> Report {
        assert_eq!(self.status, 0, "the profiler failed: {}", self.stderr);
        let Self { report, stderr, .. } = self;
        report.unwrap_or_else(|| panic!("the profiler wrote no summary: {stderr}"))
    }

    /// What it recorded through [`Profiler::attach_recording`].
    pub fn recording(&self) -> Recording {
        records::read(&self.folder.path().join(RECORDS))
    }

    /// The calls and returns that it recorded through [`Profiler::attach_recording`].
    pub fn records(&self) -> Vec<Record> {
        self.recording().records
    }

    /// The text of a file in its working folder.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_else(|error| panic!("`{name}`: {error}"))
    }
}

const SUMMARY: &str = "summary.json";
const RECORDS: &str = "records.csv";

fn attach_arguments(pid: u32, mode: AttachMode, options: &[&str]) -> Vec<String> {
    arguments(&["-p", &pid.to_string()], mode, options)
}

fn arguments(targets: &[&str], mode: AttachMode, options: &[&str]) -> Vec<String> {
    let fixed = ["--attach-mode", mode.name(), "--max-overhead", "off"];
    let words = ["attach"].iter().chain(targets).chain(&fixed).chain(options);
    words.map(ToString::to_string).collect()
}
