//! Sending events to user space without a wake-up for each.
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use profiler_common::config::RssForm;
use profiler_common::event::{
    AllocEvent, FunctionCallerEvent, FunctionEvent, FunctionEventKind, FunctionMemoryEvent, ProcessEvent,
    ProcessEventKind,
};
use profiler_common::loss::LossReason;

use crate::maps::{self, EVENTS, PROCESS_EVENTS};
use crate::memory;

/// The wake-up is forced by the events that cross the threshold, and not by each that lies beyond it. Several threads
/// can cross at once: a window of a few events makes sure that one of them sees it.
const WAKE_WINDOW: u64 = 1024;

/// Sends a call or a return. `caller` is asked only where that is wanted.
#[inline(always)]
pub(crate) fn function(
    kind: FunctionEventKind,
    (time_ns, duration_ns): (u64, u64),
    (function, depth): (u32, u32),
    caller: impl FnOnce() -> u64,
) {
    // Constants to the verifier, which takes the branches out.
    if maps::rss_form() != RssForm::Unread as u32 {
        return function_with_memory(kind, time_ns, duration_ns, function, depth);
    }
    if maps::callers() != 0 {
        return function_with_caller(&FunctionCallerEvent {
            call: function_event(kind, time_ns, duration_ns, function, depth),
            caller: caller(),
        });
    }
    let Some(mut entry) = EVENTS.reserve::<FunctionEvent>(0) else {
        maps::lose(LossReason::RingFull);
        return;
    };
    entry.write(function_event(kind, time_ns, duration_ns, function, depth));
    entry.submit(wake_flag());
}

/// The same, with the process's memory.
#[inline(never)]
fn function_with_memory(kind: FunctionEventKind, time_ns: u64, duration_ns: u64, function: u32, depth: u32) {
    let memory = memory::read();
    let Some(mut entry) = EVENTS.reserve::<FunctionMemoryEvent>(0) else {
        maps::lose(LossReason::RingFull);
        return;
    };
    entry.write(FunctionMemoryEvent {
        call: function_event(kind, time_ns, duration_ns, function, depth),
        rss: memory.rss,
        vms: memory.vms,
    });
    entry.submit(wake_flag());
}

/// The same, with who called.
#[inline(never)]
fn function_with_caller(event: &FunctionCallerEvent) {
    let Some(mut entry) = EVENTS.reserve::<FunctionCallerEvent>(0) else {
        maps::lose(LossReason::RingFull);
        return;
    };
    entry.write(*event);
    entry.submit(wake_flag());
}

#[inline(always)]
fn function_event(
    kind: FunctionEventKind,
    time_ns: u64,
    duration_ns: u64,
    function: u32,
    depth: u32,
) -> FunctionEvent {
    let pid_tgid = bpf_get_current_pid_tgid();
    FunctionEvent {
        time_ns,
        duration_ns,
        pid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        function,
        depth: depth as u16,
        kind: kind as u8,
        reserved: 0,
    }
}

/// Sends an allocation or a free. Not wanted by most sessions: kept out of the programs that run at each hit.
#[inline(never)]
pub(crate) fn allocation(event: &AllocEvent) {
    let Some(mut entry) = EVENTS.reserve::<AllocEvent>(0) else {
        maps::lose(LossReason::RingFull);
        return;
    };
    entry.write(*event);
    entry.submit(wake_flag());
}

#[inline(always)]
fn wake_flag() -> u64 {
    let waiting = EVENTS.query(BPF_RB_AVAIL_DATA.into());
    let beyond = waiting.wrapping_sub(maps::wake_bytes());
    if beyond < WAKE_WINDOW {
        BPF_RB_FORCE_WAKEUP.into()
    } else {
        BPF_RB_NO_WAKEUP.into()
    }
}

/// Sends word of a thread or process. Rare: kept out of the programs that run at each hit.
#[inline(never)]
pub(crate) fn process(kind: ProcessEventKind, child: u32) {
    let Some(mut entry) = PROCESS_EVENTS.reserve::<ProcessEvent>(0) else {
        maps::lose(LossReason::ProcessRingFull);
        return;
    };
    let pid_tgid = bpf_get_current_pid_tgid();
    entry.write(ProcessEvent {
        // SAFETY: the helper has no preconditions.
        time_ns: unsafe { bpf_ktime_get_ns() },
        kind: kind as u32,
        pid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        child,
        comm: bpf_get_current_comm().unwrap_or_default(),
    });
    // Rare: let the kernel wake the reader as it sees fit.
    entry.submit(0);
}
