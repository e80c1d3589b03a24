//! Which addresses were freed last: a free of one that is there already is its second.
//!
//! A table without chains, in which a later address takes the place of an earlier one: what it finds was freed, what it does
//! not find may have been.
use profiler_common::alloc::{FREED_SLOTS, Family, LiveKey};

use crate::heap::maps::FREED;

/// What stands for a block in the table, and where. Addresses of user space have 47 bits.
#[inline(always)]
fn mark(key: &LiveKey) -> (u32, u64) {
    let mark = key.address ^ (u64::from(key.process) << 48) ^ (u64::from(key.family) << 61);
    // Multiplicative hashing: the upper bits depend on all others.
    let hash = mark.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((hash >> (64 - FREED_SLOTS.ilog2())) as u32, mark)
}

/// A block was freed.
#[inline(always)]
pub(crate) fn note(key: &LiveKey) {
    // An address range can be mapped and unmapped unseen, by the kernel's own hand.
    if key.family == Family::Mapping as u32 {
        return;
    }
    let (slot, mark) = mark(key);
    if let Some(place) = FREED.get_ptr_mut(slot) {
        // SAFETY: a live element of the map, written whole.
        unsafe { place.write_volatile(mark) };
    }
}

/// Something is allocated there that nobody will know.
#[inline(never)]
pub(crate) fn forget(key: &LiveKey) {
    let (slot, mark) = mark(key);
    if let Some(place) = FREED.get_ptr_mut(slot) {
        // SAFETY: a live element of the map, read and written whole.
        unsafe {
            if place.read_volatile() == mark {
                place.write_volatile(0);
            }
        }
    }
}

/// Whether an address that is not alive was freed since the attach.
#[inline(always)]
pub(crate) fn has(key: &LiveKey) -> bool {
    let (slot, mark) = mark(key);
    FREED
        .get_ptr_mut(slot)
        // SAFETY: a live element of the map, read whole.
        .is_some_and(|place| unsafe { place.read_volatile() } == mark)
}
