//! Counting: atomic, because a probe can be preempted and another thread of the same CPU then shares the slot.
use core::ptr::NonNull;

use profiler_common::histogram::bucket;
use profiler_common::stats::FunctionStats;

use crate::atomic::{add, raise};
use crate::maps;

/// A function was entered, and its return is waited for.
#[inline(always)]
pub(crate) fn timed(stats: NonNull<FunctionStats>) {
    // SAFETY: the pointer is to a live slot.
    add(unsafe { &raw mut (*stats.as_ptr()).timed }, 1);
}

/// A function was entered, and its duration will not be known.
#[inline(always)]
pub(crate) fn untimed(stats: NonNull<FunctionStats>) {
    // SAFETY: the pointer is to a live slot.
    add(unsafe { &raw mut (*stats.as_ptr()).untimed }, 1);
}

/// A call's return will never be seen.
#[inline(always)]
pub(crate) fn abandoned(function: u32) {
    if let Some(stats) = maps::stats(function) {
        // SAFETY: the pointer is to a live slot.
        add(unsafe { &raw mut (*stats.as_ptr()).abandoned }, 1);
    }
}

/// A function returned.
#[inline(always)]
pub(crate) fn returned(function: u32, duration_ns: u64, child_ns: u64) {
    let Some(stats) = maps::stats(function) else {
        return;
    };
    let stats = stats.as_ptr();
    // SAFETY: the pointer is to a live slot.
    unsafe {
        add(&raw mut (*stats).returns, 1);
        add(&raw mut (*stats).total_ns, duration_ns);
        if child_ns != 0 {
            add(&raw mut (*stats).child_ns, child_ns);
        }
        raise(&raw mut (*stats).min_complement, u64::MAX - duration_ns);
        raise(&raw mut (*stats).max_ns, duration_ns);
    }
    if maps::bucket_count() != 0 {
        maps::count_bucket(function, bucket_of(duration_ns));
    }
}

/// The verifier sees a constant resolution; each arm is a bucket function with constant shifts.
#[inline(always)]
fn bucket_of(duration_ns: u64) -> u32 {
    match maps::resolution() {
        3 => bucket(duration_ns, 3),
        2 => bucket(duration_ns, 2),
        1 => bucket(duration_ns, 1),
        _ => bucket(duration_ns, 0),
    }
}
