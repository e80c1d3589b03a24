//! What was counted, merged over CPUs: one [`FunctionTotals`] per function.
pub mod histogram;

use histogram::Histogram;

/// One function's counters, merged over CPUs. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionTotals {
    /// Entries.
    pub calls: u64,
    /// Returns that were paired with their entry: only these have a duration.
    pub returns: u64,
    /// Sum of durations.
    pub total_ns: u64,
    /// Sum of durations without those of the probed functions called.
    pub self_ns: u64,
    /// The shortest and the longest paired call.
    pub extremes_ns: Option<(u64, u64)>,
    /// Calls whose return never came.
    pub abandoned: u64,
    /// Calls that were counted and not timed.
    pub untimed: u64,
    /// The durations, in buckets; empty where memory did not allow it.
    pub histogram: Histogram,
}

impl FunctionTotals {
    /// Calls that have begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.calls.saturating_sub(self.returns + self.abandoned + self.untimed)
    }

    /// Mean duration, ns.
    pub fn mean_ns(&self) -> Option<u64> {
        self.total_ns.checked_div(self.returns)
    }
}
