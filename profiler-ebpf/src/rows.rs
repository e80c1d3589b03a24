//! Rows of counters for processes or threads, given at their first hit.
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use profiler_common::config::{Grouping, NO_ROW, OTHERS_ROW, RowOwner, TargetEntry};

use crate::{atomic, maps};

/// `BPF_NOEXIST`: two threads of a process may come at once.
const ONLY_NEW: u64 = 1;

/// The row of a thread that hits its first probe. Rare: kept out of the programs that run at each hit.
#[inline(never)]
pub(crate) fn of_new_thread() -> u32 {
    if maps::grouping() == Grouping::Thread as u32 {
        return new_row();
    }
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let known = entry_of(tgid);
    match known {
        Some(entry) if entry.row != NO_ROW => entry.row,
        Some(_) | None => {
            let row = new_row();
            let flags = known.map_or(0, |entry| entry.flags);
            let how = if known.is_some() { 0 } else { ONLY_NEW };
            // Full, or another thread was first: its row is as good.
            let _ = maps::TARGETS.insert(tgid, TargetEntry { row, flags }, how);
            match entry_of(tgid) {
                Some(entry) if entry.row != NO_ROW => entry.row,
                Some(_) | None => row,
            }
        }
    }
}

/// The row of a thread whose process runs another program now: what it is called, and whose it is, may have changed.
#[inline(never)]
pub(crate) fn after_exec() -> u32 {
    let row = new_row();
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if maps::grouping() == Grouping::Process as u32
        && let Some(TargetEntry { row: _, flags }) = entry_of(tgid)
    {
        // The entry is there: it is only overwritten.
        let _ = maps::TARGETS.insert(tgid, TargetEntry { row, flags }, 0);
    }
    row
}

#[inline(always)]
fn entry_of(tgid: u32) -> Option<TargetEntry> {
    // SAFETY: a torn read is of two aligned words, each of which is whole.
    unsafe { maps::TARGETS.get(tgid) }.copied()
}

/// A row that nobody had, with this thread as its owner.
fn new_row() -> u32 {
    let Some(given) = maps::ROWS_GIVEN.get_ptr_mut(0) else {
        return OTHERS_ROW;
    };
    // Row 0 is of the others.
    let row = atomic::take_number(given).wrapping_add(1);
    if row >= u64::from(maps::row_count()) {
        return OTHERS_ROW;
    }
    let row = row as u32;
    let Some(owner) = maps::ROWS.get_ptr_mut(row) else {
        return OTHERS_ROW;
    };
    let pid_tgid = bpf_get_current_pid_tgid();
    // SAFETY: a live element of the map that no other thread was given.
    unsafe {
        *owner = RowOwner {
            since_ns: bpf_ktime_get_ns(),
            pid: (pid_tgid >> 32) as u32,
            tid: pid_tgid as u32,
            comm: bpf_get_current_comm().unwrap_or_default(),
        };
    }
    row
}
