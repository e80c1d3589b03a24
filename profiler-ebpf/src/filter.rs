//! Whether a hit is wanted at all.
use profiler_common::cookie::Cookie;
use profiler_common::loss::LossReason;
use profiler_common::stats::function_flags::{OFF, generation};

use crate::maps;

/// The flags of the cookie's function, or `None` where the hit is to be ignored: the function is off, or the probe
/// belongs to a link that has been replaced.
#[inline(always)]
pub(crate) fn wanted(cookie: Cookie) -> Option<u32> {
    let Some(flags) = maps::FUNCTIONS.get_ptr(cookie.function.0) else {
        maps::lose(LossReason::BadCookie);
        return None;
    };
    // SAFETY: an aligned `u32` of the map. User space writes it while we read.
    let flags = unsafe { core::ptr::read_volatile(flags) };
    (flags & OFF == 0 && generation(flags) == cookie.generation).then_some(flags)
}
