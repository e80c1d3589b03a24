//! What happens to threads and processes. Raw tracepoints: they need no tracing file system.
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use profiler_common::config::{NO_ROW, TargetEntry, target_flags};
use profiler_common::event::ProcessEventKind;
use profiler_common::loss::LossReason;

use crate::stack::{Stack, abandon_all};
use crate::{emit, maps};

/// A thread ends.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn thread_exit(_ctx: RawTracePointContext) -> i32 {
    if let Some(stack) = Stack::current() {
        abandon_all(stack);
        emit::process(ProcessEventKind::ThreadExit, 0);
    }
    if is_last_thread() {
        // No target, mostly. Its id may be another process's soon.
        let _ = maps::TARGETS.remove(current_tgid());
    }
    0
}

/// Whether the process of the thread that ends has no other: `current->signal->live`, which was counted down before
/// (`do_exit`, kernel/exit.c).
#[inline(always)]
pub(super) fn is_last_thread() -> bool {
    let config = maps::config();
    if config.task_signal == 0 || config.signal_live == 0 {
        return false;
    }
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let mut signal = 0_u64;
    // SAFETY: the helper checks the address.
    let failed = unsafe {
        bpf_probe_read_kernel(
            (&raw mut signal).cast(),
            8,
            (task + u64::from(config.task_signal)) as *const _,
        )
    };
    failed == 0 && read_id(signal, config.signal_live) == Some(0)
}

/// A thread replaces its program. `args: task, old_pid, bprm`.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(_ctx: RawTracePointContext) -> i32 {
    let target = target();
    let hold = target.map_or(0, look_before_returns);
    let stack = Stack::current();
    if let Some(stack) = stack {
        abandon_all(stack);
        if maps::grouping() != 0 {
            stack.change_row();
        }
    }
    if target.is_some() || stack.is_some() {
        emit::process(ProcessEventKind::Exec, hold);
    }
    0
}

/// A target runs another program: it may have what return probes would break. Returns the number of a hold, or 0.
#[inline(always)]
fn look_before_returns(entry: TargetEntry) -> u32 {
    if maps::can_hold() == 0 {
        // Not to be done here, or no return probe was planned that a program executed later could break.
        return 0;
    }
    if maps::check_targets() == 0 {
        return maps::hold();
    }
    let tgid = current_tgid();
    if entry.flags & target_flags::ROOT == 0 {
        // Gone already: as wanted.
        let _ = maps::TARGETS.remove(tgid);
        return 0;
    }
    let held = TargetEntry {
        row: entry.row,
        flags: entry.flags | target_flags::HOLD,
    };
    // The entry is there: it is only overwritten.
    let _ = maps::TARGETS.insert(tgid, held, 0);
    0
}

/// A thread makes a process or a thread. `args: parent, child`.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn process_fork(ctx: RawTracePointContext) -> i32 {
    let target = target();
    if target.is_none() && Stack::current().is_none() {
        return 0;
    }
    let config = maps::config();
    let child = child_task(&ctx);
    let (Some(tgid), Some(pid)) = (read_id(child, config.task_tgid), read_id(child, config.task_pid)) else {
        return 0;
    };
    // A new thread has its process's id and another of its own.
    if tgid != pid {
        return 0;
    }
    if maps::check_targets() != 0
        && let Some(parent) = target
    {
        // Here and not in user space, so that not even the child's first call is missed.
        let entry = TargetEntry {
            row: NO_ROW,
            flags: parent.flags & target_flags::HOLD,
        };
        if maps::TARGETS.insert(tgid, entry, 0).is_err() {
            maps::lose(LossReason::TargetsFull);
        }
    }
    emit::process(ProcessEventKind::Fork, tgid);
    0
}

#[inline(always)]
pub(super) fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// What is known of this process as a target, if it is one.
#[inline(always)]
fn target() -> Option<TargetEntry> {
    // SAFETY: a torn read is of two aligned words, each of which is whole.
    unsafe { maps::TARGETS.get(current_tgid()) }.copied()
}

#[inline(always)]
pub(super) fn child_task(ctx: &RawTracePointContext) -> u64 {
    // SAFETY: the tracepoint's second argument is the child's task.
    unsafe { *ctx.as_ptr().cast::<u64>().add(1) }
}

#[inline(always)]
pub(super) fn read_id(task: u64, offset: u32) -> Option<u32> {
    if offset == 0 {
        return None;
    }
    let mut id = 0_u32;
    // SAFETY: the helper checks the address.
    let failed =
        unsafe { bpf_probe_read_kernel((&raw mut id).cast(), 4, (task + u64::from(offset)) as *const _) };
    (failed == 0).then_some(id)
}

/// A word of a task; `None`: where it lies is not known.
#[inline(always)]
pub(super) fn read_word(task: u64, offset: u32) -> Option<u64> {
    if offset == 0 {
        return None;
    }
    let mut word = 0_u64;
    // SAFETY: the helper checks the address.
    let failed =
        unsafe { bpf_probe_read_kernel((&raw mut word).cast(), 8, (task + u64::from(offset)) as *const _) };
    (failed == 0).then_some(word)
}
