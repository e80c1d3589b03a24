//! Who makes resident memory grow: the kernel tells of each change of a process's counters, and the difference to what was
//! known goes to the place where the thread stands.
//!
//! The tracepoint tells which counter changed, not by how much (`mm_trace_rss_stat`, include/linux/mm.h, 6.2 and later).
//! What two threads add at once may go to one of them; nothing is counted twice or missed.
use aya_ebpf::EbpfContext as _;
use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::macros::{btf_map, raw_tracepoint};
use aya_ebpf::programs::RawTracePointContext;
use profiler_common::loss::LossReason;
use profiler_common::rss::{BEFORE, BY_OTHERS, PAGE_COUNTERS, PAGE_KINDS, PlaceKey, ProcessSize};

use super::process::{child_task, current_tgid, is_last_thread, read_id, read_word};
use super::rss_place::{add, config, counters, nowhere, place_of};
use crate::{atomic, maps, memory};

/// By process: what is known of its memory.
#[btf_map]
static RSS_SIZES: HashMap<u32, ProcessSize, 1> = HashMap::new();

/// By address space: its process.
#[btf_map]
static RSS_OWNERS: HashMap<u64, u32, 1> = HashMap::new();

/// A counter of a process has changed. `args: mm, member`.
#[raw_tracepoint(tracepoint = "rss_stat")]
fn rss_changed(ctx: RawTracePointContext) -> i32 {
    let (mm, member) = (argument(&ctx, 0), argument(&ctx, 1));
    let Some(kind) = kind(member as u32) else { return 0 };
    let tgid = current_tgid();
    if current_mm() == Some(mm) {
        if is_target(tgid) {
            changed_own(&ctx, tgid, mm, kind);
        }
        return 0;
    }
    // SAFETY: one aligned word.
    let owner = unsafe { RSS_OWNERS.get(mm) }.copied();
    match owner {
        // What a process leaves behind when it ends or executes another program.
        Some(owner) if owner != tgid => changed_by_others(owner, mm, kind),
        Some(_) | None => {}
    }
    0
}

/// A thread has touched a page that is not there. `args: address, registers, error`.
#[raw_tracepoint(tracepoint = "page_fault_user")]
fn rss_fault(ctx: RawTracePointContext) -> i32 {
    let tgid = current_tgid();
    if !is_target(tgid) {
        return 0;
    }
    // SAFETY: aligned words, each of which is whole.
    let known = unsafe { RSS_SIZES.get(tgid) }.copied().unwrap_or_default();
    let tgid = if known.lender == 0 { tgid } else { known.lender };
    if let Some(counters) = counters(&place_of(&ctx, tgid, known.program)) {
        // SAFETY: a live element of a map.
        atomic::add(unsafe { &raw mut (*counters.as_ptr()).faults }, 1);
    }
    0
}

/// A thread makes a process or a thread. `args: parent, child`.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn rss_fork(ctx: RawTracePointContext) -> i32 {
    let parent = current_tgid();
    // Where children become targets later what they have then is not known.
    if maps::own_tgid() == 0 || !is_target(parent) {
        return 0;
    }
    let offsets = maps::config();
    let child = child_task(&ctx);
    let (Some(tgid), Some(pid)) = (
        read_id(child, offsets.task_tgid),
        read_id(child, offsets.task_pid),
    ) else {
        return 0;
    };
    let Some(mm) = read_word(child, offsets.task_mm).filter(|_| tgid == pid) else {
        return 0;
    };
    if current_mm() == Some(mm) {
        let lent = ProcessSize {
            mm,
            pages: [0; PAGE_KINDS],
            program: 0,
            lender: parent,
        };
        keep(tgid, &lent);
        return 0;
    }
    keep_own(tgid, &known_now(mm, 0));
    0
}

/// A process has executed another program, and has only what this brought.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn rss_exec(_ctx: RawTracePointContext) -> i32 {
    let tgid = current_tgid();
    let known = RSS_SIZES.get_ptr_mut(tgid);
    if !is_target(tgid) {
        if known.is_some() {
            forget(tgid);
        }
        return 0;
    }
    let Some(mm) = current_mm() else { return 0 };
    match known {
        // SAFETY: a live element of the map, of this process alone.
        Some(known) if unsafe { (*known).mm } == mm => {}
        Some(known) => {
            // SAFETY: as above.
            replaced(tgid, mm, unsafe { &mut *known });
        }
        None => {
            keep_own(
                tgid,
                &ProcessSize {
                    mm,
                    pages: [0; PAGE_KINDS],
                    program: 1,
                    lender: 0,
                },
            );
        }
    }
    0
}

/// A thread ends.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn rss_exit(_ctx: RawTracePointContext) -> i32 {
    let tgid = current_tgid();
    if RSS_SIZES.get_ptr_mut(tgid).is_some() && is_last_thread() {
        forget(tgid);
    }
    0
}

#[inline(always)]
fn argument(ctx: &RawTracePointContext, number: usize) -> u64 {
    // SAFETY: the tracepoint has that many arguments.
    unsafe { *ctx.as_ptr().cast::<u64>().add(number) }
}

/// Which kind of pages a counter of the kernel counts. `None`: none that is resident.
#[inline(always)]
fn kind(member: u32) -> Option<u32> {
    match member {
        0 => Some(0),
        1 => Some(1),
        3 => Some(2),
        _ => None,
    }
}

#[inline(always)]
fn counter(kind: u32) -> u32 {
    match kind {
        0 => PAGE_COUNTERS[0],
        1 => PAGE_COUNTERS[1],
        _ => PAGE_COUNTERS[2],
    }
}

#[inline(always)]
fn current_mm() -> Option<u64> {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    read_word(task, maps::task_mm()).filter(|mm| *mm != 0)
}

#[inline(always)]
fn is_target(tgid: u32) -> bool {
    if maps::own_tgid() != 0 && maps::check_targets() == 0 {
        return tgid != maps::own_tgid();
    }
    maps::TARGETS.get_ptr(tgid).is_some()
}

/// The memory of a process has changed while it ran.
#[inline(always)]
fn changed_own(ctx: &RawTracePointContext, tgid: u32, mm: u64, kind: u32) {
    let Some(known) = RSS_SIZES.get_ptr_mut(tgid) else {
        let known = known_now(mm, 0);
        if !keep_own(tgid, &known) {
            return;
        }
        if config().command == tgid {
            had_before(tgid, &known);
        } else {
            maps::lose(LossReason::FirstChange);
        }
        return;
    };
    // SAFETY: a live element of the map.
    let (lender, is_same) = unsafe { ((*known).lender, (*known).mm == mm) };
    if !is_same {
        // SAFETY: as above.
        replaced(tgid, mm, unsafe { &mut *known });
    } else if lender != 0 {
        if let Some(lent) = RSS_SIZES.get_ptr_mut(lender) {
            count(ctx, (lender, mm, kind), lent);
        }
        return;
    }
    count(ctx, (tgid, mm, kind), known);
}

/// Counts what a command had when it was first looked at.
#[inline(never)]
fn had_before(tgid: u32, known: &ProcessSize) {
    let place = PlaceKey {
        by: BEFORE,
        ..nowhere(tgid, known.program)
    };
    let [file, anonymous, shared] = known.pages;
    add(&place, 0, file as i64);
    add(&place, 1, anonymous as i64);
    add(&place, 2, shared as i64);
}

/// Gives what has changed since the last look to the place where the thread stands.
#[inline(always)]
fn count(ctx: &RawTracePointContext, (tgid, mm, kind): (u32, u64, u32), known: *mut ProcessSize) {
    let difference = difference(mm, kind, known);
    if difference != 0 {
        // SAFETY: a live element of the map.
        let place = place_of(ctx, tgid, unsafe { (*known).program });
        add(&place, kind, difference);
    }
}

/// Somebody else has changed the memory of a process that is known.
#[inline(never)]
fn changed_by_others(owner: u32, mm: u64, kind: u32) {
    let Some(known) = RSS_SIZES.get_ptr_mut(owner) else {
        return;
    };
    // SAFETY: a live element of the map.
    if unsafe { (*known).mm } != mm {
        return;
    }
    let difference = difference(mm, kind, known);
    if difference != 0 {
        let place = PlaceKey {
            by: BY_OTHERS,
            // SAFETY: as above.
            ..nowhere(owner, unsafe { (*known).program })
        };
        add(&place, kind, difference);
    }
}

/// By how many pages a counter differs from what was known of it.
#[inline(always)]
fn difference(mm: u64, kind: u32, known: *mut ProcessSize) -> i64 {
    let now = memory::pages(mm, counter(kind));
    // SAFETY: a live element of the map.
    let pages = unsafe { (&raw mut (*known).pages).cast::<u64>() };
    let before = match kind {
        0 => atomic::exchange(pages, now),
        1 => atomic::exchange(pages.wrapping_add(1), now),
        _ => atomic::exchange(pages.wrapping_add(2), now),
    };
    now.wrapping_sub(before) as i64
}

/// What an address space has now.
#[inline(always)]
fn known_now(mm: u64, program: u32) -> ProcessSize {
    ProcessSize {
        mm,
        pages: [
            memory::pages(mm, PAGE_COUNTERS[0]),
            memory::pages(mm, PAGE_COUNTERS[1]),
            memory::pages(mm, PAGE_COUNTERS[2]),
        ],
        program,
        lender: 0,
    }
}

/// A process has another address space now: all that it has came with its new program.
#[inline(never)]
fn replaced(tgid: u32, mm: u64, known: &mut ProcessSize) {
    if known.lender == 0 {
        // It is there.
        let _ = RSS_OWNERS.remove(known.mm);
    }
    let new = ProcessSize {
        mm,
        pages: [0; PAGE_KINDS],
        program: known.program.wrapping_add(1),
        lender: 0,
    };
    *known = new;
    let _ = RSS_OWNERS.insert(mm, tgid, 0);
}

/// Keeps what is known of a process with an address space of its own. `false`: there is no room.
#[inline(never)]
fn keep_own(tgid: u32, known: &ProcessSize) -> bool {
    if !keep(tgid, known) {
        return false;
    }
    // There is as much room as for processes. Without it what others do is not seen.
    let _ = RSS_OWNERS.insert(known.mm, tgid, 0);
    true
}

#[inline(always)]
fn keep(tgid: u32, known: &ProcessSize) -> bool {
    let is_kept = RSS_SIZES.insert(tgid, known, 0).is_ok();
    if !is_kept {
        maps::lose(LossReason::ProcessesFull);
    }
    is_kept
}

/// A process has ended, or is no target any more.
#[inline(never)]
fn forget(tgid: u32) {
    if let Some(known) = RSS_SIZES.get_ptr(tgid) {
        // SAFETY: a live element of the map.
        let known = unsafe { *known };
        if known.lender == 0 {
            // There, or as wanted.
            let _ = RSS_OWNERS.remove(known.mm);
        }
    }
    let _ = RSS_SIZES.remove(tgid);
}
