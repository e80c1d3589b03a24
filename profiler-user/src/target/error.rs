//! What can be wrong with a target.
use std::io;

use thiserror::Error;

/// A target cannot be profiled. One line that names the thing and the next step.
#[derive(Debug, Error)]
pub enum TargetError {
    /// There is no such process.
    #[error("no process `{pid}`: list them with `ps -e`")]
    NoSuchProcess {
        /// Its id.
        pid: u32,
    },
    /// Nothing is what was looked for.
    #[error("no process matches {selector}: `ebpf-prof list {list}` shows what there is")]
    NothingMatches {
        /// What was looked for.
        selector: String,
        /// What to list to see it.
        list: &'static str,
    },
    /// The id is a thread's, not a process's.
    #[error("`{tid}` is a thread of process `{pid}`: give `-p {pid}`")]
    Thread {
        /// What was given.
        tid: u32,
        /// The process.
        pid: u32,
    },
    /// It ended while it was looked at.
    #[error("process `{pid}` ended meanwhile")]
    Ended {
        /// Its id.
        pid: u32,
    },
    /// It has no program: a kernel thread, or a zombie.
    #[error("process `{pid}` ({comm}) maps no program: it is a kernel thread, or has ended already")]
    NoProgram {
        /// Its id.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// Something of it could not be read.
    #[error("failed to read `/proc/{pid}/{file}`: {source}")]
    Read {
        /// Its id.
        pid: u32,
        /// The file.
        file: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A command could not be started.
    #[error("failed to start `{program}`: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A started command could not be brought to its first instruction.
    #[error("failed to hold `{program}` at its first instruction: {source}")]
    Hold {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A started command ended before its first instruction.
    #[error("`{program}` ended before its first instruction, with {status}")]
    EndedEarly {
        /// The program.
        program: String,
        /// How.
        status: std::process::ExitStatus,
    },
}
