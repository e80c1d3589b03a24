//! Durations in buckets, and the quantiles read from them.
use profiler_common::histogram::representative;

/// A histogram of durations. No buckets = none was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Resolution of the buckets ([`profiler_common::histogram`]).
    pub resolution: u32,
    /// Calls per bucket.
    pub buckets: Vec<u64>,
}

impl Histogram {
    /// The duration, ns, below or at which the share `quantile` (0…1) of the calls lies.
    ///
    /// Wrong by at most [`profiler_common::histogram::relative_error`] of itself.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let total: u64 = self.buckets.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        self.buckets.iter().zip(0_u32..).find_map(|(count, bucket)| {
            seen += count;
            (seen >= rank).then(|| representative(bucket, self.resolution))
        })
    }

    /// Adds the buckets of `other`, which has the same resolution, or none.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.clone_from(other);
            return;
        }
        debug_assert!(other.buckets.is_empty() || other.resolution == self.resolution);
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *count += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;
    use profiler_common::histogram::{bucket, bucket_count};

    fn filled(values: impl Iterator<Item = u64>) -> Histogram {
        let mut buckets = vec![0; bucket_count(3) as usize];
        for value in values {
            buckets[bucket(value, 3) as usize] += 1;
        }
        Histogram {
            resolution: 3,
            buckets,
        }
    }

    #[test]
    fn quantiles_of_a_uniform_distribution_are_within_the_stated_error() {
        let histogram = filled(1..=100_000);
        for (quantile, truth) in [
            (0.5, 50_000.0),
            (0.9, 90_000.0),
            (0.99, 99_000.0),
            (0.999, 99_900.0),
        ] {
            let shown = histogram.quantile(quantile).unwrap() as f64;
            assert!(
                (shown - truth).abs() / truth <= 0.0625,
                "p{quantile}: {shown} for {truth}"
            );
        }
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(filled(std::iter::empty()).quantile(0.5), None);
    }
}
