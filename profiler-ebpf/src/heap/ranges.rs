//! Where mappings lie that were made last, by process: what is unmapped need not begin where a mapping does.
use core::arch::asm;
use core::ffi::c_void;

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::helpers::generated::bpf_loop;
use aya_ebpf::macros::btf_map;
use profiler_common::alloc::{Family, LiveKey, PART, RANGE_PROCESSES};

use crate::heap::live;
use crate::heap::maps::LIVE;
use crate::heap::thread::HeapThread;
use crate::maps as common;

/// How many are remembered: [`slot`] masks with a literal.
const LENGTH: usize = 64;
/// Mappings are whole pages.
const PAGE: u64 = 4096;

/// The beginnings of mappings; some are gone, and 0 is none.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ranges {
    next: u64,
    starts: [u64; LENGTH],
}

/// By number of the process.
#[btf_map]
static RANGES: HashMap<u32, Ranges, { RANGE_PROCESSES as usize }, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// What new ones are made from: too large for the stack.
#[btf_map]
static NO_RANGES: Array<Ranges, 1> = Array::new();

/// Bytes of the pages that so many bytes take.
#[inline(always)]
pub(crate) fn whole_pages(bytes: u64) -> u64 {
    bytes.wrapping_add(PAGE - 1) & !(PAGE - 1)
}

/// Remembers where a mapping begins. Where there is no room, parts of it will not be found.
#[inline(never)]
pub(crate) fn note(process: u32, start: u64) {
    if RANGES.get_ptr_mut(process).is_none()
        && let Some(empty) = NO_RANGES.get_ptr(0)
    {
        // SAFETY: nobody writes the element.
        let empty = unsafe { &*empty };
        // Another thread may be first: as wanted.
        let _ = RANGES.insert(process, empty, BPF_NOEXIST.into());
    }
    let Some(ranges) = RANGES.get_ptr_mut(process) else {
        return;
    };
    // SAFETY: a live element of the map; the place is within the array. Two threads at once may lose one of them.
    unsafe {
        let place = slot((*ranges).next);
        (*ranges).next = (*ranges).next.wrapping_add(1);
        (&raw mut (*ranges).starts).cast::<u64>().add(place).write(start);
    }
}

/// What a step of [`cut`] works with: a stack has little room, and what is cut is in the thread's state.
#[repr(C)]
struct Cutting {
    thread: *mut HeapThread,
    ranges: *const Ranges,
}

/// Places that are looked at where the kernel has no `bpf_loop`: those that were noted last.
const FEW: u64 = 4;

/// Takes the range [`HeapThread::cut`] out of the mappings that it is part of. Returns how many bytes were found there.
#[inline(never)]
pub(crate) fn cut(thread: &mut HeapThread) -> u64 {
    thread.cut.found = 0;
    thread.cut.is_behind = 0;
    let Some(ranges) = RANGES.get_ptr(thread.process) else {
        return 0;
    };
    let mut cutting = Cutting { thread, ranges };
    if common::has_loop() != 0 {
        let step: unsafe extern "C" fn(u64, *mut Cutting) -> u64 = cut_step;
        // SAFETY: the callback has the signature that the helper calls, and its context outlives the call.
        unsafe { bpf_loop(LENGTH as u32, step as *mut c_void, (&raw mut cutting).cast(), 0) };
    } else {
        // SAFETY: a live element of the map.
        let next = unsafe { (&raw const (*ranges).next).read_volatile() };
        for back in 1..=FEW {
            // SAFETY: as above.
            unsafe { cut_step(next.wrapping_sub(back), &raw mut cutting) };
        }
    }
    // SAFETY: what `cutting` was given, which is alive.
    let thread = unsafe { &mut *cutting.thread };
    if thread.cut.is_behind != 0 {
        note(thread.process, thread.cut.to);
    }
    thread.cut.found
}

/// One turn of `bpf_loop`: 1 ends it.
#[inline(never)]
unsafe extern "C" fn cut_step(place: u64, cutting: *mut Cutting) -> u64 {
    // SAFETY: the helper passes the context that `cut` gave it.
    unsafe { &mut *cutting }.step(place);
    0
}

impl Cutting {
    #[inline(always)]
    fn step(&mut self, place: u64) {
        // SAFETY: the place is within the array of a live element of the map, which other threads may write meanwhile: whole
        // words.
        let start = unsafe {
            (&raw const (*self.ranges).starts)
                .cast::<u64>()
                .add(slot(place))
                .read_volatile()
        };
        // SAFETY: what `cut` was given, which is alive.
        let thread = unsafe { &mut *self.thread };
        if start != 0 && start < thread.cut.to {
            cut_one(thread, start);
        }
    }
}

/// Takes the low bits of an index where the compiler cannot see it: it would drop a mask that it can prove, and the verifier,
/// which cannot prove it, would refuse the program.
#[inline(always)]
fn slot(place: u64) -> usize {
    let mut slot = place;
    // SAFETY: one instruction on one register.
    unsafe { asm!("{0} &= 63", inout(reg) slot, options(pure, nomem, nostack)) };
    slot as usize
}

#[inline(always)]
fn cut_one(thread: &mut HeapThread, start: u64) {
    let mut key = LiveKey {
        address: start,
        process: thread.process,
        family: Family::Mapping as u32,
    };
    // SAFETY: a torn read is of a mapping that is unmapped at once by another thread.
    let Some(mut block) = unsafe { LIVE.get(key) }.copied() else {
        return;
    };
    let end = start.wrapping_add(whole_pages(block.size));
    if end <= thread.cut.from || block.time_ns >= thread.cut.before_ns || LIVE.remove(key).is_err() {
        return;
    }
    let from = if start > thread.cut.from {
        start
    } else {
        thread.cut.from
    };
    let to = if end < thread.cut.to { end } else { thread.cut.to };
    thread.cut.found = thread.cut.found.wrapping_add(to.wrapping_sub(from));
    if from == start && to == end {
        let now_ns = thread.cut.now_ns;
        live::release(thread, &key, &block, now_ns);
        return;
    }
    let ends_at = start.wrapping_add(block.size);
    let gone_to = if to < ends_at { to } else { ends_at };
    live::shrunk(&key, &block, gone_to.wrapping_sub(from));
    if from > start {
        block.size = from.wrapping_sub(start);
        live::put_back(&key, &block);
        // What lies behind is a part of the same allocation.
        block.tid |= PART;
    }
    if to < end {
        block.size = ends_at.wrapping_sub(to);
        key.address = to;
        live::put_back(&key, &block);
        // Noted later: there is no room on the stack for another call.
        thread.cut.is_behind = 1;
    }
}
