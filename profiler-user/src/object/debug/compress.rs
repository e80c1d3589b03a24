//! Compressed sections.
use std::io::Read as _;

use super::sections::Defect;

/// What a section may grow to: so many times its size in the file, since real ones grow fivefold…
const MAX_RATIO: u64 = 200;
/// …or to this, however small it is, bytes.
const ALWAYS_ALLOWED: u64 = 1 << 20;

/// How a section is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Zlib,
    Zstandard,
}

/// Reads the header of a section with `SHF_COMPRESSED` (`Elf64_Chdr`): how, to how many bytes, and what follows it.
pub(super) fn elf_header(section: &[u8]) -> Result<(Compression, u64, &[u8]), Defect> {
    const HEADER: usize = 24;
    let (header, rest) = section.split_at_checked(HEADER).ok_or(Defect::Compression)?;
    let number = |from: usize, length: usize| {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&header[from..from + length]);
        u64::from_le_bytes(bytes)
    };
    let compression = match number(0, 4) {
        1 => Compression::Zlib,
        2 => Compression::Zstandard,
        _ => return Err(Defect::UnknownCompression),
    };
    Ok((compression, number(8, 8), rest))
}

/// Reads the header of an old `.zdebug_…` section: to how many bytes, and what follows it. `None`: it is not
/// compressed.
pub(super) fn old_header(section: &[u8]) -> Option<(u64, &[u8])> {
    let rest = section.strip_prefix(b"ZLIB")?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*size), rest))
}

/// Decompresses to exactly `size` bytes.
pub(super) fn decompress(compression: Compression, bytes: &[u8], size: u64) -> Result<Vec<u8>, Defect> {
    let most = (bytes.len() as u64).saturating_mul(MAX_RATIO).max(ALWAYS_ALLOWED);
    if size > most {
        return Err(Defect::Compression);
    }
    let size = usize::try_from(size).map_err(|_too_large| Defect::Compression)?;
    let plain = match compression {
        Compression::Zlib => miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, size)
            .map_err(|_wrong| Defect::Compression)?,
        Compression::Zstandard => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes);
            let mut decoder = decoder.map_err(|_wrong| Defect::Compression)?;
            let mut plain = Vec::with_capacity(size.min(1 << 24));
            let read = decoder.by_ref().take(size as u64).read_to_end(&mut plain);
            read.map_err(|_wrong| Defect::Compression)?;
            plain
        }
    };
    if plain.len() == size {
        Ok(plain)
    } else {
        Err(Defect::Compression)
    }
}

#[cfg(test)]
mod tests {
    use super::{Compression, decompress, elf_header, old_header};
    use crate::object::debug::sections::Defect;

    #[test]
    fn a_section_that_claims_to_be_huge_is_refused_before_anything_is_allocated() {
        let small = miniz_oxide::deflate::compress_to_vec_zlib(&[7; 4096], 6);
        assert_eq!(decompress(Compression::Zlib, &small, 4096), Ok(vec![7; 4096]));
        for wrong in [4095, 4097, 1 << 40, u64::MAX] {
            assert_eq!(
                decompress(Compression::Zlib, &small, wrong),
                Err(Defect::Compression),
                "{wrong}"
            );
        }
        assert_eq!(
            decompress(Compression::Zstandard, &small, 4096),
            Err(Defect::Compression)
        );
    }

    #[test]
    fn headers_that_are_cut_off_or_unknown_are_no_headers() {
        assert_eq!(elf_header(&[1; 23]), Err(Defect::Compression));
        assert_eq!(elf_header(&[9; 24]), Err(Defect::UnknownCompression));
        assert_eq!(old_header(b"ZLIB\0\0\0\0\0\0\x01\x02x"), Some((0x102, &b"x"[..])));
        assert_eq!(old_header(b"ZLIB\0\0"), None);
    }
}
