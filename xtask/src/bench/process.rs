//! Programs that run beside the benchmark: their lines, with a time limit, and their end, whatever happens.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use crate::exec::{Failure, Outcome, answer, shown, start};

/// How long a program may take to say what it is waited for.
const PATIENCE: Duration = Duration::from_mins(2);
const TOO_SLOW: &str = "repeat the command when the machine has less to do";

/// A program that was started, with its output read as it comes. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    command: String,
}

/// Which of a program's outputs is read. The other one is thrown away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Stdout,
    Stderr,
}

impl Process {
    pub(super) fn start(command: &mut Command, heard: Heard, purpose: &str) -> Outcome<Self> {
        let (stdout, stderr) = match heard {
            Heard::Stdout => (Stdio::piped(), Stdio::null()),
            Heard::Stderr => (Stdio::null(), Stdio::piped()),
        };
        command.stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
        let mut child = start(command, purpose, "see `cargo xtask setup --bench`")?;
        let output: Option<Box<dyn Read + Send>> = match heard {
            Heard::Stdout => child.stdout.take().map(|output| Box::new(output) as _),
            Heard::Stderr => child.stderr.take().map(|output| Box::new(output) as _),
        };
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            lines: output.map_or_else(|| channel().1, lines_of),
            command: shown(command),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The command as one would type it.
    pub(super) fn command(&self) -> &str {
        &self.command
    }

    /// Sends a line to its standard input.
    pub(super) fn tell(&mut self, line: &str) -> Outcome<()> {
        let sent = self
            .stdin
            .as_mut()
            .map_or(Ok(()), |stdin| writeln!(stdin, "{line}"));
        sent.map_err(|error| {
            Failure::new(
                format!("`{}` does not listen: {error}", self.command),
                "start it by hand to see why",
            )
        })
    }

    /// Its next line.
    pub(super) fn hear(&mut self) -> Outcome<String> {
        self.hear_until(Instant::now() + PATIENCE)?.ok_or_else(|| {
            let what = format!("`{}` ended too early", self.command);
            Failure::new(what, "start it by hand to see why")
        })
    }

    /// Its lines up to one that contains `text`, which is the last.
    pub(super) fn wait_for(&mut self, text: &str) -> Outcome<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while let Some(line) = self.hear_until(deadline)? {
            let found = line.contains(text);
            heard.push(line);
            if found {
                return Ok(heard);
            }
        }
        let what = format!("`{}` ended too early: {}", self.command, heard.join("; "));
        Err(Failure::new(what, "start it by hand to see why"))
    }

    /// Sends SIGINT, which every program here takes for "that is enough".
    pub(super) fn interrupt(&self) {
        let kill = ["-c", "kill -INT \"$1\"", "sh"];
        // Where it has ended already, its output says why.
        let _: Option<String> = answer(Command::new("sh").args(kill).arg(self.child.id().to_string()));
    }

    /// Closes its standard input, and returns its lines up to its end.
    pub(super) fn rest(mut self) -> Outcome<Vec<String>> {
        self.stdin = None;
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while let Some(line) = self.hear_until(deadline)? {
            heard.push(line);
        }
        let status = self.child.wait().map_err(|error| {
            Failure::new(
                format!("failed to wait for `{}`: {error}", self.command),
                TOO_SLOW,
            )
        })?;
        if status.success() {
            return Ok(heard);
        }
        let what = format!("`{}` ended with {status}: {}", self.command, heard.join("; "));
        Err(Failure::new(what, "start it by hand to see why"))
    }

    fn hear_until(&self, deadline: Instant) -> Outcome<Option<String>> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                let what = format!("`{}` said nothing for {PATIENCE:?}", self.command);
                Err(Failure::new(what, TOO_SLOW))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}

/// Reads lines on a thread of their own, so that no program waits for us.
fn lines_of(output: Box<dyn Read + Send>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
