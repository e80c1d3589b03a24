//! Why a session cannot begin or go on.
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::kernel::error::KernelError;
use crate::kernel::layout::TooManyFunctions;
use crate::object::ObjectError;
use crate::probe::pattern::PatternError;
use crate::probe::planner::PlanError;
use crate::recorder::RecorderError;
use crate::target::TargetError;

/// A session failed.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The target cannot be profiled.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The kernel side failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A pattern is malformed: the command line is wrong.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// There is nothing to probe.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file of the target could not be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// What is said of changes cannot be read.
    #[error("cannot read changes from `{path}`: name a file that is there, or a pipe (`mkfifo`)")]
    Changes {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The counters do not fit.
    #[error(transparent)]
    Memory(#[from] TooManyFunctions),
    /// The records could not be written.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// A focus function's returns cannot be seen, so that its window would never close.
    #[error("`{function}` cannot be a focus: {reason}, and without its return the focus would never end")]
    FocusWithoutReturn {
        /// The function.
        function: String,
        /// Why its returns are not seen.
        reason: &'static str,
    },
    /// Nothing of what was asked for can be probed.
    #[error("no function that was asked for can be probed: `{function}` is left out ({reason})")]
    AllLeftOut {
        /// The first of them.
        function: String,
        /// Why it is left out.
        reason: &'static str,
    },
    /// The kernel refused every probe.
    #[error("the kernel refused all {probes} probes, the first with: {source}")]
    AllRefused {
        /// How many.
        probes: usize,
        /// What it said of the first.
        #[source]
        source: io::Error,
    },
    /// The summary could not be written.
    #[error("failed to write the summary to `{}`: {source}", .path.display())]
    Summary {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An earlier result could not be read.
    #[error("failed to read `{}`: {source}", .path.display())]
    ReadResult {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The table could not be printed.
    #[error("failed to print: {0}")]
    Print(#[source] io::Error),
    /// The operating system refused a thread, a timer or a signal handler.
    #[error("failed to {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl SessionError {
    /// Whether the command line is at fault: exit status 2.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Pattern(_))
    }
}
