//! Numbers for people.

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A duration with four significant digits: `999 ns`, `1.234 µs`, `56.78 ms`, `9,876 s`.
pub fn duration(nanoseconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s")];
    if nanoseconds < 1000 {
        return format!("{nanoseconds} ns");
    }
    for (unit, name) in UNITS {
        for decimals in (1..=3).rev() {
            let step = unit / 10_u64.pow(decimals);
            let steps = rounded(nanoseconds, step);
            if steps < 10_000 {
                let scale = 10_u64.pow(decimals);
                let width = decimals as usize;
                return format!("{}.{:0width$} {name}", steps / scale, steps % scale);
            }
        }
    }
    format!("{} s", thousands(rounded(nanoseconds, 1_000_000_000)))
}

/// A share with three significant digits: `12.3 %`, `100 %`, `0.05 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = match percent {
        p if p >= 99.95 => 0,
        p if p >= 9.995 => 1,
        _ => 2,
    };
    format!("{percent:.decimals$} %")
}

/// `bytes` in the largest binary unit that divides it: `64M`.
pub fn bytes(bytes: u64) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

fn rounded(value: u64, step: u64) -> u64 {
    value / step + u64::from(value % step >= step.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, percent, thousands};

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn durations_have_four_significant_digits_in_the_unit_that_fits() {
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.000 µs"),
            (1234, "1.234 µs"),
            (9_999, "9.999 µs"),
            (12_345, "12.35 µs"),
            (99_994, "99.99 µs"),
            (99_996, "100.0 µs"),
            (999_940, "999.9 µs"),
            (999_960, "1.000 ms"),
            (1_500_000, "1.500 ms"),
            (123_456_789, "123.5 ms"),
            (60_000_000_000, "60.00 s"),
            (999_960_000_000, "1,000 s"),
            (9_876_543_210_000, "9,877 s"),
            (u64::MAX, "18,446,744,074 s"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }

    #[test]
    fn shares_have_three_digits() {
        for (share, text) in [
            (0.0, "0.00 %"),
            (0.0005, "0.05 %"),
            (0.1234, "12.3 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn sizes_keep_their_value() {
        for (size, text) in [
            (64 << 20, "64M"),
            (1 << 30, "1G"),
            (4096, "4K"),
            (4097, "4097"),
            (0, "0"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }
}
