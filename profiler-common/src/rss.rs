//! Growth of resident memory: which places made it grow or shrink.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Kinds of pages that are told apart.
pub const PAGE_KINDS: usize = 3;

/// The kernel's numbers of the counters of those kinds: file, anonymous and shared pages (`MM_FILEPAGES`, `MM_ANONPAGES`,
/// `MM_SHMEMPAGES`, `include/linux/mm_types_task.h`).
pub const PAGE_COUNTERS: [u32; PAGE_KINDS] = [0, 1, 3];

/// No probed function was open.
pub const NO_FUNCTION: u32 = u32::MAX;

/// Somebody else changed the process's memory: the kernel, or another process.
pub const BY_OTHERS: u32 = 1;

/// What a command had when its first change was seen: it was started for this.
pub const BEFORE: u32 = 2;

/// Where a process stood when its memory changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PlaceKey {
    /// The instruction in user space; 0 = places are not told apart.
    pub ip: u64,
    /// The process.
    pub tgid: u32,
    /// How many programs it had executed before, as far as was seen.
    pub program: u32,
    /// The thread; 0 = threads are not told apart.
    pub tid: u32,
    /// The innermost open call of a probed function, by number, or [`NO_FUNCTION`].
    pub function: u32,
    /// The number of the stack; negative = none was kept.
    pub stack: i32,
    /// [`BY_OTHERS`], [`BEFORE`], or 0.
    pub by: u32,
}

/// What happened at a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PlaceCounters {
    /// Pages that were added, by kind.
    pub grown: [u64; PAGE_KINDS],
    /// Pages that were taken away, by kind.
    pub shrunk: [u64; PAGE_KINDS],
    /// Changes.
    pub changes: u64,
    /// Page faults of the program itself: not those that the kernel had in its stead, in system calls.
    pub faults: u64,
}

/// What was last known of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProcessSize {
    /// Its address space, as the kernel names it.
    pub mm: u64,
    /// Resident pages by kind.
    pub pages: [u64; PAGE_KINDS],
    /// As in [`PlaceKey::program`].
    pub program: u32,
    /// The process whose address space it uses until it executes another program (`vfork`); 0 = its own.
    pub lender: u32,
}

/// What the programs are told before they load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RssConfig {
    /// [`crate::alloc::StackChoice`] as a number.
    pub stack: u32,
    /// 1 = threads are told apart.
    pub by_thread: u32,
    /// A process that was started to be followed: what it had before its first change counts, too; 0 = none.
    pub command: u32,
}
