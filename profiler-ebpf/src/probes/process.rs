//! What happens to threads and processes. Raw tracepoints: they need no tracing file system.
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use profiler_common::event::ProcessEventKind;

use crate::stack::{Stack, abandon_all};
use crate::{emit, maps};

/// A thread ends.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn thread_exit(_ctx: RawTracePointContext) -> i32 {
    end_calls(ProcessEventKind::ThreadExit)
}

/// A thread replaces its program. `args: task, old_pid, bprm`.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(_ctx: RawTracePointContext) -> i32 {
    end_calls(ProcessEventKind::Exec)
}

/// A thread makes a process or a thread. `args: parent, child`.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn process_fork(ctx: RawTracePointContext) -> i32 {
    if Stack::current().is_none() {
        return 0;
    }
    let config = maps::config();
    let child = child_task(&ctx);
    let (Some(tgid), Some(pid)) = (read_id(child, config.task_tgid), read_id(child, config.task_pid)) else {
        return 0;
    };
    // A new thread has its process's id and another of its own.
    if tgid == pid {
        emit::process(ProcessEventKind::Fork, tgid);
    }
    0
}

#[inline(always)]
fn end_calls(kind: ProcessEventKind) -> i32 {
    if let Some(stack) = Stack::current() {
        abandon_all(stack);
        emit::process(kind, 0);
    }
    0
}

#[inline(always)]
fn child_task(ctx: &RawTracePointContext) -> u64 {
    // SAFETY: the tracepoint's second argument is the child's task.
    unsafe { *ctx.as_ptr().cast::<u64>().add(1) }
}

#[inline(always)]
fn read_id(task: u64, offset: u32) -> Option<u32> {
    if offset == 0 {
        return None;
    }
    let mut id = 0_u32;
    // SAFETY: the helper checks the address.
    let failed =
        unsafe { bpf_probe_read_kernel((&raw mut id).cast(), 4, (task + u64::from(offset)) as *const _) };
    (failed == 0).then_some(id)
}
