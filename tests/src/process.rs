//! Child processes: their output line by line, their end within a deadline, signals.
use std::io::Read;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything that should happen may take. Long: the machine may be busy, and only a failing test waits.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// How often a state is looked at that cannot be waited for.
const POLL: Duration = Duration::from_millis(2);

/// What a process writes to one stream, read by a thread of its own.
#[derive(Clone, Default)]
pub struct Output {
    shared: Arc<(Mutex<Written>, Condvar)>,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    closed: bool,
}

impl Output {
    /// Reads `stream` until its end.
    pub fn of(mut stream: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let Self { shared } = output.clone();
        thread::spawn(move || {
            let mut chunk = [0; 16 << 10];
            loop {
                let length = stream.read(&mut chunk).unwrap_or(0);
                let mut written = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                written.bytes.extend_from_slice(&chunk[..length]);
                written.closed = length == 0;
                shared.1.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        output
    }

    /// Waits for a line that starts with `prefix`, and gives it. `None`: the stream ended, or the deadline passed.
    pub fn wait_for_line(&self, prefix: &str) -> Option<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut written = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let text = String::from_utf8_lossy(&written.bytes);
            let complete = text.rfind('\n').map_or("", |end| &text[..end]);
            if let Some(line) = complete.lines().find(|line| line.starts_with(prefix)) {
                return Some(line.to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if written.closed || left.is_zero() {
                return None;
            }
            written = self
                .shared
                .1
                .wait_timeout(written, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for so many lines that start with `prefix`. `false`: the stream ended, or the deadline passed.
    pub fn wait_for_lines(&self, prefix: &str, number: usize) -> bool {
        let found = poll(|| {
            let lines = self.so_far();
            let found = lines.lines().filter(|line| line.starts_with(prefix)).count();
            (found >= number || self.is_closed()).then_some(found)
        });
        found.is_some_and(|found| found >= number)
    }

    fn is_closed(&self) -> bool {
        self.shared
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed
    }

    /// What was written so far.
    pub fn so_far(&self) -> String {
        let written = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&written.bytes).into_owned()
    }

    /// Everything that was written, once the stream has ended.
    pub fn all(&self) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut written = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !written.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the stream was not closed within {DEADLINE:?}");
            written = self
                .shared
                .1
                .wait_timeout(written, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        String::from_utf8_lossy(&written.bytes).into_owned()
    }
}

/// Looks at `state` until it gives something. `None`: the deadline passed.
pub fn poll<T>(mut state: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = state() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// Waits for the end of `child`. Kills it and fails when it outlives the deadline.
pub fn wait_for_end(child: &mut Child, what: &str) -> ExitStatus {
    if let Some(status) = poll(|| child.try_wait().expect("a child can be waited for")) {
        return status;
    }
    kill(child);
    panic!("{what} did not end within {DEADLINE:?}");
}

/// Kills `child` if it still runs, and reaps it.
pub fn kill(child: &mut Child) {
    // Both fail only where the child has been reaped already.
    drop(child.kill());
    drop(child.wait());
}

/// Sends `signal` to the process `pid`.
pub fn send_signal(pid: u32, signal: i32) {
    // SAFETY: `kill` takes two integers and touches no memory of ours.
    let sent = unsafe { libc::kill(pid as libc::pid_t, signal) };
    assert_eq!(sent, 0, "signal {signal} could not be sent to process {pid}");
}

/// Starts a process that gets this id. Other processes of the machine may take it first: then it is tried again.
pub fn with_next_pid<T>(pid: u32, mut start: impl FnMut() -> T, pid_of: impl Fn(&T) -> u32) -> T {
    let started = poll(|| {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())
            .expect("root can choose the next process id");
        let started = start();
        (pid_of(&started) == pid).then_some(started)
    });
    started.expect("the kernel gives the id again")
}

/// The letter of the process's state in `/proc/PID/stat`: `T` is stopped, `t` traced.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}
