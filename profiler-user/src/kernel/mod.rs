//! The only place that knows aya and the `bpf` system call: loading the programs, making links, mapping the maps,
//! and finding out what this kernel can do.
//!
//! Outside, everything is said in the project's own types: an [`AttachMode`], a [`Probe`](link::Probe), a
//! [`Kernel`](load::Kernel).
pub mod btf;
pub mod calibrate;
pub mod capability;
pub mod error;
pub mod heap;
pub mod layout;
pub mod lifecycle;
pub mod link;
pub mod load;
pub mod map;
pub mod memory;
mod prepare;
mod program;
pub mod ring;
pub mod rss;
mod syscall;
pub mod tables;

use std::fmt;

/// How probes are attached. The order is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachMode {
    /// One program at entry and return of thousands of functions (kernel 6.13+).
    Session,
    /// A link for thousands of entries, another for their returns (kernel 6.6+; every thread: 6.6.35, 6.9.5, 6.10).
    Multi,
    /// A perf event for each probe (kernel 5.15+): slow to detach.
    PerfEvent,
}

impl AttachMode {
    /// Every mode, the preferred first.
    pub const ALL: [Self; 3] = [Self::Session, Self::Multi, Self::PerfEvent];

    /// What the user types and reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Multi => "multi",
            Self::PerfEvent => "perf-event",
        }
    }

    /// The kernel that has it first.
    pub const fn since(self) -> &'static str {
        match self {
            Self::Session => "6.13",
            Self::Multi => "6.6",
            Self::PerfEvent => "5.15",
        }
    }
}

/// Whom links reach, and whose hits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Each link reaches one process; no other process pays.
    #[default]
    Process,
    /// Links reach every process that maps the file; hits count in the targets and, from their first instruction on, in
    /// their children.
    Targets {
        /// A child stays a target when it executes another program.
        keep_on_exec: bool,
    },
    /// Links reach every process that maps the file, and all hits count but our own.
    Everyone,
}

/// What the message of a call or return says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EventDetail {
    /// The call or return.
    #[default]
    Call,
    /// And how much memory the process had.
    CallAndMemory,
    /// And who called; every allocation and free beside it.
    CallAndCaller,
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
