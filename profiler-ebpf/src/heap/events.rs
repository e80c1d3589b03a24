//! Sending every allocation and free, where that was asked for.
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use profiler_common::event::{AllocEvent, AllocEventKind};

use crate::emit;
use crate::heap::maps;

/// Sends an allocation or a free: when, called from where, which address, how many bytes, by which function.
#[inline(always)]
pub(crate) fn emit(
    kind: AllocEventKind,
    (time_ns, caller): (u64, u64),
    (address, size): (u64, u64),
    function: u32,
) {
    if maps::events() != 0 {
        let pid_tgid = bpf_get_current_pid_tgid();
        emit::allocation(&AllocEvent {
            time_ns,
            address,
            size,
            caller,
            pid: (pid_tgid >> 32) as u32,
            tid: pid_tgid as u32,
            function,
            kind: kind as u32,
        });
    }
}
