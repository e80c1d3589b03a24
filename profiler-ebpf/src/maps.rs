//! The maps, and the session's settings. User space sets the sizes before it loads the programs.
use core::ffi::c_void;
use core::ptr::{NonNull, from_ref, null_mut};

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, BPF_NOEXIST};
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_storage_get};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::RingBuf;
use profiler_common::config::{
    Grouping, KernelConfig, MAX_GOROUTINES, MAX_TARGETS, MemoryCounters, OTHERS_ROW, RowOwner, TargetEntry,
    hold,
};
use profiler_common::loss::{LOSS_REASONS, LossReason};
use profiler_common::stats::FunctionStats;

use crate::atomic;
use crate::stack::{Stack, ThreadState};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// The session's settings.
#[unsafe(no_mangle)]
static CONFIG: KernelConfig = KernelConfig {
    function_count: 0,
    bucket_count: 0,
    resolution: 0,
    focus: 0,
    wake_bytes: 0,
    task_mm: 0,
    mm_xol_area: 0,
    xol_area_vaddr: 0,
    task_tgid: 0,
    task_pid: 0,
    has_loop: 0,
    grouping: 0,
    row_count: 0,
    check_targets: 0,
    keep_on_exec: 0,
    own_tgid: 0,
    can_hold: 0,
    callers: 0,
    mm_brk: 0,
    task_signal: 0,
    signal_live: 0,
    memory: MemoryCounters {
        form: 0,
        rss: 0,
        stride: 0,
        parts: 0,
        held_back: 0,
        total_vm: 0,
        page_shift: 0,
        cpus: 0,
        map_parts: 0,
        reserved: 0,
    },
};

/// Flags per function ([`profiler_common::stats::function_flags`]).
#[btf_map]
pub(crate) static FUNCTIONS: Array<u32, 1, MMAPABLE> = Array::new();

/// `rows × functions` counters.
#[btf_map]
static STATS: Array<FunctionStats, 1, MMAPABLE> = Array::new();

/// `rows × functions × buckets` counters of 32 bits, two to an element.
#[btf_map]
static HISTOGRAMS: Array<u64, 1, MMAPABLE> = Array::new();

/// `cpus × reasons` counters.
#[btf_map]
static LOSS: Array<u64, 1, MMAPABLE> = Array::new();

/// Whose the rows are. Row 0 is of all whom no row was left for.
#[btf_map]
pub(crate) static ROWS: Array<RowOwner, 1, MMAPABLE> = Array::new();

/// How many rows were given.
#[btf_map]
pub(crate) static ROWS_GIVEN: Array<u64, 1, MMAPABLE> = Array::new();

/// By CPU: hits of processes that are no targets.
#[btf_map]
static FOREIGN: Array<u64, 1, MMAPABLE> = Array::new();

/// Holds set and released ([`profiler_common::config::hold`]).
#[btf_map]
static HOLDS: Array<u64, { hold::LEN as usize }, MMAPABLE> = Array::new();

/// The target processes.
#[btf_map]
pub(crate) static TARGETS: HashMap<u32, TargetEntry, { MAX_TARGETS as usize }> = HashMap::new();

/// Calls and returns.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// What happens to threads and processes: a flood of calls must not starve it.
#[map]
pub(crate) static PROCESS_EVENTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// The shadow stacks. The kernel frees a thread's with the thread.
#[btf_map]
static THREADS: TaskStorage<ThreadState> = TaskStorage::new();

/// The shadow stacks of goroutines. Preallocated: kernels before 6.1 warn of programs that allocate at a hit.
#[btf_map]
static GOROUTINES: HashMap<GoroutineId, ThreadState, 1> = HashMap::new();

/// How many of them there are.
#[btf_map]
static GOROUTINE_COUNT: Array<u64, 1> = Array::new();

/// What a new shadow stack is made from.
#[btf_map]
static NO_CALLS: Array<ThreadState, 1> = Array::new();

/// Which goroutine: where Go's description of it lies, in which process.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct GoroutineId {
    pub(crate) address: u64,
    pub(crate) process: u64,
}

/// The shadow stack of a goroutine, if it has one.
#[inline(always)]
pub(crate) fn goroutine(id: &GoroutineId) -> Option<NonNull<ThreadState>> {
    NonNull::new(GOROUTINES.get_ptr_mut(id)?)
}

/// Gives a goroutine an empty shadow stack. `None`: there is no room.
#[inline(never)]
pub(crate) fn create_goroutine(id: &GoroutineId) -> Option<NonNull<ThreadState>> {
    let empty = NO_CALLS.get_ptr(0)?;
    // SAFETY: nobody writes the element.
    let empty = unsafe { &*empty };
    GOROUTINES.insert(id, empty, BPF_NOEXIST.into()).ok()?;
    if let Some(count) = GOROUTINE_COUNT.get_ptr_mut(0) {
        atomic::add(count, 1);
    }
    goroutine(id)
}

/// Forgets a goroutine that has no open calls, once there are many.
#[inline(always)]
pub(crate) fn forget_goroutine_if_crowded(id: &GoroutineId) {
    let Some(count) = GOROUTINE_COUNT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: an aligned word of the map, which other CPUs write meanwhile.
    if unsafe { core::ptr::read_volatile(count) } > u64::from(MAX_GOROUTINES / 2)
        && GOROUTINES.remove(id).is_ok()
    {
        atomic::add(count, u64::MAX);
    }
}

/// A map of `BPF_MAP_TYPE_TASK_STORAGE`: aya-ebpf has none. The fields are what the loader reads from the BTF.
#[repr(C)]
pub(crate) struct TaskStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the fields are never dereferenced, the loader reads their types; the kernel synchronizes the map.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    fn of_current(&self, flags: u64) -> Option<NonNull<T>> {
        // SAFETY: the map is a task storage map, and the current task is always valid.
        let state = unsafe {
            bpf_task_storage_get(
                from_ref(self).cast_mut().cast(),
                bpf_get_current_task_btf().cast(),
                null_mut::<c_void>(),
                flags,
            )
        };
        NonNull::new(state.cast())
    }

    /// What is kept of the current thread, if anything.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<NonNull<T>> {
        self.of_current(0)
    }

    /// The same, zeroed where there was nothing. `None`: the kernel has no memory now.
    #[inline(always)]
    pub(crate) fn get_or_new(&self) -> Option<NonNull<T>> {
        self.of_current(BPF_LOCAL_STORAGE_GET_F_CREATE.into())
    }
}

/// The session's settings, read so that the compiler cannot fold the zeros above into the program.
#[inline(always)]
pub(crate) fn config() -> KernelConfig {
    // SAFETY: a valid, initialized static.
    unsafe { core::ptr::read_volatile(&raw const CONFIG) }
}

macro_rules! config_field {
    ($($name:ident: $type:ty $(= $group:ident . $field:ident)?),+ $(,)?) => {$(
        /// One setting of the session.
        #[inline(always)]
        pub(crate) fn $name() -> $type {
            // SAFETY: a valid, initialized static.
            unsafe { core::ptr::read_volatile(config_field!(@place $name $(= $group.$field)?)) }
        }
    )+};
    (@place $name:ident) => { &raw const CONFIG.$name };
    (@place $name:ident = $group:ident . $field:ident) => { &raw const CONFIG.$group.$field };
}
config_field!(
    function_count: u32,
    bucket_count: u32,
    resolution: u32,
    focus: u32,
    callers: u32,
    wake_bytes: u64,
    has_loop: u32,
    grouping: u32,
    row_count: u32,
    check_targets: u32,
    own_tgid: u32,
    can_hold: u32,
    rss_form: u32 = memory.form,
    rss: u32 = memory.rss,
    rss_stride: u32 = memory.stride,
    rss_parts: u32 = memory.parts,
    rss_held_back: u32 = memory.held_back,
    rss_cpus: u32 = memory.cpus,
    total_vm: u32 = memory.total_vm,
    page_shift: u32 = memory.page_shift,
    map_parts: u32 = memory.map_parts,
    task_mm: u32,
    mm_brk: u32,
);

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_smp_processor_id() }
}

/// The row of counters that a hit counts in.
#[inline(always)]
fn row() -> u32 {
    if grouping() == Grouping::None as u32 {
        return cpu();
    }
    // Where the kernel has no memory for the thread, the call counts all the same.
    Stack::current_or_new().map_or(OTHERS_ROW, Stack::row)
}

/// The counters of a function in the row of this hit.
#[inline(always)]
pub(crate) fn stats(function: u32) -> Option<NonNull<FunctionStats>> {
    NonNull::new(STATS.get_ptr_mut(row() * function_count() + function)?)
}

/// Adds one to a bucket of a function's histogram in the row of this hit.
#[inline(always)]
pub(crate) fn count_bucket(function: u32, bucket: u32) {
    let index = (row() * function_count() + function) * bucket_count() + bucket;
    let Some(pair) = HISTOGRAMS.get_ptr_mut(index >> 1) else {
        return;
    };
    // A half overflows after 4 × 10⁹ calls: the reader takes differences modulo 2^32, and reads more often than that.
    let half = pair.cast::<u32>().wrapping_add((index & 1) as usize);
    atomic::add32(half, 1);
}

/// Counts a hit of a process that is no target.
#[inline(always)]
pub(crate) fn count_foreign() {
    if let Some(slot) = FOREIGN.get_ptr_mut(cpu()) {
        atomic::add(slot, 1);
    }
}

/// Counts a loss.
#[inline(always)]
pub(crate) fn lose(reason: LossReason) {
    if let Some(slot) = LOSS.get_ptr_mut(cpu() * LOSS_REASONS + reason as u32) {
        atomic::add(slot, 1);
    }
}

/// The state of the current thread, if it has one.
#[inline(always)]
pub(crate) fn thread() -> Option<NonNull<ThreadState>> {
    THREADS.get()
}

/// Gives the current thread a zeroed state. `None`: the kernel has no memory now.
#[inline(always)]
pub(crate) fn create_thread() -> Option<NonNull<ThreadState>> {
    THREADS.get_or_new()
}

/// Suspends return probes everywhere, until user space has looked, and gives the number of the hold.
#[inline(always)]
pub(crate) fn hold() -> u32 {
    let Some(set) = HOLDS.get_ptr_mut(hold::SET) else {
        return 0;
    };
    atomic::take_number(set).wrapping_add(1) as u32
}

/// Whether return probes are suspended everywhere.
#[inline(always)]
pub(crate) fn is_held() -> bool {
    held_word(hold::SET) != held_word(hold::RELEASED) || held_word(hold::USER) != 0
}

#[inline(always)]
fn held_word(word: u32) -> u64 {
    let Some(word) = HOLDS.get_ptr(word) else { return 0 };
    // SAFETY: an aligned word of the map, which others write.
    unsafe { core::ptr::read_volatile(word) }
}
