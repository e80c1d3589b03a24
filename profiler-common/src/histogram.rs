//! Log-linear buckets of durations, shared by both sides.
//!
//! Each power of two is divided into `2^resolution` equal buckets; below `2^resolution` nanoseconds every value has
//! its own. A bucket is represented by its middle, so that a value read back is wrong by at most
//! `1 / 2^(resolution + 1)` of itself: 6.25 % at the default resolution of 3.

/// The finest resolution, and the default.
pub const MAX_RESOLUTION: u32 = 3;
/// Durations from `2^MAX_BITS` ns (18 minutes) on share the last bucket; the exact maximum is kept beside it.
pub const MAX_BITS: u32 = 40;

/// How many buckets a histogram has.
pub const fn bucket_count(resolution: u32) -> u32 {
    (MAX_BITS - resolution + 1) << resolution
}

/// The bucket of a duration. Written with shifts and comparisons only: eBPF has no instruction to count leading zeros.
#[expect(
    clippy::inline_always,
    reason = "the verifier must see the constant resolution"
)]
#[inline(always)]
pub const fn bucket(nanoseconds: u64, resolution: u32) -> u32 {
    if nanoseconds >= 1 << MAX_BITS {
        return bucket_count(resolution) - 1;
    }
    if nanoseconds < 1 << resolution {
        return nanoseconds as u32;
    }
    let exponent = log2(nanoseconds);
    let shift = exponent - resolution;
    ((shift + 1) << resolution) + ((nanoseconds >> shift) as u32 & ((1 << resolution) - 1))
}

/// The smallest duration of a bucket, and the first one beyond it.
pub const fn bounds(bucket: u32, resolution: u32) -> (u64, u64) {
    let block = bucket >> resolution;
    let within = (bucket & ((1 << resolution) - 1)) as u64;
    if block == 0 {
        return (within, within + 1);
    }
    let shift = block - 1;
    let low = ((1 << resolution) + within) << shift;
    (low, low + (1 << shift))
}

/// The value that stands for a bucket: its middle.
pub const fn representative(bucket: u32, resolution: u32) -> u64 {
    let (low, high) = bounds(bucket, resolution);
    low + (high - low) / 2
}

/// The largest relative error of a value read back from a bucket.
pub fn relative_error(resolution: u32) -> f64 {
    1.0 / f64::from(1 << (resolution + 1))
}

#[expect(clippy::inline_always, reason = "a call costs more than the function")]
#[inline(always)]
const fn log2(value: u64) -> u32 {
    let mut value = value;
    let mut result = 0;
    if value >= 1 << 32 {
        value >>= 32;
        result += 32;
    }
    if value >= 1 << 16 {
        value >>= 16;
        result += 16;
    }
    if value >= 1 << 8 {
        value >>= 8;
        result += 8;
    }
    if value >= 1 << 4 {
        value >>= 4;
        result += 4;
    }
    if value >= 1 << 2 {
        value >>= 2;
        result += 2;
    }
    if value >= 1 << 1 {
        result += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::{MAX_BITS, MAX_RESOLUTION, bounds, bucket, bucket_count, relative_error, representative};

    fn samples() -> impl Iterator<Item = u64> {
        (0..MAX_BITS).flat_map(|bits| {
            let base = 1_u64 << bits;
            [
                base - 1,
                base,
                base + 1,
                base + base / 3,
                base + base / 2,
                base + base / 7 * 5,
            ]
        })
    }

    #[test]
    fn every_duration_lies_within_the_bounds_of_its_bucket() {
        for resolution in 0..=MAX_RESOLUTION {
            for value in samples().filter(|value| *value < 1 << MAX_BITS) {
                let index = bucket(value, resolution);
                let (low, high) = bounds(index, resolution);
                assert!(
                    low <= value && value < high,
                    "{value} in bucket {index}: {low}..{high}"
                );
            }
        }
    }

    #[test]
    fn a_value_read_back_is_wrong_by_no_more_than_the_stated_error() {
        for resolution in 0..=MAX_RESOLUTION {
            for value in samples().filter(|value| *value > 0) {
                let shown = representative(bucket(value, resolution), resolution);
                let error = shown.abs_diff(value) as f64 / value as f64;
                assert!(
                    error <= relative_error(resolution),
                    "{value} shown as {shown}: {error}"
                );
            }
        }
        assert!(relative_error(MAX_RESOLUTION) <= 0.0625);
    }

    #[test]
    fn buckets_are_numbered_without_gaps_and_the_last_takes_the_rest() {
        for resolution in 0..=MAX_RESOLUTION {
            let last = bucket_count(resolution) - 1;
            for index in 0..last {
                assert_eq!(bounds(index, resolution).1, bounds(index + 1, resolution).0);
            }
            assert_eq!(bounds(last, resolution).1, 1 << MAX_BITS);
            assert_eq!(bucket(u64::MAX, resolution), last);
        }
    }
}
