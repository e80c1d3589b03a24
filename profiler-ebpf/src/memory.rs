//! How much memory the current process has, from the counters that the kernel itself keeps: no system call, no file.
//!
//! Fields are read through the typed pointer to the current task, which the verifier follows: each is one load. Only the
//! parts that belong to CPUs need a helper.
use core::ffi::c_void;
use core::ptr::from_ref;

use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_loop, bpf_map_lookup_percpu_elem,
    bpf_probe_read_kernel,
};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::PerCpuArray;
use profiler_common::config::{MAX_MAP_HEAD, RssForm, rss};

use crate::maps;

/// From the address that the kernel keeps of something per CPU to where a CPU has it, by CPU; 0 = not learned yet.
#[btf_map]
static CPU_DISTANCES: Array<u64, 1> = Array::new();

/// Something per CPU whose places are known: the distances are learned from it.
#[map]
static PER_CPU: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The beginning of the kernel's description of [`PER_CPU`]: too large for the stack. Whoever writes it writes the same.
#[btf_map]
static MAP_HEAD: Array<[u64; (MAX_MAP_HEAD as usize + 8) / 8], 1> = Array::new();

/// Tries to read all parts of a sum while none changes hands.
const TRIES: u32 = 4;

/// Memory of a process, bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss: u64,
    pub(crate) vms: u64,
}

/// The memory of the current process.
#[inline(always)]
pub(crate) fn read() -> Memory {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task_btf() }.cast::<u8>().cast_const();
    let mm = field::<*const u8>(task, maps::task_mm());
    let pages = if maps::rss_form() == RssForm::PerCpu as u32 {
        per_cpu_pages(mm)
    } else {
        single_pages(task, mm)
    };
    let shift = maps::page_shift();
    Memory {
        // Parts that are read one after another can add up to less than nothing for a moment.
        rss: (pages.max(0) as u64) << shift,
        vms: field::<u64>(mm, maps::total_vm()) << shift,
    }
}

/// Where the current process's heap ends (`brk`); 0 = not known.
#[inline(always)]
pub(crate) fn end_of_heap() -> u64 {
    if maps::mm_brk() == 0 || maps::task_mm() == 0 {
        return 0;
    }
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let mm = word(task.wrapping_add(maps::task_mm().into()));
    word(mm.wrapping_add(maps::mm_brk().into()))
}

/// A field of a structure of the kernel. The verifier checks it, and what is not there reads as zero.
#[inline(always)]
fn field<T: Copy>(structure: *const u8, offset: u32) -> T {
    // SAFETY: the verifier refuses a load that is not within the structure, and the kernel handles its faults.
    unsafe { core::ptr::read_volatile(structure.wrapping_add(offset as usize).cast::<T>()) }
}

/// Not by typed loads: verifiers of that time refuse those from an array of `atomic_long_t`.
#[inline(always)]
fn single_pages(task: *const u8, mm: *const u8) -> i64 {
    let mut counted = [0_i64; 4];
    let from = mm.wrapping_add(maps::rss() as usize);
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((&raw mut counted).cast(), 32, from.cast()) };
    let mut held_back = [0_i32; 4];
    if maps::rss_held_back() != 0 {
        let from = task.wrapping_add(maps::rss_held_back() as usize);
        // SAFETY: as above.
        unsafe { bpf_probe_read_kernel((&raw mut held_back).cast(), 16, from.cast()) };
    }
    let [files, anonymous, _swapped, shared] = counted;
    let [more_files, more_anonymous, _more_swapped, more_shared] = held_back.map(i64::from);
    files + anonymous + shared + more_files + more_anonymous + more_shared
}

/// The sum over CPUs, for [`add_part`].
struct Sum {
    pages: i64,
    /// The addresses that the kernel keeps of each counter's parts.
    parts: [u64; rss::COUNTERS.len()],
    /// The parts of all counters of a CPU lie side by side (6.6 and later).
    joined: bool,
}

/// The sum over CPUs. A CPU that hands its part over while it is read would be missing, and another try is made.
#[inline(always)]
fn per_cpu_pages(mm: *const u8) -> i64 {
    let parts = rss::COUNTERS.map(|counter| field::<u64>(mm, place(counter) + maps::rss_parts()));
    let [files, anonymous, shared] = parts;
    let mut sum = Sum {
        pages: 0,
        parts,
        joined: anonymous == files.wrapping_add(4) && shared == files.wrapping_add(12),
    };
    for _ in 0..TRIES {
        let counted = counted(mm);
        sum.pages = counted;
        if maps::rss_cpus() != 0 {
            let step: unsafe extern "C" fn(u64, *mut Sum) -> u64 = add_part;
            // SAFETY: the callback has the signature that the helper calls, and its context outlives the call.
            unsafe { bpf_loop(maps::rss_cpus(), step as *mut c_void, (&raw mut sum).cast(), 0) };
        }
        if self::counted(mm) == counted {
            break;
        }
    }
    sum.pages
}

/// Where a counter is.
#[inline(always)]
fn place(counter: u32) -> u32 {
    maps::rss() + counter * maps::rss_stride()
}

/// What the CPUs have handed over.
#[inline(always)]
fn counted(mm: *const u8) -> i64 {
    let [files, anonymous, shared] = rss::COUNTERS.map(|counter| field::<i64>(mm, place(counter)));
    files + anonymous + shared
}

/// Adds what a CPU has counted and not handed over yet. It never ends the loop.
unsafe extern "C" fn add_part(cpu: u64, sum: *mut Sum) -> u64 {
    // SAFETY: the helper passes the context that `per_cpu_pages` gave it.
    let sum = unsafe { &mut *sum };
    let Some(distance) = distance(cpu as u32) else {
        return 0;
    };
    if sum.joined {
        let mut parts = [0_i32; 4];
        let from = sum.parts[0].wrapping_add(distance);
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel((&raw mut parts).cast(), 16, from as *const _) };
        let [files, anonymous, _swapped, shared] = parts.map(i64::from);
        sum.pages += files + anonymous + shared;
        return 0;
    }
    for part in sum.parts {
        let mut pages = 0_i32;
        let from = part.wrapping_add(distance);
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel((&raw mut pages).cast(), 4, from as *const _) };
        sum.pages += i64::from(pages);
    }
    0
}

/// One counter of a process, for [`add_one_part`].
struct Counter {
    pages: i64,
    /// The address that the kernel keeps of its parts.
    parts: u64,
}

/// A counter of any process, whose parts belong to CPUs, in pages.
#[inline(never)]
pub(crate) fn pages(mm: u64, counter: u32) -> u64 {
    let at = mm.wrapping_add(place(counter).into());
    let mut sum = Counter {
        pages: 0,
        parts: word(at.wrapping_add(maps::rss_parts().into())),
    };
    for _ in 0..TRIES {
        let handed_over = word(at) as i64;
        sum.pages = handed_over;
        if maps::rss_cpus() != 0 {
            let step: unsafe extern "C" fn(u64, *mut Counter) -> u64 = add_one_part;
            // SAFETY: the callback has the signature that the helper calls, and its context outlives the call.
            unsafe { bpf_loop(maps::rss_cpus(), step as *mut c_void, (&raw mut sum).cast(), 0) };
        }
        if word(at) as i64 == handed_over {
            break;
        }
    }
    // Parts that are read one after another can add up to less than nothing for a moment.
    sum.pages.max(0) as u64
}

/// Adds what a CPU has counted and not handed over yet. It never ends the loop.
unsafe extern "C" fn add_one_part(cpu: u64, sum: *mut Counter) -> u64 {
    // SAFETY: the helper passes the context that `pages` gave it.
    let sum = unsafe { &mut *sum };
    if let Some(distance) = distance(cpu as u32) {
        let mut pages = 0_i32;
        let from = sum.parts.wrapping_add(distance);
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel((&raw mut pages).cast(), 4, from as *const _) };
        sum.pages += i64::from(pages);
    }
    0
}

/// A word of the kernel's memory; what is not there reads as zero.
#[inline(always)]
fn word(address: u64) -> u64 {
    let mut word = 0_u64;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((&raw mut word).cast(), 8, address as *const _) };
    word
}

#[inline(always)]
fn distance(cpu: u32) -> Option<u64> {
    let known = CPU_DISTANCES.get_ptr_mut(cpu)?;
    // SAFETY: an aligned word of the map. Others write the same to it.
    match unsafe { core::ptr::read_volatile(known) } {
        0 => {
            let distance = learn_distance(cpu);
            // SAFETY: as above.
            unsafe { core::ptr::write_volatile(known, distance) };
            Some(distance)
        }
        known => Some(known),
    }
}

/// Where `cpu` has the element of [`PER_CPU`], less the address that the kernel keeps of it. The kernel offers that
/// number to programs only through variables that it lists in `/proc/kallsyms`, which many kernels do not.
#[inline(never)]
fn learn_distance(cpu: u32) -> u64 {
    let map = from_ref(&PER_CPU).cast_mut().cast::<c_void>();
    let Some(head) = MAP_HEAD.get_ptr_mut(0) else {
        return 0;
    };
    let kept = maps::map_parts();
    if kept > MAX_MAP_HEAD || kept & 7 != 0 {
        return 0;
    }
    // SAFETY: the map's element has that size; the helper checks the address.
    if unsafe { bpf_probe_read_kernel(head.cast(), kept + 8, map) } != 0 {
        return 0;
    }
    // SAFETY: within the element, as was just checked.
    let kept = unsafe { core::ptr::read_volatile(head.cast::<u64>().wrapping_add(kept as usize / 8)) };
    let key = 0_u32;
    // SAFETY: the map has an element 0, or the answer is null.
    let element = unsafe { bpf_map_lookup_percpu_elem(map, (&raw const key).cast(), cpu) };
    if element.is_null() {
        return 0;
    }
    let mut address = 0_u64;
    // A copy of the pointer, which is a number to the verifier: it lets nobody subtract from the pointer itself.
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((&raw mut address).cast(), 8, (&raw const element).cast()) };
    address.wrapping_sub(kept)
}
