//! A series as steps: a value holds until the next one. What would be drawn at the same place is one step.

/// A change of value, in units of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// Where.
    pub(super) x: f64,
    /// The first value there, and the last, which holds from there on.
    pub(super) first: f64,
    pub(super) last: f64,
    /// The least and the largest of those between.
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Joins points, in the order of x, that lie within the same `1 / fineness`. Peaks stay.
pub(super) fn steps(points: impl Iterator<Item = (f64, f64)>, fineness: f64) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (x, y) in points {
        let x = (x * fineness).round() / fineness;
        match steps.last_mut() {
            Some(step) if step.x >= x => {
                step.last = y;
                step.low = step.low.min(y);
                step.high = step.high.max(y);
            }
            Some(_) | None => steps.push(Step {
                x,
                first: y,
                last: y,
                low: y,
                high: y,
            }),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn what_falls_together_keeps_its_peaks_and_its_end() {
        let points = [(1.0, 5.0), (1.01, 9.0), (1.02, 1.0), (1.03, 4.0), (2.0, 4.0)];
        let joined = steps(points.into_iter(), 4.0);
        assert_eq!(joined.len(), 2);
        let step = joined[0];
        assert_eq!((step.x, step.first, step.last), (1.0, 5.0, 4.0));
        assert_eq!((step.low, step.high), (1.0, 9.0));
    }

    #[test]
    fn a_million_points_become_as_many_steps_as_there_are_places() {
        let points = (0..1_000_000).map(|index| (f64::from(index) / 10_000.0, f64::from(index % 7)));
        let joined = steps(points, 4.0);
        assert_eq!(joined.len(), 401);
        assert!(
            joined[1..400]
                .iter()
                .all(|step| (step.low, step.high) == (0.0, 6.0))
        );
    }
}
