//! The counters of call sites.
use aya_ebpf::bindings::BPF_NOEXIST;
use core::ptr::NonNull;
use profiler_common::alloc::{
    FamilyTotals, LIFETIME_BUCKETS, SIZE_BUCKETS, SiteKey, SiteStats, lifetime_bucket, size_bucket,
};
use profiler_common::loss::LossReason;
use profiler_common::sampling;

use crate::heap::maps::{self, FAMILY_TOTALS, HEAP_GIVEN, SITE_NUMBERS, SITES};
use crate::{atomic, maps as common};

/// The site of all for which there was no room.
const OTHERS: u32 = 0;
/// The element of [`HEAP_GIVEN`] that counts sites.
const SITES_GIVEN: u32 = 0;

/// The number of a site.
#[inline(always)]
pub(crate) fn number(key: &SiteKey) -> u32 {
    // SAFETY: one aligned word.
    match unsafe { SITE_NUMBERS.get(key) } {
        Some(number) => *number,
        None => new(key),
    }
}

#[inline(never)]
fn new(key: &SiteKey) -> u32 {
    let Some(given) = HEAP_GIVEN.get_ptr_mut(SITES_GIVEN) else {
        return OTHERS;
    };
    // SAFETY: an aligned word of the map, which other CPUs write meanwhile.
    let so_far = unsafe { core::ptr::read_volatile(given) };
    if so_far.wrapping_add(1) >= u64::from(maps::site_count()) {
        common::lose(LossReason::SitesFull);
        return OTHERS;
    }
    let number = atomic::take_number(given).wrapping_add(1) as u32;
    let Some(site) = SITES.get_ptr_mut(number) else {
        common::lose(LossReason::SitesFull);
        return OTHERS;
    };
    // SAFETY: a live element of the map that no other thread was given.
    unsafe { (*site).key = *key };
    if SITE_NUMBERS.insert(key, number, BPF_NOEXIST.into()).is_err() {
        // Another thread was first: the number stays unused.
        // SAFETY: one aligned word.
        return unsafe { SITE_NUMBERS.get(key) }.copied().unwrap_or(OTHERS);
    }
    number
}

/// The counters of a site.
#[inline(always)]
pub(crate) fn stats(number: u32) -> Option<NonNull<SiteStats>> {
    NonNull::new(SITES.get_ptr_mut(number)?)
}

/// The totals of a family.
#[inline(always)]
pub(crate) fn totals(family: u32) -> Option<NonNull<FamilyTotals>> {
    NonNull::new(FAMILY_TOTALS.get_ptr_mut(family)?)
}

/// What an allocation counts as: so many, and so many bytes.
#[inline(always)]
pub(crate) fn weight(size: u64) -> (u64, u64) {
    match maps::sample_bytes() {
        0 => (1, size),
        mean => sampled_weight(size, mean),
    }
}

#[inline(never)]
fn sampled_count(size: u64, mean: u64) -> u64 {
    sampling::weight(size, mean).0
}

#[inline(never)]
fn sampled_bytes(size: u64, mean: u64) -> u64 {
    sampling::weight(size, mean).1
}

#[inline(always)]
fn sampled_weight(size: u64, mean: u64) -> (u64, u64) {
    (sampled_count(size, mean), sampled_bytes(size, mean))
}

/// A site and its family, about to change.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) site: NonNull<SiteStats>,
    pub(crate) totals: NonNull<FamilyTotals>,
}

impl Account {
    #[inline(always)]
    pub(crate) fn of(site: u32, family: u32) -> Option<Self> {
        Some(Self {
            site: stats(site)?,
            totals: totals(family)?,
        })
    }

    /// Keeps what the site had at the last peak, if it has not changed since.
    #[inline(always)]
    fn keep_peak(self) {
        let (site, family) = (self.site.as_ptr(), self.totals.as_ptr());
        // SAFETY: live elements of maps, whose words others change meanwhile.
        unsafe {
            let epoch = core::ptr::read_volatile(&raw const (*family).epoch);
            if (*site).epoch != epoch {
                (*site).at_peak_bytes = (*site).live_bytes;
                (*site).at_peak_count = (*site).live_count();
                (*site).epoch = epoch;
            }
        }
    }

    /// A block is alive that was allocated there.
    #[inline(always)]
    pub(crate) fn allocated(self, asked: u64, now_ns: u64) {
        let (count, bytes) = weight(asked);
        let (site, family) = (self.site.as_ptr(), self.totals.as_ptr());
        self.keep_peak();
        self.count_size(asked, count, bytes);
        // SAFETY: live elements of maps.
        unsafe {
            let live = atomic::fetch_add(&raw mut (*site).live_bytes, bytes).wrapping_add(bytes);
            atomic::raise(&raw mut (*site).peak_bytes, live);
            let now = atomic::fetch_add(&raw mut (*family).live_bytes, bytes).wrapping_add(bytes);
            if now > core::ptr::read_volatile(&raw const (*family).peak_bytes) {
                atomic::raise(&raw mut (*family).peak_bytes, now);
                atomic::add(&raw mut (*family).epoch, 1);
                core::ptr::write_volatile(&raw mut (*family).peak_ns, now_ns);
            }
        }
    }

    /// A block was allocated there whose end will not be seen.
    #[inline(always)]
    pub(crate) fn untracked(self, asked: u64) {
        let (count, bytes) = weight(asked);
        self.count_size(asked, count, bytes);
        let (site, family) = (self.site.as_ptr(), self.totals.as_ptr());
        // SAFETY: live elements of maps.
        unsafe {
            atomic::add(&raw mut (*site).untracked, count);
            atomic::add(&raw mut (*site).untracked_bytes, bytes);
            atomic::add(&raw mut (*family).untracked, count);
        }
    }

    /// A block that had been alive is, for want of room, not known any more.
    #[inline(always)]
    pub(crate) fn forgotten(self, asked: u64) {
        let (count, bytes) = weight(asked);
        self.keep_peak();
        let (site, family) = (self.site.as_ptr(), self.totals.as_ptr());
        // SAFETY: live elements of maps.
        unsafe {
            atomic::add(&raw mut (*site).live_bytes, bytes.wrapping_neg());
            atomic::add(&raw mut (*family).live_bytes, bytes.wrapping_neg());
            atomic::add(&raw mut (*site).untracked, count);
            atomic::add(&raw mut (*site).untracked_bytes, bytes);
            atomic::add(&raw mut (*family).untracked, count);
        }
    }

    #[inline(always)]
    fn count_size(self, asked: u64, count: u64, bytes: u64) {
        let site = self.site.as_ptr();
        // SAFETY: a live element of the map; the bucket is below the array's length.
        unsafe {
            atomic::add(&raw mut (*site).allocations, count);
            atomic::add(&raw mut (*site).bytes, bytes);
            if maps::sample_bytes() != 0 {
                atomic::add(&raw mut (*site).samples, 1);
            }
            let bucket = size_bucket(asked) as usize;
            if bucket < SIZE_BUCKETS {
                atomic::add((&raw mut (*site).sizes).cast::<u64>().add(bucket), count);
            }
        }
    }

    /// A block that was allocated there is freed. `temporary`: by its thread, before the next allocation.
    #[inline(always)]
    pub(crate) fn freed(self, asked: u64, age_ns: u64, temporary: bool) {
        let (count, bytes) = weight(asked);
        self.keep_peak();
        let (site, family) = (self.site.as_ptr(), self.totals.as_ptr());
        // SAFETY: live elements of maps; the bucket is below the array's length.
        unsafe {
            atomic::add(&raw mut (*site).frees, count);
            atomic::add(&raw mut (*site).live_bytes, bytes.wrapping_neg());
            atomic::add(&raw mut (*family).live_bytes, bytes.wrapping_neg());
            if temporary {
                atomic::add(&raw mut (*site).temporary, count);
            }
            let bucket = lifetime_bucket(age_ns) as usize;
            if bucket < LIFETIME_BUCKETS {
                atomic::add((&raw mut (*site).lifetimes).cast::<u64>().add(bucket), count);
            }
        }
    }

    /// The front of a block is gone, the rest is alive.
    #[inline(always)]
    pub(crate) fn shrunk(self, bytes: u64) {
        self.keep_peak();
        let (site, family) = (self.site.as_ptr(), self.totals.as_ptr());
        // SAFETY: live elements of maps.
        unsafe {
            atomic::add(&raw mut (*site).live_bytes, bytes.wrapping_neg());
            atomic::add(&raw mut (*family).live_bytes, bytes.wrapping_neg());
        }
    }

    /// A call there returned no memory.
    #[inline(always)]
    pub(crate) fn failed(self) {
        let site = self.site.as_ptr();
        // SAFETY: a live element of the map.
        unsafe { atomic::add(&raw mut (*site).failed, 1) };
    }
}
