//! What becomes of the blocks of a process that forks, executes another program, or ends.
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use profiler_common::loss::LossReason;

use super::process::{child_task, read_id, read_word};
use crate::heap::maps::PROCESS_NUMBERS;
use crate::heap::{process, thread};
use crate::maps;

/// A thread makes a process or a thread. `args: parent, child`.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn heap_fork(ctx: RawTracePointContext) -> i32 {
    let config = maps::config();
    let child = child_task(&ctx);
    let (Some(tgid), Some(pid)) = (read_id(child, config.task_tgid), read_id(child, config.task_pid)) else {
        return 0;
    };
    if tgid != pid {
        return 0;
    }
    let own_tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let mut parent = process::known(own_tgid);
    if parent == 0 && maps::TARGETS.get_ptr(own_tgid).is_some() {
        // It has not allocated yet. Its child is named by what it maps.
        parent = process::new(own_tgid, 0, 0, BPF_NOEXIST.into());
    }
    if parent == 0 {
        // Of an earlier process with this id. Mostly there is none: as wanted.
        let _ = PROCESS_NUMBERS.remove(tgid);
        return 0;
    }
    // SAFETY: the helper has no preconditions.
    let own = unsafe { bpf_get_current_task() };
    let memory = |task| read_word(task, config.task_mm);
    if memory(own).is_some() && memory(own) == memory(child) {
        // Until it executes another program it works on its parent's memory (`vfork`).
        let _ = PROCESS_NUMBERS.insert(tgid, parent, 0);
        return 0;
    }
    // SAFETY: the helper has no preconditions.
    process::new(tgid, parent, unsafe { bpf_ktime_get_ns() }, 0);
    0
}

/// A process replaces its program, and its memory with it.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn heap_exec(_ctx: RawTracePointContext) -> i32 {
    if let Some(thread) = thread::current() {
        thread.abandon();
        thread.forwarded.sp = 0;
        thread.last_address = 0;
        thread.freed.address = 0;
        thread.process = 0;
    }
    process::executed((bpf_get_current_pid_tgid() >> 32) as u32);
    0
}

/// A thread ends.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn heap_exit(_ctx: RawTracePointContext) -> i32 {
    if let Some(thread) = thread::current()
        && thread.abandon() > 0
    {
        maps::lose(LossReason::EntryWithoutReturn);
    }
    0
}
