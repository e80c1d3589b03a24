//! The counters of one function on one CPU, as they lie in the shared map.
//!
//! The map is a plain array of `cpus × functions` slots, `slot = cpu × functions + function`, that user space maps
//! read-only. Writers use atomic additions: a probe can be preempted, and two threads of one CPU then share a slot.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One function's counters on one CPU: one cache line. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct FunctionStats {
    /// Entries that opened a frame. With [`Self::untimed`] they are the calls: a hit adds to one of the two, as each
    /// atomic addition takes some 5 ns.
    pub timed: u64,
    /// Returns that were paired with their entry.
    pub returns: u64,
    /// Sum of the paired calls' durations.
    pub total_ns: u64,
    /// What of that was spent in the probed functions they called: rarely added to, as the hottest functions call none.
    pub child_ns: u64,
    /// `u64::MAX − shortest`, so that a zeroed slot means "none": both extremes are maxima.
    pub min_complement: u64,
    /// The longest paired call.
    pub max_ns: u64,
    /// Calls whose return never came ([`crate::loss::LossReason::EntryWithoutReturn`]).
    pub abandoned: u64,
    /// Entries that opened no frame (entry-only probes, full shadow stack).
    pub untimed: u64,
}

const _: () = assert!(size_of::<FunctionStats>() == 64, "one cache line");

/// What a probe of a function does, changed while running. One `u32` per function in a shared map.
pub mod function_flags {
    /// Hits do nothing at all.
    pub const OFF: u32 = 1 << 0;
    /// Calls and returns are sent through the ring.
    pub const EVENTS: u32 = 1 << 1;
    /// The function opens a focus window.
    pub const FOCUS: u32 = 1 << 2;
    /// Its return probe does no harm whatever the process loads: it is armed in any case.
    pub const HARMLESS: u32 = 1 << 3;
    /// Where the generation of the links in force lies: a probe with another generation is ignored.
    pub const GENERATION_SHIFT: u32 = 8;
    /// Width of the generation.
    pub const GENERATION_MASK: u32 = 0xff;

    /// The generation that `flags` name.
    pub const fn generation(flags: u32) -> u8 {
        ((flags >> GENERATION_SHIFT) & GENERATION_MASK) as u8
    }

    /// `flags` with another generation.
    pub const fn with_generation(flags: u32, generation: u8) -> u32 {
        (flags & !(GENERATION_MASK << GENERATION_SHIFT)) | ((generation as u32) << GENERATION_SHIFT)
    }
}
