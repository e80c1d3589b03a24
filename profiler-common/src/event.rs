//! The messages that travel from the kernel to user space. Fixed size, no strings but a thread's name, sent once.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a [`FunctionEvent`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FunctionEventKind {
    /// A function was entered.
    Call = 1,
    /// A function returned, and its entry had been seen.
    Return = 2,
}

impl FunctionEventKind {
    /// The kind of a number from the kernel.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            1 => Some(Self::Call),
            2 => Some(Self::Return),
            _ => None,
        }
    }
}

/// A call or a return. 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FunctionEvent {
    /// `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// Return: how long the call took, ns. Call: 0.
    pub duration_ns: u64,
    /// Process id, as the host sees it.
    pub pid: u32,
    /// Thread id, as the host sees it.
    pub tid: u32,
    /// The function's number.
    pub function: u32,
    /// How many probed calls enclose this one.
    pub depth: u16,
    /// [`FunctionEventKind`] as a number.
    pub kind: u8,
    /// Zero.
    pub reserved: u8,
}

/// A call or a return, and how much memory the process had then. 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FunctionMemoryEvent {
    /// The call or return.
    pub call: FunctionEvent,
    /// Resident memory, bytes.
    pub rss: u64,
    /// Mapped memory, bytes.
    pub vms: u64,
}

/// Stands for the return address of a function that another one jumped to, whose return is probed: it returns to the
/// caller of that one.
pub const JUMPED_TO: u64 = 1;

/// A call or a return, and who called. 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FunctionCallerEvent {
    /// The call or return.
    pub call: FunctionEvent,
    /// The return address of the call, or [`JUMPED_TO`]; 0 = it could not be read.
    pub caller: u64,
}

/// What an [`AllocEvent`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum AllocEventKind {
    /// A block was allocated.
    Allocate = 1,
    /// A block was freed.
    Free = 2,
    /// A block was freed, since it got another size: an allocation follows.
    ReallocateFree = 3,
    /// The allocation that follows.
    Reallocate = 4,
}

impl AllocEventKind {
    /// The kind of a number from the kernel.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            1 => Some(Self::Allocate),
            2 => Some(Self::Free),
            3 => Some(Self::ReallocateFree),
            4 => Some(Self::Reallocate),
            _ => None,
        }
    }
}

/// An allocation or a free. 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AllocEvent {
    /// `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// The block's address.
    pub address: u64,
    /// Its bytes; of a free 0 = the block was not known.
    pub size: u64,
    /// The return address of the call, or [`JUMPED_TO`] where calls are followed, too.
    pub caller: u64,
    /// Process id, as the host sees it.
    pub pid: u32,
    /// Thread id, as the host sees it.
    pub tid: u32,
    /// The number of the function that was called.
    pub function: u32,
    /// [`AllocEventKind`] as a number.
    pub kind: u32,
}

/// What a [`ProcessEvent`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProcessEventKind {
    /// A thread hit a probe for the first time; `comm` is its name at that moment.
    ThreadSeen = 1,
    /// A thread that had hit probes ended.
    ThreadExit = 2,
    /// A thread that had hit probes forked a process: `child` is its id.
    Fork = 3,
    /// A thread that had hit probes replaced its program.
    Exec = 4,
}

impl ProcessEventKind {
    /// The kind of a number from the kernel.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            1 => Some(Self::ThreadSeen),
            2 => Some(Self::ThreadExit),
            3 => Some(Self::Fork),
            4 => Some(Self::Exec),
            _ => None,
        }
    }
}

/// Something happened to a thread or process. 40 bytes, through a ring of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProcessEvent {
    /// `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// [`ProcessEventKind`] as a number.
    pub kind: u32,
    /// Process id, as the host sees it.
    pub pid: u32,
    /// Thread id, as the host sees it.
    pub tid: u32,
    /// Fork: the child's process id. Exec: the number of the hold that was set for it ([`crate::config::hold`]), or 0.
    /// Otherwise 0.
    pub child: u32,
    /// The thread's name, NUL-padded.
    pub comm: [u8; 16],
}

const _: () = assert!(size_of::<FunctionEvent>() == 32 && size_of::<FunctionMemoryEvent>() == 48);
const _: () = assert!(size_of::<ProcessEvent>() == 40);
const _: () = assert!(size_of::<AllocEvent>() == 48 && size_of::<FunctionCallerEvent>() == 40);
