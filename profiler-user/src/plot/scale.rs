//! Ticks and units: from a range of numbers to a few round ones, and what they are called.
use crate::record::{RecordForm, Unit};

/// Ticks of an axis at most.
const MOST_TICKS: f64 = 8.0;
/// Below this share of the largest value, the least one is shown with zero.
const SHOWS_ZERO: f64 = 0.4;

/// What a column of this name counts. Columns of other programs tell it by how they end.
pub(super) fn unit_of(column: &str) -> Unit {
    let forms = [
        RecordForm::Function,
        RecordForm::FunctionMemory,
        RecordForm::Event,
    ];
    let known = forms
        .into_iter()
        .flat_map(|form| form.schema().columns.into_owned())
        .find(|known| known.name == column);
    match known {
        Some(column) => column.unit,
        None if column.ends_with("_ns") => Unit::Nanoseconds,
        None if column == "bytes" || column.ends_with("_bytes") => Unit::Bytes,
        None => Unit::None,
    }
}

/// A range of numbers, and how they are shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    /// The axis begins and ends here.
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
    /// What a number is divided by to be shown, and what that is called.
    divisor: f64,
    pub(super) unit: &'static str,
}

impl Scale {
    /// From the least and the largest number. `Ends::Ticks`: the axis is stretched to the next ticks.
    pub(super) fn new(low: f64, high: f64, unit: Unit, ends: Ends) -> Self {
        let (low, high) = match ends {
            Ends::Ticks if low >= 0.0 && low <= high * SHOWS_ZERO => (0.0, high),
            Ends::Ticks | Ends::Values => (low, high),
        };
        let (divisor, name) = shown_in(unit, low.abs().max(high.abs()));
        let span = if high > low {
            high - low
        } else {
            high.abs().max(1.0)
        };
        let base = match unit {
            Unit::Bytes => Base::Two,
            Unit::None | Unit::Nanoseconds | Unit::Line => Base::Ten,
        };
        let step = base.round_up(span / divisor / MOST_TICKS) * divisor;
        // Nothing lies between two whole ones of what is not measured.
        let step = if matches!(unit, Unit::None | Unit::Line) && span >= 1.0 {
            step.max(1.0)
        } else {
            step
        };
        let (low, high) = match ends {
            Ends::Ticks if high > low => ((low / step).floor() * step, (high / step).ceil() * step),
            Ends::Values if high > low => (low, high),
            // One value: in the middle.
            Ends::Ticks | Ends::Values => (low - step, high + step),
        };
        Self {
            low,
            high,
            step,
            divisor,
            unit: name,
        }
    }

    /// Where a number lies: 0 at the beginning, 1 at the end.
    pub(super) fn place(&self, number: f64) -> f64 {
        (number - self.low) / (self.high - self.low)
    }

    /// The round numbers, and their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        let decimals = decimals(self.step / self.divisor);
        (first..=last)
            .map(|tick| {
                let number = tick as f64 * self.step;
                (number, grouped(number / self.divisor, decimals))
            })
            .collect()
    }
}

/// Where an axis ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// At round numbers.
    Ticks,
    /// At the numbers themselves.
    Values,
}

#[derive(Clone, Copy)]
enum Base {
    Two,
    Ten,
}

impl Base {
    /// The next round number.
    fn round_up(self, number: f64) -> f64 {
        match self {
            Self::Two => number.log2().ceil().exp2(),
            Self::Ten => {
                let power = 10_f64.powi(number.log10().floor() as i32);
                let digit = number / power;
                let round = [1.0, 2.0, 5.0].into_iter().find(|round| digit <= round + 1e-9);
                round.unwrap_or(10.0) * power
            }
        }
    }
}

/// The unit in which numbers up to `largest` are read well, and its size.
fn shown_in(unit: Unit, largest: f64) -> (f64, &'static str) {
    const BYTES: [(f64, &str); 5] = [
        (1_099_511_627_776.0, "TiB"),
        (1_073_741_824.0, "GiB"),
        (1_048_576.0, "MiB"),
        (1024.0, "KiB"),
        (1.0, "bytes"),
    ];
    const TIMES: [(f64, &str); 4] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let units: &[(f64, &'static str)] = match unit {
        Unit::Bytes => &BYTES,
        Unit::Nanoseconds => &TIMES,
        Unit::None | Unit::Line => &[(1.0, "")],
    };
    let fits = |(size, _): &&(f64, &str)| largest >= *size;
    units
        .iter()
        .find(fits)
        .copied()
        .unwrap_or((1.0, units[units.len() - 1].1))
}

/// Decimals that tell multiples of `step` apart.
fn decimals(step: f64) -> usize {
    (0..9)
        .find(|decimals| {
            let scaled = step * 10_f64.powi(*decimals);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        })
        .map_or(9, |decimals| decimals as usize)
}

/// `12345.5` as `12,345.5`.
fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", number.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let whole = whole
        .parse()
        .map_or_else(|_| whole.to_owned(), crate::ui::number::thousands);
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{whole}{rest}")
}

#[cfg(test)]
mod tests {
    use super::{Ends, Scale, unit_of};
    use crate::record::Unit;

    fn labels(scale: &Scale) -> String {
        let ticks = scale.ticks();
        let labels: Vec<&str> = ticks.iter().map(|(_, label)| label.as_str()).collect();
        format!("{} {}", labels.join(" "), scale.unit)
    }

    #[test]
    fn bytes_have_ticks_at_powers_of_two() {
        let mebibyte = f64::from(1 << 20);
        let scale = Scale::new(mebibyte, 9.0 * mebibyte, Unit::Bytes, Ends::Ticks);
        assert_eq!(labels(&scale), "0 2 4 6 8 10 MiB");
        let scale = Scale::new(100.0 * mebibyte, 101.0 * mebibyte, Unit::Bytes, Ends::Ticks);
        assert_eq!(
            labels(&scale),
            "100.000 100.125 100.250 100.375 100.500 100.625 100.750 100.875 101.000 MiB"
        );
        assert_eq!(
            labels(&Scale::new(0.0, 900.0, Unit::Bytes, Ends::Ticks)),
            "0 128 256 384 512 640 768 896 1,024 bytes"
        );
    }

    #[test]
    fn times_have_decimal_ticks_in_the_unit_that_reads_well() {
        assert_eq!(
            labels(&Scale::new(0.0, 32e6, Unit::Nanoseconds, Ends::Values)),
            "0 5 10 15 20 25 30 ms"
        );
        assert_eq!(
            labels(&Scale::new(0.0, 1.3e9, Unit::Nanoseconds, Ends::Values)),
            "0.0 0.2 0.4 0.6 0.8 1.0 1.2 s"
        );
        assert_eq!(
            labels(&Scale::new(0.0, 800.0, Unit::Nanoseconds, Ends::Ticks)),
            "0 100 200 300 400 500 600 700 800 ns"
        );
    }

    #[test]
    fn what_is_counted_has_whole_ticks() {
        assert_eq!(labels(&Scale::new(0.0, 3.0, Unit::None, Ends::Ticks)), "0 1 2 3 ");
        assert_eq!(
            labels(&Scale::new(-5.0, 11_000.0, Unit::None, Ends::Values)),
            "0 2,000 4,000 6,000 8,000 10,000 "
        );
    }

    #[test]
    fn one_value_lies_in_the_middle() {
        for unit in [Unit::None, Unit::Bytes, Unit::Nanoseconds] {
            for value in [0.0, 7.0, 4096.0, 1e12] {
                for ends in [Ends::Ticks, Ends::Values] {
                    let scale = Scale::new(value, value, unit, ends);
                    let place = scale.place(value);
                    assert!((0.0..=1.0).contains(&place), "{value} {unit:?}: {scale:?}");
                    let ticks = scale.ticks().len();
                    assert!((1..=20).contains(&ticks), "{value} {unit:?}: {scale:?}");
                }
            }
        }
    }

    #[test]
    fn columns_tell_their_units() {
        assert_eq!(unit_of("RSS"), Unit::Bytes);
        assert_eq!(unit_of("time_ns"), Unit::Nanoseconds);
        assert_eq!(unit_of("depth"), Unit::None);
        assert_eq!(unit_of("live_bytes"), Unit::Bytes);
        assert_eq!(unit_of("wait_ns"), Unit::Nanoseconds);
    }
}
