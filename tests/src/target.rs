//! A running sample program.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::process::{self, Output};

/// What a program prints when it has started and waits for a byte on its standard input.
const READY: &str = "ready\n";

/// A sample program that waits to be let go. Killed when dropped.
pub struct Target {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// How a sample program ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it printed, without the handshake.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its exit code, or 128 + the signal that killed it.
    pub status: i32,
}

impl Target {
    /// Starts `program` and waits until it is ready.
    pub fn start(program: &Path, args: &[&str]) -> Self {
        Self::spawn(Command::new(program).args(args))
    }

    /// Starts `command` and waits until the program is ready.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        let stdout = Output::of(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Output::of(child.stderr.take().expect("stderr is a pipe"));
        let target = Self {
            child,
            stdout,
            stderr,
        };
        assert!(
            target.stdout.wait_for_line(READY.trim_end()).is_some(),
            "{command:?} did not get ready: {}",
            target.stderr.so_far()
        );
        target
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go one step further: a program may wait several times.
    pub fn go(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("stdin is a pipe until the end");
        stdin
            .write_all(b"g")
            .and_then(|()| stdin.flush())
            .expect("the program waits for its byte");
    }

    /// Waits for a line of its output.
    pub fn wait_for_line(&self, prefix: &str) -> String {
        self.stdout
            .wait_for_line(prefix)
            .unwrap_or_else(|| panic!("the program did not print `{prefix}`: {}", self.stdout.so_far()))
    }

    /// Where the program says that its function `name` is: its line `at NAME ADDRESS` on standard error.
    pub fn address_of(&self, name: &str) -> u64 {
        let prefix = format!("at {name} 0x");
        let line = self.stderr.wait_for_line(&prefix).unwrap_or_default();
        let digits = line
            .strip_prefix(&prefix)
            .expect("the program says where its functions are");
        u64::from_str_radix(digits, 16).expect("an address is a hexadecimal number")
    }

    /// Lets it go, past every further wait too, and waits for its end.
    pub fn finish(mut self) -> Outcome {
        self.go();
        drop(self.child.stdin.take());
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Outcome {
        let status = process::wait_for_end(&mut self.child, "the sample program");
        let printed = self.stdout.all();
        Outcome {
            stdout: printed.strip_prefix(READY).unwrap_or(&printed).to_owned(),
            stderr: self.stderr.all(),
            status: code(status),
        }
    }

    /// Kills it with `SIGKILL` and waits for its end.
    pub fn kill(mut self) {
        process::kill(&mut self.child);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        process::kill(&mut self.child);
    }
}

impl Outcome {
    /// What the program counted itself: its lines `truth NAME NUMBER`.
    pub fn truth(&self) -> BTreeMap<String, u64> {
        let truth: BTreeMap<_, _> = self
            .stdout
            .lines()
            .filter_map(|line| {
                let (name, number) = line.strip_prefix("truth ")?.rsplit_once(' ')?;
                Some((name.to_owned(), number.parse().expect("a truth is a number")))
            })
            .collect();
        assert!(!truth.is_empty(), "the program states no truth: {self:?}");
        truth
    }

    /// One number that the program counted itself.
    pub fn truth_of(&self, name: &str) -> u64 {
        *self
            .truth()
            .get(name)
            .unwrap_or_else(|| panic!("the program states no truth of `{name}`: {self:?}"))
    }

    /// Fails unless the program ended with `status`.
    #[must_use]
    pub fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "exit status of the program: {self:?}");
        self
    }
}

/// The exit status as a shell shows it.
pub fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .expect("an ended process has a status")
}
