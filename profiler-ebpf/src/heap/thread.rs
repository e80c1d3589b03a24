//! What is known of a thread: which allocation it is in, and what it did last.
use core::arch::asm;
use core::ptr::NonNull;

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use profiler_common::alloc::{Family, LiveBlock};
use profiler_common::sampling;

use crate::heap::live::Allocation;
use crate::heap::maps::{self, HEAP_THREADS};

/// The return comes through a return probe.
pub(crate) const RETURN_PROBE: u32 = 1 << 0;
/// The block that is resized or unmapped was alive, and is kept in `old`.
pub(crate) const HAS_OLD: u32 = 1 << 1;
/// What is allocated is passed over: others stand for it.
pub(crate) const PASSED_OVER: u32 = 1 << 2;
/// A mapping that takes the place of what is there (`MAP_FIXED`).
pub(crate) const FIXED: u32 = 1 << 3;

/// A call of an allocator that has not returned. Within it, calls of the same family do not count.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    /// Where its return address lies; 0 = there is no such call.
    pub(crate) sp: u64,
    pub(crate) caller: u64,
    pub(crate) size: u64,
    pub(crate) pointer: u64,
    pub(crate) function: u32,
    /// [`RETURN_PROBE`], [`HAS_OLD`], [`PASSED_OVER`], [`FIXED`].
    pub(crate) flags: u32,
    pub(crate) stack: i32,
    pub(crate) reserved: u32,
    pub(crate) old: LiveBlock,
    /// When it was entered, ns; 0 = that does not matter.
    pub(crate) entered_ns: u64,
}

/// A call that will call another allocator and return what that returns: the latter counts, on the former's caller.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Forwarded {
    /// Where its return address lies; 0 = there is no such call.
    pub(crate) sp: u64,
    pub(crate) caller: u64,
    pub(crate) size: u64,
    pub(crate) function: u32,
    pub(crate) stack: i32,
}

/// How much farther down the stack the other call may be, and how much more it may ask for: aligned sizes are rounded up.
const FORWARD_SPAN: u64 = 1024;
const FORWARD_ROUNDING: u64 = 4096;

impl Forwarded {
    /// Whether a call at `sp` for so many bytes is the one that it passes on to.
    #[inline(always)]
    pub(crate) fn is_for(&self, sp: u64, size: u64) -> bool {
        self.sp != 0
            && self.sp.wrapping_sub(sp) < FORWARD_SPAN
            && size.wrapping_sub(self.size) < FORWARD_ROUNDING
    }
}

/// The last free: those that it calls in turn are none.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Freed {
    pub(crate) address: u64,
    pub(crate) sp: u64,
    pub(crate) function: u32,
    pub(crate) family: u32,
}

/// A range of addresses that is no mapping any more.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Mappings that were made later are others.
    pub(crate) before_ns: u64,
    pub(crate) now_ns: u64,
    /// How many bytes of it were known.
    pub(crate) found: u64,
    /// 1 = a mapping goes on behind it.
    pub(crate) is_behind: u64,
}

/// A power of two, and more than there are families.
const SLOTS: usize = 8;

/// What is known of a thread. Zeroed by the kernel when made.
#[repr(C)]
pub(crate) struct HeapThread {
    pending: [Pending; SLOTS],
    /// By family: where the return address of the call lay that returned last.
    returned: [u64; SLOTS],
    pub(crate) forwarded: Forwarded,
    pub(crate) freed: Freed,
    pub(crate) cut: Cut,
    /// The allocation that is being counted: here, since older kernels add up the stacks of a call chain to 512 bytes.
    pub(crate) allocation: Allocation,
    /// The address of the last allocation, if it was not freed yet.
    pub(crate) last_address: u64,
    /// Bytes until the next sample.
    until_sample: u64,
    pub(crate) last_family: u32,
    /// The number of its process; 0 = not asked for yet.
    pub(crate) process: u32,
    /// `until_sample` was drawn.
    is_drawn: u32,
    reserved: u32,
}

/// What is known of the current thread, made where there is nothing.
#[inline(always)]
pub(crate) fn current_or_new() -> Option<&'static mut HeapThread> {
    // SAFETY: the state lives as long as the thread, which is running this; one thread runs one probe at a time.
    HEAP_THREADS
        .get_or_new()
        .map(|mut state| unsafe { state.as_mut() })
}

/// What is known of the current thread, if anything.
#[inline(always)]
pub(crate) fn current() -> Option<&'static mut HeapThread> {
    // SAFETY: as in `current_or_new`.
    HEAP_THREADS
        .get()
        .map(|mut state: NonNull<HeapThread>| unsafe { state.as_mut() })
}

/// The family's slot, masked where the compiler cannot see it: it would drop a mask that it can prove.
#[inline(always)]
fn slot(family: Family) -> usize {
    let mut slot = family as u64;
    // SAFETY: one instruction on one register.
    unsafe { asm!("{0} &= 7", inout(reg) slot, options(pure, nomem, nostack)) };
    slot as usize
}

impl HeapThread {
    /// The call of the family that has not returned.
    #[inline(always)]
    pub(crate) fn pending(&mut self, family: Family) -> &mut Pending {
        // SAFETY: the slot is below the array's length.
        unsafe { &mut *(&raw mut self.pending).cast::<Pending>().add(slot(family)) }
    }

    /// Where the return address of the family's last call lay.
    #[inline(always)]
    pub(crate) fn returned(&mut self, family: Family) -> &mut u64 {
        // SAFETY: the slot is below the array's length.
        unsafe { &mut *(&raw mut self.returned).cast::<u64>().add(slot(family)) }
    }

    /// Whom a call at `sp` returns to, if that is known from a call of another family that jumped to it: a return probe
    /// of that call has replaced the return address on the stack.
    #[inline(always)]
    pub(crate) fn caller_at(&mut self, sp: u64) -> Option<u64> {
        for family in Family::ALL {
            let pending = self.pending(family);
            if pending.sp == sp {
                return Some(pending.caller);
            }
        }
        None
    }

    /// Open calls, which will not return any more. They are forgotten.
    #[inline(always)]
    pub(crate) fn abandon(&mut self) -> u32 {
        let mut open = 0;
        for family in Family::ALL {
            let pending = self.pending(family);
            open += u32::from(pending.sp != 0);
            pending.sp = 0;
        }
        open
    }

    /// Whether an allocation of so many bytes is to be counted.
    #[inline(always)]
    pub(crate) fn is_sampled(&mut self, size: u64) -> bool {
        let mean = maps::sample_bytes();
        if mean == 0 {
            return true;
        }
        if self.is_drawn == 0 {
            self.is_drawn = 1;
            self.until_sample = draw(mean);
        }
        // An allocation of nothing is taken for one of a byte.
        let size = if size == 0 { 1 } else { size };
        if self.until_sample >= size {
            self.until_sample -= size;
            return false;
        }
        // The distance has no memory: how far the sample lies within the allocation does not matter.
        self.until_sample = draw(mean);
        true
    }
}

#[inline(never)]
fn draw(mean: u64) -> u64 {
    // SAFETY: the helper has no preconditions.
    sampling::distance(unsafe { bpf_get_prandom_u32() }, mean)
}
