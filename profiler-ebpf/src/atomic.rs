//! Atomic operations on the maps' counters. The BPF target of rustc declares no atomics, so the instructions are
//! written out (BPF ISA, "Atomic operations"; `lock +=` since kernel 3.18, `cmpxchg` since 5.12).
use core::arch::asm;

/// Adds to a counter.
#[inline(always)]
pub(crate) fn add(counter: *mut u64, value: u64) {
    // SAFETY: callers pass an aligned 8-byte field of a map's element.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) value, options(nostack)) };
}

/// Adds one, and says what stood there before (kernel 5.12+).
#[inline(always)]
pub(crate) fn take_number(counter: *mut u64) -> u64 {
    let mut number = 1_u64;
    // SAFETY: callers pass an aligned 8-byte field of a map's element.
    unsafe {
        asm!("{1} = atomic_fetch_add((u64 *)({0} + 0), {1})", in(reg) counter, inout(reg) number, options(nostack));
    }
    number
}

/// Adds, and says what stood there before (kernel 5.12+).
#[inline(always)]
pub(crate) fn fetch_add(counter: *mut u64, value: u64) -> u64 {
    let mut before = value;
    // SAFETY: callers pass an aligned 8-byte field of a map's element.
    unsafe {
        asm!("{1} = atomic_fetch_add((u64 *)({0} + 0), {1})", in(reg) counter, inout(reg) before, options(nostack));
    }
    before
}

/// Writes, and says what stood there before (kernel 5.12+).
#[inline(always)]
pub(crate) fn exchange(counter: *mut u64, value: u64) -> u64 {
    let mut before = value;
    // SAFETY: callers pass an aligned 8-byte field of a map's element.
    unsafe {
        asm!("{1} = xchg_64({0} + 0, {1})", in(reg) counter, inout(reg) before, options(nostack));
    }
    before
}

/// Adds to a counter of 32 bits.
#[inline(always)]
pub(crate) fn add32(counter: *mut u32, value: u64) {
    // SAFETY: callers pass an aligned 4-byte field of a map's element.
    unsafe { asm!("lock *(u32 *)({0} + 0) += {1}", in(reg) counter, in(reg) value, options(nostack)) };
}

/// Writes `new` where `expected` stands, and says what stood there.
#[inline(always)]
fn compare_exchange(counter: *mut u64, expected: u64, new: u64) -> u64 {
    let mut seen = expected;
    // SAFETY: callers pass an aligned 8-byte field of a map's element; the instruction compares with r0.
    unsafe {
        asm!("r0 = cmpxchg_64({0} + 0, r0, {1})", in(reg) counter, in(reg) new, inout("r0") seen, options(nostack));
    }
    seen
}

/// Raises a counter to `value`. Improvements are rare, so the exchange hardly ever runs.
#[inline(always)]
pub(crate) fn raise(counter: *mut u64, value: u64) {
    // SAFETY: callers pass an aligned 8-byte field of a map's element.
    let mut seen = unsafe { core::ptr::read_volatile(counter) };
    // Bounded for the verifier; each failure means that another thread of this CPU raised it meanwhile.
    for _ in 0..4 {
        if seen >= value {
            return;
        }
        let found = compare_exchange(counter, seen, value);
        if found == seen {
            return;
        }
        seen = found;
    }
}
