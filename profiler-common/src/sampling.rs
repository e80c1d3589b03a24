//! Sampling by bytes: an allocation of `s` bytes is taken with probability `1 − exp(−s / mean)`, as if one byte in `mean`
//! were marked at random, and then stands for `1 / (1 − exp(−s / mean))` allocations of its size.
//!
//! Whole numbers only, since eBPF has no others: both sides get the same weight from the same size.
use crate::alloc::{SAMPLED_UNIT, bit_length};

/// The largest mean distance, bytes.
pub const MAX_MEAN: u64 = 1 << 34;

/// One, in numbers that have 32 binary places.
const ONE: u64 = 1 << 32;
/// `ln 2` and `1 / ln 2`, 24 binary places.
const LN_2: u64 = 11_629_080;
const INVERSE_LN_2: u64 = 24_204_406;
/// `2^(−1/256)`, 60 binary places.
const ROOT: u64 = 1_149_804_069_520_534_666;

const STEPS: usize = 256;

/// `log2(1 + i/256)`, 24 binary places.
static LOG2: [u32; STEPS + 1] = log2_table();
/// `2^(−i/256)`, 31 binary places.
static EXP2: [u32; STEPS + 1] = exp2_table();

const fn log2_table() -> [u32; STEPS + 1] {
    let mut table = [0; STEPS + 1];
    let mut index = 0;
    while index <= STEPS {
        // Squaring a number doubles its logarithm: each place of it is whether the square reaches two.
        let mut value = ((STEPS + index) as u128) << 52;
        let mut result = 0_u32;
        if index == STEPS {
            result = 1 << 24;
        } else {
            let mut place = 0;
            while place < 24 {
                value = (value * value) >> 60;
                result <<= 1;
                if value >= 2 << 60 {
                    value >>= 1;
                    result |= 1;
                }
                place += 1;
            }
        }
        table[index] = result;
        index += 1;
    }
    table
}

const fn exp2_table() -> [u32; STEPS + 1] {
    let mut table = [0; STEPS + 1];
    let mut value = 1_u128 << 60;
    let mut index = 0;
    while index <= STEPS {
        table[index] = (value >> 29) as u32;
        value = (value * ROOT as u128) >> 60;
        index += 1;
    }
    table
}

/// How many bytes are passed over until the next sample: exponentially distributed with this mean, bytes, from a uniform
/// random number.
#[expect(clippy::inline_always, reason = "BPF functions can be nested only eight deep")]
#[inline(always)]
pub fn distance(random: u32, mean: u64) -> u64 {
    let uniform = u64::from(random) + 1;
    let exponent = bit_length(uniform) - 1;
    // In 2^32 … 2^33.
    let mantissa = uniform << (32 - exponent);
    let index = (mantissa >> 24) & 0xff;
    let rest = mantissa & 0xff_ffff;
    let (low, high) = pair(&LOG2, index);
    let fraction = low + (((high - low) * rest) >> 24);
    let logarithm = (32 << 24) - ((u64::from(exponent) << 24) + fraction);
    (mean * ((logarithm * LN_2) >> 24)) >> 24
}

/// What one sample of this size stands for: so many allocations, in units of `1 /` [`SAMPLED_UNIT`], and so many bytes.
#[expect(clippy::inline_always, reason = "BPF functions can be nested only eight deep")]
#[inline(always)]
pub fn weight(size: u64, mean: u64) -> (u64, u64) {
    let probability = probability(size, mean);
    if probability == ONE {
        return (SAMPLED_UNIT, size);
    }
    let count = ratio(SAMPLED_UNIT << 32, probability);
    let bytes = if size < ONE {
        ratio(size << 32, probability)
    } else {
        ratio(size << 16, probability >> 16)
    };
    (count, bytes)
}

/// `1 − exp(−size / mean)`, 32 binary places, at least one of the last.
#[expect(clippy::inline_always, reason = "BPF functions can be nested only eight deep")]
#[inline(always)]
fn probability(size: u64, mean: u64) -> u64 {
    let size = if size == 0 { 1 } else { size };
    // The rest is beyond the last place.
    if ratio(size, mean) >= 22 {
        return ONE;
    }
    let x = if size < ONE {
        ratio(size << 32, mean)
    } else {
        ratio(size << 16, mean) << 16
    };
    let found = if x < ONE / 8 {
        let square = (x * x) >> 32;
        let cube = (square * x) >> 32;
        let fourth = (cube * x) >> 32;
        x - square / 2 + cube / 6 - fourth / 24
    } else {
        let y = ((x >> 8) * INVERSE_LN_2) >> 24;
        let (high, low) = pair(&EXP2, (y >> 16) & 0xff);
        let part = high - (((high - low) * (y & 0xffff)) >> 16);
        ONE - ((part << 1) >> (y >> 24))
    };
    if found == 0 { 1 } else { found }
}

/// A division that cannot panic: the verifier would follow it there.
#[expect(clippy::inline_always, reason = "BPF functions can be nested only eight deep")]
#[inline(always)]
const fn ratio(number: u64, by: u64) -> u64 {
    match number.checked_div(by) {
        Some(quotient) => quotient,
        None => 0,
    }
}

/// Two neighbours of a table.
#[expect(clippy::inline_always, reason = "BPF functions can be nested only eight deep")]
#[inline(always)]
fn pair(table: &'static [u32; STEPS + 1], index: u64) -> (u64, u64) {
    let index = (index as usize) & (STEPS - 1);
    (u64::from(table[index]), u64::from(table[index + 1]))
}

#[cfg(test)]
mod tests {
    use super::{MAX_MEAN, distance, weight};
    use crate::alloc::SAMPLED_UNIT;

    fn exact(size: u64, mean: u64) -> f64 {
        let x = (size as f64) / (mean as f64);
        1.0 / -(-x).exp_m1()
    }

    #[test]
    fn weights_are_right_to_a_tenth_of_a_per_mille() {
        for mean in [1, 100, 4096, 512 << 10, 1 << 30, MAX_MEAN] {
            for size in [1, 8, 100, 4096, 65_537, 1 << 20, 1 << 31, 1 << 33, 1 << 40] {
                // Smaller probabilities have too few places; such allocations are never seen.
                if (size as f64) / (mean as f64) < 1e-5 {
                    continue;
                }
                let (count, bytes) = weight(size, mean);
                let wanted = exact(size, mean);
                let error = (count as f64) / (SAMPLED_UNIT as f64) / wanted - 1.0;
                assert!(error.abs() < 1e-3, "{size} of {mean}: {error}");
                let error = (bytes as f64) - wanted * (size as f64);
                let allowed = 1.0 + 1e-4 * wanted * (size as f64);
                assert!(error.abs() < allowed, "{size} of {mean}: {error} bytes");
            }
        }
    }

    #[test]
    fn distances_are_exponential_with_the_wanted_mean() {
        for mean in [1000, 512 << 10, MAX_MEAN] {
            let steps = 100_000_u64;
            let random = |step: u64| (step * (u64::from(u32::MAX) / steps) + 21_474) as u32;
            let sum: f64 = (0..steps).map(|step| distance(random(step), mean) as f64).sum();
            let error = sum / (steps as f64) / (mean as f64) - 1.0;
            assert!(error.abs() < 2e-3, "{mean}: {error}");
            let beyond = (0..steps)
                .filter(|step| distance(random(*step), mean) > mean)
                .count();
            let share = (beyond as f64) / (steps as f64);
            assert!((share - (-1.0_f64).exp()).abs() < 1e-3, "{share}");
        }
        assert_eq!(distance(u32::MAX, 512 << 10), 0);
    }
}
