//! Unpacks `.xz` files, as far as ELF sections need it: one stream, without other filters than LZMA2.
use std::io::Read as _;

use lzma_rust2::Lzma2Reader;

/// Why something could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XzError {
    /// It does not begin as such files do, or ends early.
    #[error("it is no xz file, or a damaged one")]
    Damaged,
    /// It needs a filter that we do not have.
    #[error("its xz file uses a filter other than LZMA2")]
    Filter,
    /// It would become too large.
    #[error("unpacked it is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}

const MAGIC: &[u8] = b"\xfd7zXZ\0";
const STREAM_HEADER: usize = 12;
const LZMA2: u64 = 0x21;

/// Bytes of the check behind a block, by the number of its kind.
const CHECK_SIZES: [usize; 16] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

/// Unpacks at most `limit` bytes, and uses not much more memory than that. The checks of the file are not looked at:
/// what reads the result finds damage by itself.
pub fn unpack(packed: &[u8], limit: u64) -> Result<Vec<u8>, XzError> {
    let header = packed.get(..STREAM_HEADER).ok_or(XzError::Damaged)?;
    if !header.starts_with(MAGIC) || header[6] != 0 {
        return Err(XzError::Damaged);
    }
    let check = CHECK_SIZES[usize::from(header[7] & 0x0f)];
    let mut rest = &packed[STREAM_HEADER..];
    let mut unpacked = Vec::new();
    // A block's header starts with its length in words; the index, which follows the last block, with 0.
    loop {
        let words = *rest.first().ok_or(XzError::Damaged)?;
        if words == 0 {
            return Ok(unpacked);
        }
        let length = (usize::from(words) + 1) * 4;
        let (header, behind) = rest.split_at_checked(length).ok_or(XzError::Damaged)?;
        let dictionary = dictionary_size(header)?.min(limit);
        let left = limit - unpacked.len() as u64;
        let mut reader = Lzma2Reader::new(behind, u32::try_from(dictionary).unwrap_or(u32::MAX), None);
        reader
            .by_ref()
            .take(left + 1)
            .read_to_end(&mut unpacked)
            .map_err(|_error| XzError::Damaged)?;
        if unpacked.len() as u64 > limit {
            return Err(XzError::TooLarge { limit });
        }
        let used = (behind.len() - reader.into_inner().len()).next_multiple_of(4);
        rest = behind.get(used + check..).ok_or(XzError::Damaged)?;
    }
}

/// Bytes of the dictionary that a block needs, from its header.
fn dictionary_size(header: &[u8]) -> Result<u64, XzError> {
    let flags = *header.get(1).ok_or(XzError::Damaged)?;
    let mut rest = &header[2..];
    // The packed size, then the unpacked one.
    for present in [flags & 0x40, flags & 0x80] {
        if present != 0 {
            number(&mut rest)?;
        }
    }
    // The low bits count the filters before the last.
    if flags & 0x3f != 0 || number(&mut rest)? != LZMA2 {
        return Err(XzError::Filter);
    }
    match (number(&mut rest)?, rest.first()) {
        (1, Some(40)) => Ok(u64::from(u32::MAX)),
        (1, Some(bits @ 0..40)) => Ok((2 | u64::from(bits & 1)) << (bits / 2 + 11)),
        _ => Err(XzError::Damaged),
    }
}

/// A number of up to nine bytes, seven bits in each, the lowest first.
fn number(rest: &mut &[u8]) -> Result<u64, XzError> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, behind) = rest.split_first().ok_or(XzError::Damaged)?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(XzError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::{XzError, unpack};

    const PACKED: &[u8] = include_bytes!("testdata/abc.xz");

    #[test]
    fn a_file_of_xz_itself_is_unpacked() {
        assert_eq!(unpack(PACKED, 1 << 20), Ok(b"abc".repeat(9)));
    }

    #[test]
    fn several_blocks_are_put_together() {
        let blocks = include_bytes!("testdata/blocks.xz");
        assert_eq!(unpack(blocks, 1 << 20), Ok(b"abc".repeat(1000)));
    }

    #[test]
    fn what_would_be_too_large_is_refused_before_it_is_unpacked() {
        assert_eq!(unpack(PACKED, 27), Ok(b"abc".repeat(9)));
        assert_eq!(unpack(PACKED, 26), Err(XzError::TooLarge { limit: 26 }));
        // A hundred megabytes of zeros in 15 kB.
        let bomb = include_bytes!("testdata/bomb.xz");
        assert_eq!(unpack(bomb, 1 << 20), Err(XzError::TooLarge { limit: 1 << 20 }));
    }

    #[test]
    fn other_filters_and_damage_are_told() {
        let filtered = include_bytes!("testdata/filtered.xz");
        assert_eq!(unpack(filtered, 1 << 20), Err(XzError::Filter));
        assert_eq!(unpack(b"no xz file at all", 1 << 20), Err(XzError::Damaged));
        // The first of the index's bytes ends the blocks; what follows repeats their sizes.
        let index = PACKED.len() - 20;
        for length in 0..=index {
            assert_eq!(
                unpack(&PACKED[..length], 1 << 20),
                Err(XzError::Damaged),
                "{length}"
            );
        }
        assert_eq!(unpack(&PACKED[..=index], 1 << 20), Ok(b"abc".repeat(9)));
    }
}
