//! Values of options: sizes, durations, budgets.
use std::time::Duration;

/// `64M`, `4096`, `1GiB`: bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write a number with K, M or G, such as 64M");
    let (digits, unit) = split(text);
    let shift = match unit
        .to_ascii_lowercase()
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().ok().ok_or_else(wrong)?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(wrong)
}

/// `1.5`, `10s`, `500ms`, `2m`, `1h`: seconds unless it says otherwise.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write 10s, 500ms, 2m or 1.5 (seconds)");
    let (digits, unit) = split(text);
    let scale = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().ok().ok_or_else(wrong)?;
    Duration::try_from_secs_f64(number * scale).ok().ok_or_else(wrong)
}

/// Share of one core, percent, or no limit at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Probes may cost what they cost.
    Unlimited,
    /// Percent of one core.
    Percent(f64),
}

/// `25`, `25%`, `off`.
pub(super) fn budget(text: &str) -> Result<Budget, String> {
    if text == "off" {
        return Ok(Budget::Unlimited);
    }
    let percent: Option<f64> = text.trim_end_matches('%').trim_end().parse().ok();
    percent
        .filter(|percent| percent.is_finite() && *percent > 0.0)
        .map(Budget::Percent)
        .ok_or_else(|| {
            format!("`{text}` is not a share of one core: write a percentage above 0, such as 25, or off")
        })
}

/// A process id.
pub(super) fn pid(text: &str) -> Result<u32, String> {
    // The kernel's own limit is 2^22.
    match text.trim().parse() {
        Ok(pid @ 1..=0x40_0000) => Ok(pid),
        _ => Err(format!(
            "`{text}` is not a process id: write a number above 0, such as `pidof NAME` prints"
        )),
    }
}

/// The number in front, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::{Budget, budget, duration, pid, size};
    use std::time::Duration;

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("64M", 64 << 20),
            ("2k", 2048),
            ("1GiB", 1 << 30),
            ("8 MB", 8 << 20),
        ] {
            assert_eq!(size(text), Ok(bytes));
        }
        for text in ["", "M", "0", "-1", "1.5M", "1T", "99999999999G", "1iM"] {
            assert!(size(text).unwrap_err().contains(&format!("`{text}`")));
        }
    }

    #[test]
    fn durations_are_seconds_unless_they_say_otherwise() {
        for (text, milliseconds) in [
            ("1.5", 1500),
            ("10s", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("0", 0),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in [
            "",
            "s",
            "-1",
            "1d",
            "1..2",
            "inf",
            "nan",
            "999999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_budget_is_a_percentage_or_off() {
        assert_eq!(budget("25"), Ok(Budget::Percent(25.0)));
        assert_eq!(budget("2.5 %"), Ok(Budget::Percent(2.5)));
        assert_eq!(budget("off"), Ok(Budget::Unlimited));
        for text in ["0", "-5", "inf", "nan", "none", ""] {
            assert!(budget(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_process_id_is_a_number_above_zero() {
        assert_eq!(pid("4194304"), Ok(4_194_304));
        for text in ["0", "-1", "4194305", "nginx", ""] {
            assert!(pid(text).is_err(), "{text}");
        }
    }
}
