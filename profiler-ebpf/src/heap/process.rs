//! Numbers of processes: kept until the process executes another program, and never used again.
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use profiler_common::alloc::{MAX_PROCESSES, ProcessInfo};
use profiler_common::loss::LossReason;

use crate::heap::maps::{HEAP_GIVEN, PROCESS_NUMBERS, PROCESSES};
use crate::heap::thread::HeapThread;
use crate::{atomic, maps};

/// The element of [`HEAP_GIVEN`] that counts processes.
const PROCESSES_GIVEN: u32 = 1;

/// The number of the thread's process; 0 = there is none left.
#[inline(always)]
pub(crate) fn number(thread: &mut HeapThread) -> u32 {
    if thread.process == 0 {
        thread.process = number_of_current();
    }
    thread.process
}

#[inline(never)]
fn number_of_current() -> u32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    match known(tgid) {
        0 => new(tgid, 0, 0, BPF_NOEXIST.into()),
        number => number,
    }
}

/// The number that a process has; 0 = none yet.
#[inline(always)]
pub(crate) fn known(tgid: u32) -> u32 {
    // SAFETY: one aligned word.
    unsafe { PROCESS_NUMBERS.get(tgid) }.copied().unwrap_or(0)
}

/// Gives a process a number; `how`: whether it may have one.
#[inline(always)]
pub(crate) fn new(tgid: u32, parent: u32, forked_ns: u64, how: u64) -> u32 {
    let Some(given) = HEAP_GIVEN.get_ptr_mut(PROCESSES_GIVEN) else {
        return 0;
    };
    let number = atomic::take_number(given).wrapping_add(1);
    if number >= u64::from(MAX_PROCESSES) {
        maps::lose(LossReason::ProcessesFull);
        return 0;
    }
    let number = number as u32;
    let Some(info) = PROCESSES.get_ptr_mut(number) else {
        return 0;
    };
    // SAFETY: a live element of the map that no other thread was given.
    unsafe {
        *info = ProcessInfo {
            forked_ns,
            executed_ns: 0,
            tgid,
            parent,
        };
    }
    if PROCESS_NUMBERS.insert(tgid, number, how).is_err() {
        // Another thread was first, or there is no room: then it is asked for again each time.
        return known(tgid);
    }
    number
}

/// A process executes another program: what it had is gone, and it gets another number with its first allocation.
#[inline(always)]
pub(crate) fn executed(tgid: u32) {
    let number = known(tgid);
    if number == 0 {
        return;
    }
    // It has been there: it was looked up just now.
    let _ = PROCESS_NUMBERS.remove(tgid);
    if let Some(info) = PROCESSES.get_ptr_mut(number) {
        // SAFETY: a live element of the map; the helper has no preconditions.
        unsafe {
            // A child that works on its parent's memory has its parent's number.
            if (*info).tgid == tgid {
                (*info).executed_ns = bpf_ktime_get_ns();
            }
        }
    }
}

/// What is known of the process of this number.
#[inline(always)]
pub(crate) fn info(number: u32) -> Option<ProcessInfo> {
    // SAFETY: elements are written once, before their number is known.
    PROCESSES.get(number).copied()
}
