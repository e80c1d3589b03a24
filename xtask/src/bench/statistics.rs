//! Medians and their surroundings.

use serde_json::{Value, json};

/// What the runs gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The middle one, or the mean of the middle two; 0 of none.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let upper = sorted.len() / 2;
        let lower = sorted.len().saturating_sub(1) / 2;
        match (sorted.get(lower), sorted.get(upper)) {
            (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
            _ => 0.0,
        }
    }

    /// The sample that this share of all does not exceed; 0 of none.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let position = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(position.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    pub(super) fn min(&self) -> f64 {
        self.0.iter().copied().reduce(f64::min).unwrap_or(0.0)
    }

    pub(super) fn max(&self) -> f64 {
        self.0.iter().copied().reduce(f64::max).unwrap_or(0.0)
    }

    /// Run by run, ours through theirs: what disturbed the machine for a while disturbed both.
    pub(super) fn ratios(&self, theirs: &Self) -> Self {
        Self(
            self.0
                .iter()
                .zip(&theirs.0)
                .map(|(ours, theirs)| ours / theirs)
                .collect(),
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({"median": self.median(), "min": self.min(), "max": self.max(), "samples": self.0})
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        let median = |samples: &[f64]| samples.iter().copied().collect::<Samples>().median();
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

    #[test]
    fn a_quantile_is_a_sample_that_its_share_does_not_exceed() {
        let samples: Samples = (1..=20).map(f64::from).collect();
        assert!((samples.quantile(0.95) - 19.0).abs() < 1e-9);
        assert!((samples.quantile(1.0) - 20.0).abs() < 1e-9);
        assert!(Samples::new().quantile(0.5).abs() < 1e-9);
    }

    #[test]
    fn ratios_pair_the_runs() {
        let ours: Samples = [1.0, 4.0].into_iter().collect();
        let theirs: Samples = [2.0, 2.0].into_iter().collect();
        assert_eq!(ours.ratios(&theirs), [0.5, 2.0].into_iter().collect());
    }
}
