//! What a file says of other files with its debug information.
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use crate::object::source::Source;

/// The most that is believed of a link, bytes.
const MAX_LINK: usize = 1 << 14;

/// `.gnu_debuglink`: a file with all debug information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DebugLink {
    /// A file name without folders.
    pub(super) name: PathBuf,
    /// CRC-32 of the whole file.
    pub(super) crc: u32,
}

/// `.gnu_debugaltlink`: a file with what several files' debug information has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SharedLink {
    pub(super) path: PathBuf,
    pub(super) build_id: Vec<u8>,
}

impl DebugLink {
    pub(super) fn parse(section: &[u8]) -> Option<Self> {
        let (name, _) = text(section)?;
        let crc = section.get((name.len() + 1).next_multiple_of(4)..)?;
        let name = PathBuf::from(OsString::from_vec(name.to_vec()));
        // A name with folders could lead anywhere.
        if name.file_name()? != name.as_os_str() {
            return None;
        }
        Some(Self {
            name,
            crc: u32::from_le_bytes(*crc.first_chunk()?),
        })
    }
}

impl SharedLink {
    pub(super) fn parse(section: &[u8]) -> Option<Self> {
        let (path, build_id) = text(section)?;
        Some(Self {
            path: PathBuf::from(OsString::from_vec(path.to_vec())),
            build_id: build_id.to_vec(),
        })
    }

    /// `.debug_sup`, its successor in DWARF 5: version, whether this is the shared file itself, path, check sum.
    pub(super) fn parse_standard(section: &[u8]) -> Option<Self> {
        let (path, rest) = text(section.get(3..)?)?;
        if section[2] != 0 {
            return None;
        }
        let (length, sum) = rest.split_first()?;
        Some(Self {
            path: PathBuf::from(OsString::from_vec(path.to_vec())),
            build_id: sum.get(..usize::from(*length))?.to_vec(),
        })
    }
}

fn text(section: &[u8]) -> Option<(&[u8], &[u8])> {
    let section = &section[..section.len().min(MAX_LINK)];
    let end = section.iter().position(|byte| *byte == 0)?;
    (end > 0).then(|| (&section[..end], &section[end + 1..]))
}

/// CRC-32 of a whole file.
pub(super) fn crc(source: &Source) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let (mut offset, length) = (0, source.length());
    while offset < length {
        let part = (length - offset).min(buffer.len() as u64);
        let part = &mut buffer[..part as usize];
        source.read_at(offset, part)?;
        hasher.update(part);
        offset += part.len() as u64;
    }
    Some(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::{DebugLink, SharedLink, crc};
    use crate::object::source::Source;

    #[test]
    fn links_are_read_and_names_that_lead_elsewhere_are_not() {
        let link = DebugLink::parse(b"a.debug\0\x04\x03\x02\x01").unwrap();
        assert_eq!((link.name.to_str(), link.crc), (Some("a.debug"), 0x0102_0304));
        assert_eq!(
            DebugLink::parse(b"ab\0\0\x04\x03\x02\x01").map(|link| link.crc),
            Some(0x0102_0304)
        );
        for wrong in [
            &b"../x\0\0\0\0\0\0\0\0"[..],
            b"/x\0\0\0\0\0\0",
            b"..\0\0\0\0\0\0",
            b"",
            b"abc",
            b"abc\0\x01",
        ] {
            assert_eq!(DebugLink::parse(wrong), None, "{wrong:?}");
        }
        let shared = SharedLink::parse(b"/d/x\0\xaa\xbb").unwrap();
        assert_eq!(
            (shared.path.to_str(), &*shared.build_id),
            (Some("/d/x"), &[0xaa, 0xbb][..])
        );
        let standard = SharedLink::parse_standard(b"\x05\0\0/d/x\0\x02\xaa\xbb").unwrap();
        assert_eq!(standard, shared);
        assert_eq!(SharedLink::parse_standard(b"\x05\0\x01/d/x\0\x02\xaa\xbb"), None);
    }

    #[test]
    fn the_check_sum_is_that_of_the_links() {
        assert_eq!(crc(&Source::Memory(b"123456789".to_vec())), Some(0xcbf4_3926));
    }
}
