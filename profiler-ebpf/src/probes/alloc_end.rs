//! What a call of an allocator came to, when it returns.
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use profiler_common::alloc::{Action, Family, LiveBlock, LiveKey, Shape};
use profiler_common::event::AllocEventKind;
use profiler_common::loss::LossReason;

use crate::heap::events;
use crate::heap::live::{self, Allocation};
use crate::heap::ranges;
use crate::heap::thread::{Cut, FIXED, HAS_OLD, HeapThread, PASSED_OVER, Pending};
use crate::{maps, memory};

/// What `mmap` returns when it fails.
const MAP_FAILED: u64 = u64::MAX;

/// Whether the call concerns a block that is there.
#[inline(always)]
pub(super) fn resizes(action: Action) -> bool {
    matches!(
        action,
        Action::Reallocate | Action::Unmap | Action::Remap | Action::Resize
    )
}

/// The block that was taken out for the call is taken out again by the one that is jumped to.
#[inline(always)]
pub(super) fn give_back(pending: &Pending, family: Family) {
    if pending.flags & HAS_OLD != 0 {
        live::put_back(&old_key(pending, family), &pending.old);
    }
}

#[inline(always)]
fn old_key(pending: &Pending, family: Family) -> LiveKey {
    LiveKey {
        address: pending.pointer,
        process: pending.reserved,
        family: family as u32,
    }
}

/// What a call came to.
enum End {
    /// It allocated at this address.
    Allocated(u64),
    /// It freed, and allocated nothing.
    Freed,
    /// It failed: all is as it was.
    Failed,
    /// The heap ends earlier: at the first of these, no longer at the second.
    Lowered(u64, u64),
    /// It did nothing.
    Nothing,
}

#[inline(always)]
fn end(pending: &Pending, action: Action, result: u64) -> End {
    let address = |failure: u64| {
        if result == failure {
            End::Failed
        } else {
            End::Allocated(result)
        }
    };
    let nothing = result == 0 && pending.size == 0;
    match action {
        Action::Allocate | Action::AllocateAlone if nothing => End::Nothing,
        Action::Reallocate if nothing && pending.pointer == 0 => End::Nothing,
        Action::Reallocate if nothing => End::Freed,
        Action::Allocate | Action::AllocateAlone | Action::Reallocate => address(0),
        Action::AllocateOut if result as u32 == 0 => written(pending.pointer),
        Action::Unmap if result == 0 => End::Freed,
        Action::Break | Action::BreakTo if pending.size == 0 => End::Nothing,
        Action::Break if result != MAP_FAILED && (pending.size as i64) < 0 => {
            End::Lowered(result.wrapping_add(pending.size), result)
        }
        // The C library's answer is no proof: it takes a refusal to go below the heap's beginning for a success.
        Action::BreakTo if memory::end_of_heap() != pending.pointer.wrapping_add(pending.size) => End::Failed,
        Action::BreakTo if (pending.size as i64) < 0 => {
            End::Lowered(pending.pointer.wrapping_add(pending.size), pending.pointer)
        }
        Action::BreakTo => End::Allocated(pending.pointer),
        Action::Map | Action::Remap | Action::Break => address(MAP_FAILED),
        Action::Resize if result >= pending.size => End::Allocated(pending.pointer),
        Action::AllocateOut | Action::Unmap | Action::Resize => End::Failed,
        Action::None | Action::Free | Action::Forward => End::Nothing,
    }
}

/// The address that was written to where an argument pointed.
#[inline(always)]
fn written(place: u64) -> End {
    let mut address = 0_u64;
    // SAFETY: the helper checks the address.
    let failed = unsafe { bpf_probe_read_user((&raw mut address).cast(), 8, place as *const _) };
    if failed != 0 {
        maps::lose(LossReason::PointerUnreadable);
        return End::Nothing;
    }
    if address == 0 {
        End::Nothing
    } else {
        End::Allocated(address)
    }
}

#[inline(always)]
pub(super) fn conclude(
    thread: &mut HeapThread,
    pending: &Pending,
    shape: Shape,
    (result, now_ns): (u64, u64),
) {
    thread.allocation = Allocation {
        address: 0,
        size: pending.size,
        caller: pending.caller,
        now_ns,
        process: pending.reserved,
        family: shape.family,
        function: pending.function,
        stack: pending.stack,
    };
    let place = (now_ns, pending.caller);
    match end(pending, shape.action, result) {
        End::Nothing => give_back(pending, shape.family),
        End::Lowered(from, to) => {
            thread.cut = range((from, to), u64::MAX, now_ns);
            cut(thread, pending);
        }
        End::Failed => {
            give_back(pending, shape.family);
            if shape.action != Action::Unmap && shape.action != Action::Resize {
                live::failed(&thread.allocation);
            }
        }
        End::Freed if shape.action == Action::Unmap => unmap(thread, pending, shape, now_ns),
        End::Freed => {
            let size = free_old(thread, pending, shape, now_ns);
            events::emit(
                AllocEventKind::ReallocateFree,
                place,
                (pending.pointer, size),
                pending.function,
            );
        }
        End::Allocated(address) => {
            thread.allocation.address = address;
            arrive(thread, pending, shape, now_ns);
        }
    }
}

/// A call has returned a block.
#[inline(always)]
fn arrive(thread: &mut HeapThread, pending: &Pending, shape: Shape, now_ns: u64) {
    let address = thread.allocation.address;
    let place = (now_ns, pending.caller);
    let replaces = resizes(shape.action) && pending.pointer != 0;
    if replaces {
        let size = free_old(thread, pending, shape, now_ns);
        events::emit(
            AllocEventKind::ReallocateFree,
            place,
            (pending.pointer, size),
            pending.function,
        );
    }
    let kind = if resizes(shape.action) {
        AllocEventKind::Reallocate
    } else {
        AllocEventKind::Allocate
    };
    if pending.flags & FIXED != 0 {
        let to = address.wrapping_add(ranges::whole_pages(pending.size));
        thread.cut = range((address, to), u64::MAX, now_ns);
        // Mostly there is nothing that it takes the place of.
        ranges::cut(thread);
    }
    if pending.flags & PASSED_OVER == 0 {
        thread.last_address = address;
        thread.last_family = shape.family as u32;
        live::allocated(&thread.allocation);
        if shape.family == Family::Mapping {
            ranges::note(pending.reserved, address);
        }
        events::emit(kind, place, (address, pending.size), pending.function);
    } else {
        thread.last_address = 0;
    }
}

/// The block that got another size, or was freed by it: its bytes, if it was known.
#[inline(always)]
fn free_old(thread: &mut HeapThread, pending: &Pending, shape: Shape, now_ns: u64) -> u64 {
    let key = old_key(pending, shape.family);
    if pending.flags & HAS_OLD != 0 {
        let old = pending.old;
        live::release(thread, &key, &old, now_ns);
        old.size
    } else {
        live::unknown_here(&key);
        0
    }
}

/// A range was unmapped: of a whole mapping or its front, which were taken out, of parts of others.
#[inline(always)]
fn unmap(thread: &mut HeapThread, pending: &Pending, shape: Shape, now_ns: u64) {
    let key = old_key(pending, shape.family);
    let length = ranges::whole_pages(pending.size);
    let to = key.address.wrapping_add(length);
    if pending.flags & HAS_OLD == 0 {
        thread.cut = range((key.address, to), pending.entered_ns, now_ns);
        cut(thread, pending);
        return;
    }
    let old = pending.old;
    let gone = if length < old.size { length } else { old.size };
    events::emit(
        AllocEventKind::Free,
        (now_ns, pending.caller),
        (key.address, gone),
        pending.function,
    );
    if length >= old.size {
        live::release(thread, &key, &old, now_ns);
        let from = key.address.wrapping_add(ranges::whole_pages(old.size));
        if from < to {
            thread.cut = range((from, to), pending.entered_ns, now_ns);
            ranges::cut(thread);
        }
        return;
    }
    let rest = LiveBlock {
        size: old.size - length,
        ..old
    };
    let rest_key = LiveKey {
        address: key.address.wrapping_add(length),
        ..key
    };
    live::shrink(&rest_key, &rest, length);
    ranges::note(pending.reserved, rest_key.address);
}

#[inline(always)]
fn range((from, to): (u64, u64), before_ns: u64, now_ns: u64) -> Cut {
    Cut {
        from,
        to,
        before_ns,
        now_ns,
        found: 0,
        is_behind: 0,
    }
}

/// Takes a range out of what is mapped. One that is not known, or in part, is counted.
#[inline(always)]
fn cut(thread: &mut HeapThread, pending: &Pending) {
    let found = ranges::cut(thread);
    let Cut { from, to, now_ns, .. } = thread.cut;
    if found < to.wrapping_sub(from) {
        live::unknown_here(&LiveKey {
            address: from,
            process: pending.reserved,
            family: Family::Mapping as u32,
        });
    }
    events::emit(
        AllocEventKind::Free,
        (now_ns, pending.caller),
        (from, found),
        pending.function,
    );
}
