//! Whether a hit is wanted at all.
use profiler_common::cookie::Cookie;
use profiler_common::loss::LossReason;
use profiler_common::stats::function_flags::{OFF, generation};

use crate::maps;

/// The flags of the cookie's function, or `None` where the hit is to be ignored: the function is off, or the probe
/// belongs to a link that has been replaced, or has not replaced the old one yet.
#[inline(always)]
pub(crate) fn wanted(cookie: Cookie) -> Option<u32> {
    let flags = flags(cookie)?;
    is_current(flags, cookie).then_some(flags)
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
