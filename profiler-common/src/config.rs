//! What user space tells the programs before they load: constants to the verifier.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Frames of one thread's shadow stack. Deeper calls are counted and not timed.
pub const MAX_DEPTH: u32 = 512;

/// The largest upward move of the stack pointer that still means "the same stack was unwound". A larger one is taken
/// for another stack (a coroutine, a signal handler's stack): the frames of the first are left alone. The default
/// limit of a main thread's stack.
pub const STACK_SPAN: u64 = 8 << 20;

/// Goroutines whose calls are kept at once. From half of them on, those without open calls are forgotten.
pub const MAX_GOROUTINES: u32 = 2048;

/// The settings of a session, in the programs' read-only data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KernelConfig {
    /// Functions of the session: the stride of the per-CPU maps.
    pub function_count: u32,
    /// Buckets of one histogram; 0 = no histograms.
    pub bucket_count: u32,
    /// Resolution of the histograms ([`crate::histogram`]).
    pub resolution: u32,
    /// 1 = only threads that have a focus function on their stack are recorded.
    pub focus: u32,
    /// Bytes waiting in the ring from which on the reader is woken.
    pub wake_bytes: u64,
    /// Offset of `mm` in `task_struct`; 0 = unknown.
    pub task_mm: u32,
    /// Offset of `uprobes_state.xol_area` in `mm_struct`; 0 = unknown.
    pub mm_xol_area: u32,
    /// Offset of `vaddr` in `xol_area`; 0 = unknown.
    pub xol_area_vaddr: u32,
    /// Offset of `tgid` in `task_struct`.
    pub task_tgid: u32,
    /// Offset of `pid` (the thread's id) in `task_struct`.
    pub task_pid: u32,
    /// 1 = the kernel has the helper `bpf_loop` (5.17+).
    pub has_loop: u32,
    /// [`Grouping`] as a number: what has a row of counters of its own.
    pub grouping: u32,
    /// Rows of counters: possible CPUs, or with grouping as many as there is room for.
    pub row_count: u32,
    /// 1 = links reach processes that are no targets: hits count only where the process is in `TARGETS`, which forked
    /// children enter by themselves.
    pub check_targets: u32,
    /// 1 = a target's child stays a target when it executes another program.
    pub keep_on_exec: u32,
    /// The profiler's own process id: its hits never count. 0 = no link reaches it.
    pub own_tgid: u32,
    /// 1 = return probes can be held back at an entry, and must be: only a session's program can.
    pub can_hold: u32,
    /// Offset of `signal` in `task_struct`; 0 = unknown.
    pub task_signal: u32,
    /// Offset of `live`, the number of threads, in `signal_struct`; 0 = unknown.
    pub signal_live: u32,
    /// 1 = calls and returns say who called.
    pub callers: u32,
    /// `mm_struct.brk`, bytes; 0 = not known.
    pub mm_brk: u32,
    /// What calls and returns say of their process's memory, and where that stands.
    pub memory: MemoryCounters,
}

/// Where the kernel keeps the memory counters of a process. All offsets in bytes.
///
/// The counters of resident pages stand in `mm_struct.rss_stat`, in the order [`rss`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryCounters {
    /// [`RssForm`] as a number.
    pub form: u32,
    /// Offset of the first counter of resident pages in `mm_struct`.
    pub rss: u32,
    /// From one of them to the next.
    pub stride: u32,
    /// Per CPU: from a counter to the pointer to its parts.
    pub parts: u32,
    /// Single: offset of the changes that a thread holds back (`task_struct.rss_stat.count`, 32 bits each); 0 = none.
    pub held_back: u32,
    /// Offset of `total_vm` in `mm_struct`.
    pub total_vm: u32,
    /// A page is `1 << page_shift` bytes.
    pub page_shift: u32,
    /// Per CPU: CPUs whose parts are added.
    pub cpus: u32,
    /// Per CPU: offset of `pptrs` in `bpf_array`, from which the distance between the CPUs' parts is learned.
    pub map_parts: u32,
    /// Zero.
    pub reserved: u32,
}

/// How the kernel counts resident pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum RssForm {
    /// Nobody asks.
    #[default]
    Unread = 0,
    /// One number a kind of page, and small changes that threads hold back (before 6.2).
    Single = 1,
    /// One number, and a part for each CPU (6.2 and later).
    PerCpu = 2,
}

/// The kernel's counters that make up the resident set: `MM_FILEPAGES`, `MM_ANONPAGES`, `MM_SHMEMPAGES`. Between the
/// second and the third stands `MM_SWAPENTS`.
pub mod rss {
    /// Their places.
    pub const COUNTERS: [u32; 3] = [0, 1, 3];
}

/// The largest [`MemoryCounters::map_parts`].
pub const MAX_MAP_HEAD: u32 = 1016;

/// What has a row of counters of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Grouping {
    /// Each CPU: who called is not told apart.
    #[default]
    None = 0,
    /// Each process.
    Process = 1,
    /// Each thread.
    Thread = 2,
}

/// The row of whom no row was left for.
pub const OTHERS_ROW: u32 = 0;

/// Whose row of counters it is. Zero process id: nobody's yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RowOwner {
    /// When it was given, `CLOCK_MONOTONIC`, ns: tells a process id that is used again.
    pub since_ns: u64,
    /// Process id, as the host sees it.
    pub pid: u32,
    /// Thread id of the first hit, as the host sees it.
    pub tid: u32,
    /// The thread's name at that moment, NUL-padded.
    pub comm: [u8; 16],
}

/// What the kernel side knows of a target process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TargetEntry {
    /// Its row of counters; [`NO_ROW`] = none was given yet.
    pub row: u32,
    /// [`target_flags`].
    pub flags: u32,
}

/// What holds of a target process.
pub mod target_flags {
    /// User space named it: it stays a target whatever it executes.
    pub const ROOT: u32 = 1 << 0;
    /// It runs another program, which user space has not looked at yet: no return probe is armed in it.
    pub const HOLD: u32 = 1 << 1;
}

/// Elements of the array by which both sides suspend return probes everywhere. Each is written by one side alone.
pub mod hold {
    /// The number of the last hold that the kernel side set.
    pub const SET: u32 = 0;
    /// The number of the last hold that user space released, with all before it.
    pub const RELEASED: u32 = 1;
    /// Not 0: user space holds.
    pub const USER: u32 = 2;
    /// Elements of the array.
    pub const LEN: u32 = 3;
}

/// No row was given yet.
pub const NO_ROW: u32 = u32::MAX;

/// Target processes that the kernel side can know at a time.
pub const MAX_TARGETS: u32 = 65_536;
