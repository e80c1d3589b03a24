//! A command that is started for profiling: held at its first instruction until the probes are in place.
//!
//! It is traced from its `exec` to the entry of its program, when the dynamic linker has mapped the libraries, and never
//! again: what runs in the libraries' constructors is not seen.
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use super::TargetError;

/// A command, held.
#[derive(Debug)]
pub struct HeldCommand {
    child: Child,
    program: String,
}

/// A command that runs.
#[derive(Debug)]
pub struct RunningCommand {
    child: Child,
}

impl HeldCommand {
    /// Starts a command and holds it at its first instruction.
    pub fn start<S: AsRef<OsStr>>(program: &OsStr, arguments: &[S]) -> Result<Self, TargetError> {
        let name = program.to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(arguments);
        // SAFETY: one system call, which is safe between fork and exec.
        unsafe { command.pre_exec(|| ptrace(libc::PTRACE_TRACEME, 0, 0, 0).map(drop)) };
        let child = command.spawn().map_err(|source| TargetError::Start {
            program: name.clone(),
            source,
        })?;
        let mut held = Self { child, program: name };
        match held.hold() {
            Ok(()) => Ok(held),
            Err(Held::Ended(status)) => Err(TargetError::EndedEarly {
                program: held.program,
                status,
            }),
            Err(Held::Failed(source)) => {
                let _: io::Result<()> = held.child.kill();
                let _: io::Result<ExitStatus> = held.child.wait();
                Err(TargetError::Hold {
                    program: held.program,
                    source,
                })
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its program, as typed.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Lets it go.
    pub fn release(self) -> Result<RunningCommand, TargetError> {
        let Self { child, program } = self;
        match ptrace(libc::PTRACE_DETACH, child.id(), 0, 0) {
            Ok(_) => Ok(RunningCommand { child }),
            Err(source) => Err(TargetError::Hold { program, source }),
        }
    }

    /// Ends it without letting it run.
    pub fn kill(mut self) {
        let _: io::Result<()> = self.child.kill();
        let _: io::Result<ExitStatus> = self.child.wait();
    }

    fn hold(&mut self) -> Result<(), Held> {
        let pid = self.pid();
        wait_for_trap(pid)?;
        entry::run_to(pid)
    }
}

impl RunningCommand {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

/// Passes a signal on to a command that has not been waited for, so that the id is still its own.
pub fn pass_signal(pid: u32, signal: libc::c_int) {
    // SAFETY: plain numbers.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// The exit status of a shell: the command's own, or 128 and the signal.
pub fn shell_status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.map_or(1, |code| code as u8)
}

/// Why a command does not stand at its first instruction.
enum Held {
    Ended(ExitStatus),
    Failed(io::Error),
}

impl From<io::Error> for Held {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn ptrace(request: libc::c_uint, pid: u32, address: usize, data: usize) -> io::Result<libc::c_long> {
    // SAFETY: callers pass addresses of the traced process, or pointers to their own live values.
    let result = unsafe { libc::ptrace(request, pid as libc::pid_t, address, data) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Waits until the traced process stops for a breakpoint or its `exec`. Other signals are passed on.
fn wait_for_trap(pid: u32) -> Result<(), Held> {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        if unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) } < 0 {
            return Err(io::Error::last_os_error().into());
        }
        if !libc::WIFSTOPPED(status) {
            return Err(Held::Ended(ExitStatus::from_raw(status)));
        }
        match libc::WSTOPSIG(status) {
            libc::SIGTRAP => return Ok(()),
            signal => ptrace(libc::PTRACE_CONT, pid, 0, signal as usize)?,
        };
    }
}

#[cfg(target_arch = "x86_64")]
mod entry {
    //! A breakpoint of our own at the program's entry.
    use super::{Held, io, ptrace, wait_for_trap};

    const AT_ENTRY: u64 = 9;
    const INT3: i64 = 0xcc;

    /// Runs a process that stands at its `exec` to the entry of its program.
    pub(super) fn run_to(pid: u32) -> Result<(), Held> {
        let entry = address(pid)?;
        let original = ptrace_peek(pid, entry)?;
        ptrace(
            libc::PTRACE_POKETEXT,
            pid,
            entry,
            (original & !0xff | INT3) as usize,
        )?;
        ptrace(libc::PTRACE_CONT, pid, 0, 0)?;
        wait_for_trap(pid)?;
        ptrace(libc::PTRACE_POKETEXT, pid, entry, original as usize)?;
        // SAFETY: all zeros is a valid set of registers.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut registers as usize)?;
        registers.rip = entry as u64;
        ptrace(libc::PTRACE_SETREGS, pid, 0, &raw const registers as usize)?;
        Ok(())
    }

    fn address(pid: u32) -> io::Result<usize> {
        let auxv = std::fs::read(format!("/proc/{pid}/auxv"))?;
        let words: Vec<u64> = auxv
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_ne_bytes(*word))
            .collect();
        let entry = words.as_chunks::<2>().0.iter().find(|[key, _]| *key == AT_ENTRY);
        entry
            .map(|[_, entry]| *entry as usize)
            .ok_or_else(|| io::Error::other("no entry in the auxiliary vector"))
    }

    /// The word at an address. The kernel's own errors are told from a word of all ones by `errno`.
    fn ptrace_peek(pid: u32, address: usize) -> io::Result<i64> {
        // SAFETY: `errno` is this thread's own.
        unsafe { *libc::__errno_location() = 0 };
        // SAFETY: an address of the traced process.
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, pid as libc::pid_t, address, 0) };
        let error = io::Error::last_os_error();
        if word == -1 && error.raw_os_error() != Some(0) {
            Err(error)
        } else {
            Ok(word)
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod entry {
    //! Held at its `exec`: the program is mapped, its libraries are not.
    use super::Held;

    /// Nothing to run.
    pub(super) fn run_to(_pid: u32) -> Result<(), Held> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{HeldCommand, shell_status};
    use crate::target::process::Process;

    #[test]
    fn a_command_is_held_with_its_libraries_mapped_and_runs_on_to_its_own_end() {
        let held = HeldCommand::start("sh".as_ref(), &["-c", "exit 7"]).unwrap();
        let files = Process::open(held.pid()).unwrap().mapped_files().unwrap();
        assert!(files[0].is_main);
        assert!(
            files
                .iter()
                .any(|file| file.path.to_string_lossy().contains("libc.so")),
            "{files:?}"
        );
        let mut running = held.release().unwrap();
        assert_eq!(shell_status(running.wait().unwrap()), 7);
    }

    #[test]
    fn the_status_of_a_killed_command_is_128_and_its_signal() {
        let held = HeldCommand::start("sh".as_ref(), &["-c", "kill -KILL $$"]).unwrap();
        let mut running = held.release().unwrap();
        assert_eq!(shell_status(running.wait().unwrap()), 137);
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let error = HeldCommand::start::<&str>("no-such-command".as_ref(), &[]).unwrap_err();
        assert!(error.to_string().contains("`no-such-command`"), "{error}");
    }
}
