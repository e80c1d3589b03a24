//! The maps of the memory programs, and their settings. User space sets the sizes before it loads the programs.
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::{Array, HashMap, StackTrace};
use aya_ebpf::macros::btf_map;
use profiler_common::alloc::{
    FAMILIES, FREED_SLOTS, FamilyTotals, HeapConfig, LiveBlock, LiveKey, ProcessInfo, STACK_DEPTH, SiteKey,
    SiteStats,
};

use crate::heap::thread::HeapThread;
use crate::maps::TaskStorage;

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

/// The settings of the memory programs.
#[unsafe(no_mangle)]
static HEAP_CONFIG: HeapConfig = HeapConfig {
    sample_bytes: 0,
    site_count: 0,
    stack: 0,
    by_thread: 0,
    events: 0,
};

/// The blocks that are alive. Its memory is taken as it is needed: preallocated it would be all taken at the start.
#[btf_map]
pub(crate) static LIVE: HashMap<LiveKey, LiveBlock, 1, ON_DEMAND> = HashMap::new();

/// The numbers of call sites.
#[btf_map]
pub(crate) static SITE_NUMBERS: HashMap<SiteKey, u32, 1> = HashMap::new();

/// The counters of call sites. Site 0 is of all for which there was no room.
#[btf_map]
pub(crate) static SITES: Array<SiteStats, 1, MMAPABLE> = Array::new();

/// Element 0: how many sites were given; element 1: how many processes.
#[btf_map]
pub(crate) static HEAP_GIVEN: Array<u64, 2, MMAPABLE> = Array::new();

/// What is known of each family.
#[btf_map]
pub(crate) static FAMILY_TOTALS: Array<FamilyTotals, FAMILIES, MMAPABLE> = Array::new();

/// Addresses that were freed ([`crate::heap::freed`]).
#[btf_map]
pub(crate) static FREED: Array<u64, FREED_SLOTS, 0> = Array::new();

/// By process id: the number of the process.
#[btf_map]
pub(crate) static PROCESS_NUMBERS: HashMap<u32, u32, 1> = HashMap::new();

/// The processes, by number. Number 0 is nobody's.
#[btf_map]
pub(crate) static PROCESSES: Array<ProcessInfo, 1, MMAPABLE> = Array::new();

/// Stacks.
#[btf_map]
pub(crate) static STACKS: StackTrace<1, 0, STACK_DEPTH> = StackTrace::new();

/// What is known of threads. The kernel frees a thread's with the thread.
#[btf_map]
pub(crate) static HEAP_THREADS: TaskStorage<HeapThread> = TaskStorage::new();

macro_rules! config_field {
    ($($name:ident: $type:ty),+ $(,)?) => {$(
        /// One setting of the session.
        #[inline(always)]
        pub(crate) fn $name() -> $type {
            // SAFETY: a valid, initialized static.
            unsafe { core::ptr::read_volatile(&raw const HEAP_CONFIG.$name) }
        }
    )+};
}
config_field!(
    sample_bytes: u64,
    site_count: u32,
    stack: u32,
    by_thread: u32,
    events: u32,
);
