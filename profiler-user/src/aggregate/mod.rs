//! What was counted, merged over CPUs: one [`FunctionTotals`] per function.
pub mod growth;
pub mod histogram;
pub mod memory;

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
        self.calls
            .saturating_sub(self.returns + self.abandoned + self.untimed)
    }

    /// Mean duration, ns.
    pub fn mean_ns(&self) -> Option<u64> {
        self.total_ns.checked_div(self.returns)
    }

    /// The duration, ns, at or below which the share `quantile` (0…1) of the paired calls lies: never outside the exact
    /// extremes.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let value = self.histogram.quantile(quantile)?;
        Some(
            self.extremes_ns
                .map_or(value, |(min, max)| value.clamp(min, max.max(min))),
        )
    }

    /// Adds the counters of `other`: the same function on another CPU, in another process, or in an earlier attachment.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            calls,
            returns,
            total_ns,
            self_ns,
            extremes_ns,
            abandoned,
            untimed,
            histogram,
        } = self;
        *calls += other.calls;
        *returns += other.returns;
        *total_ns += other.total_ns;
        *self_ns += other.self_ns;
        *abandoned += other.abandoned;
        *untimed += other.untimed;
        *extremes_ns = match (*extremes_ns, other.extremes_ns) {
            (Some((min, max)), Some((other_min, other_max))) => {
                Some((min.min(other_min), max.max(other_max)))
            }
            (one, another) => one.or(another),
        };
        histogram.merge(&other.histogram);
    }
}

#[cfg(test)]
mod tests {
    use super::FunctionTotals;
    use super::histogram::Histogram;
    use profiler_common::histogram::{bucket, bucket_count};

    fn once(duration_ns: u64) -> FunctionTotals {
        let mut buckets = vec![0; bucket_count(3) as usize];
        buckets[bucket(duration_ns, 3) as usize] = 1;
        FunctionTotals {
            calls: 1,
            returns: 1,
            total_ns: duration_ns,
            self_ns: duration_ns,
            extremes_ns: Some((duration_ns, duration_ns)),
            histogram: Histogram {
                resolution: 3,
                buckets,
            },
            ..FunctionTotals::default()
        }
    }

    #[test]
    fn merged_counters_are_those_of_both() {
        let mut totals = FunctionTotals::default();
        for duration_ns in [100, 300, 200] {
            totals.merge(&once(duration_ns));
        }
        assert_eq!(
            (totals.calls, totals.total_ns, totals.extremes_ns),
            (3, 600, Some((100, 300)))
        );
        assert_eq!((totals.mean_ns(), totals.in_flight()), (Some(200), 0));
        assert_eq!(totals.histogram.buckets.iter().sum::<u64>(), 3);
    }

    #[test]
    fn a_quantile_never_lies_outside_the_exact_extremes() {
        for duration_ns in [1, 1000, 1023, 1024, 999_999] {
            assert_eq!(once(duration_ns).quantile_ns(0.99), Some(duration_ns));
        }
        assert_eq!(FunctionTotals::default().quantile_ns(0.5), None);
    }
}
