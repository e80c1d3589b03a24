//! The blocks that are alive. A block leaves at the entry of what frees it and enters at the return of what allocates it,
//! so that an address that is used again at once is never in the way.
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use profiler_common::alloc::{Family, LiveBlock, LiveKey, PART, SiteKey, StackChoice};
use profiler_common::event::AllocEventKind;
use profiler_common::loss::LossReason;

use crate::heap::maps::{self, LIVE};
use crate::heap::process;
use crate::heap::sites::{self, Account};
use crate::heap::thread::{Freed, HeapThread};
use crate::heap::{events, freed};
use crate::probes::Registers;
use crate::{atomic, maps as common, stack};

/// How many generations of forks a free is looked for.
const GENERATIONS: u32 = 4;
/// `-EEXIST`.
const EXISTS: i32 = -17;

/// An allocation that succeeded, or did not.
#[derive(Clone, Copy)]
pub(crate) struct Allocation {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) caller: u64,
    pub(crate) now_ns: u64,
    pub(crate) process: u32,
    pub(crate) family: Family,
    pub(crate) function: u32,
    pub(crate) stack: i32,
}

impl Allocation {
    #[inline(always)]
    fn key(&self) -> LiveKey {
        LiveKey {
            address: self.address,
            process: self.process,
            family: self.family as u32,
        }
    }

    #[inline(always)]
    fn site(&self) -> u32 {
        let tid = bpf_get_current_pid_tgid() as u32;
        sites::number(&SiteKey {
            caller: if maps::stack() == StackChoice::None as u32 {
                0
            } else {
                self.caller
            },
            process: self.process,
            tid: if maps::by_thread() == 0 { 0 } else { tid },
            function: self.function,
            stack: self.stack,
        })
    }
}

/// A block was allocated.
#[inline(never)]
pub(crate) fn allocated(allocation: &Allocation) {
    let family = allocation.family as u32;
    let number = allocation.site();
    let Some(account) = Account::of(number, family) else {
        return;
    };
    let key = allocation.key();
    let block = LiveBlock {
        size: allocation.size,
        time_ns: allocation.now_ns,
        site: number,
        tid: bpf_get_current_pid_tgid() as u32,
    };
    let mut inserted = LIVE.insert(key, block, BPF_NOEXIST.into());
    if inserted == Err(EXISTS) {
        replaced(&key, allocation.family, allocation.now_ns);
        inserted = LIVE.insert(key, block, 0);
    }
    if inserted.is_ok() {
        account.allocated(allocation.size, allocation.now_ns);
    } else {
        common::lose(LossReason::LiveFull);
        freed::forget(&key);
        account.untracked(allocation.size);
    }
}

/// Something is allocated at an address that was alive: its free was not seen. A mapping may replace another.
#[inline(never)]
fn replaced(key: &LiveKey, family: Family, now_ns: u64) {
    let Some(old) = take(key) else { return };
    if let Some(account) = Account::of(old.site, key.family) {
        if old.tid & PART != 0 {
            account.shrunk(old.size);
            return;
        }
        account.freed(old.size, now_ns.saturating_sub(old.time_ns), false);
        if family != Family::Mapping {
            let totals = account.totals.as_ptr();
            // SAFETY: a live element of the map.
            atomic::add(unsafe { &raw mut (*totals).missed_frees }, 1);
        }
    }
}

/// A call returned no memory.
#[inline(never)]
pub(crate) fn failed(allocation: &Allocation) {
    if let Some(account) = Account::of(allocation.site(), allocation.family as u32) {
        account.failed();
    }
}

/// Takes a block out, if it is alive.
#[inline(always)]
pub(crate) fn take(key: &LiveKey) -> Option<LiveBlock> {
    // SAFETY: a torn read is of a block that two threads free at once.
    let block = *unsafe { LIVE.get(key) }?;
    LIVE.remove(key).ok()?;
    Some(block)
}

/// Puts a block back that was taken out in vain.
#[inline(always)]
pub(crate) fn put_back(key: &LiveKey, block: &LiveBlock) {
    if LIVE.insert(key, block, 0).is_err() {
        common::lose(LossReason::LiveFull);
        freed::forget(key);
        if let Some(account) = Account::of(block.site, key.family) {
            account.forgotten(block.size);
        }
    }
}

/// A block that was taken out is free.
#[inline(always)]
pub(crate) fn release(thread: &mut HeapThread, key: &LiveKey, block: &LiveBlock, now_ns: u64) {
    let temporary = thread.last_address == key.address && thread.last_family == key.family;
    if temporary {
        thread.last_address = 0;
    }
    freed::note(key);
    if let Some(account) = Account::of(block.site, key.family) {
        if block.tid & PART != 0 {
            account.shrunk(block.size);
            return;
        }
        account.freed(block.size, now_ns.saturating_sub(block.time_ns), temporary);
    }
}

/// The entry of a function that frees.
#[inline(always)]
pub(crate) fn free(thread: &mut HeapThread, key: &LiveKey, call: &Freed, registers: Registers) {
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { aya_ebpf::helpers::bpf_ktime_get_ns() };
    let last = thread.freed;
    thread.freed = *call;
    let size = if let Some(block) = take(key) {
        release(thread, key, &block, now_ns);
        block.size
    } else {
        let within = last.address == call.address
            && last.family == call.family
            && call.sp <= last.sp
            && last.function != call.function;
        if within {
            // What the last free calls: `operator delete` calls `free`.
            thread.freed = last;
            return;
        }
        if maps::sample_bytes() == 0 {
            unknown(key, registers.return_address().wrapping_sub(registers.ip()));
        }
        0
    };
    events::emit(
        AllocEventKind::Free,
        (now_ns, caller(registers)),
        (key.address, size),
        call.function,
    );
}

/// Who frees, where anybody asks.
#[inline(always)]
fn caller(registers: Registers) -> u64 {
    if maps::events() == 0 {
        0
    } else if common::callers() != 0 {
        stack::told_caller(registers.return_address())
    } else {
        registers.return_address()
    }
}

/// How far from its own code an allocator is called by itself.
const OWN_CODE: u64 = 32 << 10;

/// A free of an address that is not known in its process: the parent's, from before the fork, or unknown altogether. An
/// allocator may free again what lies in its caches: it calls from `distance` bytes away. Not to be asked where some
/// allocations are passed over.
#[inline(never)]
pub(crate) fn unknown(key: &LiveKey, distance: u64) {
    let Some(totals) = sites::totals(key.family) else {
        return;
    };
    let totals = totals.as_ptr();
    let mut process = key.process;
    for _ in 0..GENERATIONS {
        let Some(info) = process::info(process) else { break };
        if info.parent == 0 {
            break;
        }
        process = info.parent;
        let of_parent = LiveKey { process, ..*key };
        // SAFETY: a torn read is of a block that is freed meanwhile.
        let block = unsafe { LIVE.get(of_parent) };
        if block.is_some_and(|block| block.time_ns <= info.forked_ns) {
            // SAFETY: a live element of the map.
            atomic::add(unsafe { &raw mut (*totals).inherited_frees }, 1);
            return;
        }
    }
    // SAFETY: a live element of the map.
    unsafe {
        let counter = if key.family == Family::Mapping as u32 {
            &raw mut (*totals).partial_unmaps
        } else if key.family == Family::Heap as u32 && distance.wrapping_add(OWN_CODE) < 2 * OWN_CODE {
            &raw mut (*totals).internal_frees
        } else if freed::has(key) {
            &raw mut (*totals).double_frees
        } else {
            &raw mut (*totals).unknown_frees
        };
        atomic::add(counter, 1);
    }
}

/// A part of a block is gone: what is left of it may begin elsewhere.
#[inline(never)]
pub(crate) fn shrink(rest: &LiveKey, block: &LiveBlock, gone: u64) {
    shrunk(rest, block, gone);
    put_back(rest, block);
}

/// So many bytes of a block are gone.
#[inline(always)]
pub(crate) fn shrunk(key: &LiveKey, block: &LiveBlock, gone: u64) {
    if let Some(account) = Account::of(block.site, key.family) {
        account.shrunk(gone);
    }
}

/// The block of a call that resizes or unmaps is not known.
#[inline(always)]
pub(crate) fn unknown_here(key: &LiveKey) {
    if maps::sample_bytes() == 0 {
        unknown(key, u64::MAX >> 1);
    }
}
