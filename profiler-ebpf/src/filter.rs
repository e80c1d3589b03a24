//! Whether a hit is wanted at all.
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use profiler_common::config::target_flags;
use profiler_common::cookie::Cookie;
use profiler_common::loss::LossReason;
use profiler_common::stats::function_flags::{OFF, generation};

use crate::maps;

/// The flags of the cookie's function, or `None` where the hit is to be ignored: the function is off, the process is
/// no target, or the probe belongs to a link that has been replaced, or has not replaced the old one yet.
#[inline(always)]
pub(crate) fn wanted(cookie: Cookie) -> Option<u32> {
    let flags = flags(cookie)?;
    (is_current(flags, cookie) && is_target()).then_some(flags)
}

/// Whether hits of this process count. Only links that reach every process have to ask.
#[inline(always)]
fn is_target() -> bool {
    if maps::own_tgid() == 0 {
        return true;
    }
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if maps::check_targets() == 0 {
        return tgid != maps::own_tgid();
    }
    let is_target = maps::TARGETS.get_ptr(tgid).is_some();
    if !is_target {
        maps::count_foreign();
    }
    is_target
}

/// Whether a return probe may be armed now: not while a program or library is there that nobody has looked at, which may
/// unwind or switch stacks.
#[inline(always)]
pub(crate) fn arms_return_probes() -> bool {
    if maps::can_hold() == 0 {
        return true;
    }
    if maps::is_held() {
        return false;
    }
    if maps::check_targets() == 0 {
        return true;
    }
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: one aligned word.
    let entry = unsafe { maps::TARGETS.get(tgid) };
    entry.is_none_or(|entry| entry.flags & target_flags::HOLD == 0)
}

/// Whether hits of this probe count.
#[inline(always)]
pub(crate) fn is_current(flags: u32, cookie: Cookie) -> bool {
    flags & OFF == 0 && generation(flags) == cookie.generation
}

/// The flags of the cookie's function.
#[inline(always)]
pub(crate) fn flags(cookie: Cookie) -> Option<u32> {
    let Some(flags) = maps::FUNCTIONS.get_ptr(cookie.function.0) else {
        maps::lose(LossReason::BadCookie);
        return None;
    };
    // SAFETY: an aligned `u32` of the map. User space writes it while we read.
    Some(unsafe { core::ptr::read_volatile(flags) })
}
