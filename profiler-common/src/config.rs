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
}
