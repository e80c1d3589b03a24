//! Places where memory changes, and what is counted of them.
use core::ptr::NonNull;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_USER_STACK, BPF_NOEXIST};
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_get_stackid;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::RawTracePointContext;
use profiler_common::alloc::StackChoice;
use profiler_common::loss::LossReason;
use profiler_common::rss::{NO_FUNCTION, PAGE_KINDS, PlaceCounters, PlaceKey, RssConfig};

use super::registers::UserPlace;
use crate::heap::maps::STACKS;
use crate::stack::Stack;
use crate::{atomic, maps};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// The settings.
#[unsafe(no_mangle)]
static RSS_CONFIG: RssConfig = RssConfig {
    stack: 0,
    by_thread: 0,
    command: 0,
};

/// What happened, by place.
#[btf_map]
static RSS_PLACES: HashMap<PlaceKey, PlaceCounters, 1> = HashMap::new();

/// What happened at places that found no room.
#[btf_map]
static RSS_OTHERS: Array<PlaceCounters, 1, MMAPABLE> = Array::new();

#[inline(always)]
pub(super) fn config() -> RssConfig {
    // SAFETY: a valid, initialized static.
    unsafe { core::ptr::read_volatile(&raw const RSS_CONFIG) }
}

/// No place in the program.
#[inline(always)]
pub(super) fn nowhere(tgid: u32, program: u32) -> PlaceKey {
    PlaceKey {
        ip: 0,
        tgid,
        program,
        tid: 0,
        function: NO_FUNCTION,
        stack: -1,
        by: 0,
    }
}

/// Where the current thread stands.
#[inline(always)]
pub(super) fn place_of(ctx: &RawTracePointContext, tgid: u32, program: u32) -> PlaceKey {
    let config = config();
    let user = UserPlace::current();
    let function = Stack::current().and_then(|stack| stack.innermost(user.sp));
    PlaceKey {
        ip: if config.stack == StackChoice::None as u32 {
            0
        } else {
            user.ip
        },
        tgid,
        program,
        tid: if config.by_thread == 0 {
            0
        } else {
            bpf_get_current_pid_tgid() as u32
        },
        function: function.unwrap_or(NO_FUNCTION),
        stack: stack_of(ctx, config.stack),
        by: 0,
    }
}

/// The number of the stack; negative = stacks are not kept, or there is no room.
#[inline(always)]
fn stack_of(ctx: &RawTracePointContext, choice: u32) -> i32 {
    if choice != StackChoice::FramePointers as u32 {
        return -1;
    }
    // SAFETY: the context is the kernel's, and the map one of stacks.
    let number = unsafe {
        bpf_get_stackid(
            ctx.as_ptr(),
            (&raw const STACKS).cast_mut().cast(),
            BPF_F_USER_STACK.into(),
        )
    };
    if number < 0 {
        maps::lose(LossReason::StackLost);
        return -1;
    }
    number as i32
}

/// Adds to what is known of a place.
#[inline(always)]
pub(super) fn add(place: &PlaceKey, kind: u32, difference: i64) {
    let Some(counters) = counters(place) else { return };
    let counters = counters.as_ptr();
    // SAFETY: a live element of a map; a kind is below the arrays' length.
    unsafe {
        let grown = (&raw mut (*counters).grown).cast::<u64>();
        let shrunk = (&raw mut (*counters).shrunk).cast::<u64>();
        let pages = if difference > 0 { grown } else { shrunk };
        let amount = difference.unsigned_abs();
        match kind {
            0 => atomic::add(pages, amount),
            1 => atomic::add(pages.wrapping_add(1), amount),
            _ => atomic::add(pages.wrapping_add(2), amount),
        }
        atomic::add(&raw mut (*counters).changes, 1);
    }
}

/// The counters of a place; those of all others, where there is no room.
#[inline(never)]
pub(super) fn counters(place: &PlaceKey) -> Option<NonNull<PlaceCounters>> {
    if let Some(known) = RSS_PLACES.get_ptr_mut(place) {
        return NonNull::new(known);
    }
    let empty = PlaceCounters {
        grown: [0; PAGE_KINDS],
        shrunk: [0; PAGE_KINDS],
        changes: 0,
        faults: 0,
    };
    // Another thread may have been first: as wanted.
    let _ = RSS_PLACES.insert(place, empty, BPF_NOEXIST.into());
    if let Some(new) = RSS_PLACES.get_ptr_mut(place) {
        return NonNull::new(new);
    }
    maps::lose(LossReason::PlacesFull);
    NonNull::new(RSS_OTHERS.get_ptr_mut(0)?)
}
