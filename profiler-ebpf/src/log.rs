//! Messages for whoever works on the programs: compiled in with the feature `log` only.

/// Logs that a return had no entry.
#[cfg(feature = "log")]
pub(crate) fn return_without_entry(ctx: &aya_ebpf::programs::ProbeContext, function: u32, sp: u64) {
    aya_log_ebpf::debug!(
        ctx,
        "function {}: a return without entry, stack pointer {:x}",
        function,
        sp
    );
}

/// Logs nothing.
#[cfg(not(feature = "log"))]
#[inline(always)]
pub(crate) fn return_without_entry(_ctx: &aya_ebpf::programs::ProbeContext, _function: u32, _sp: u64) {}
