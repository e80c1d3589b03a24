//! The sections of a file that has debug information, or points to some.

use gimli::{DwarfSections, SectionId};
use object::read::ReadRef;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, elf};

use super::compress::{self, Compression};
use crate::object::source::{self, Source};

type Header = elf::FileHeader64<Endianness>;

/// More sections than any linker makes.
const MAX_SECTIONS: usize = 1 << 20;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    NotElf,
    BigEndian,
    SectionTable,
    SectionBytes,
    Compression,
    UnknownCompression,
    TooLarge,
}

impl Defect {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::NotElf => "it is not a 64-bit ELF file",
            Self::BigEndian => "it is for a big-endian processor",
            Self::SectionTable => "its section table is damaged",
            Self::SectionBytes => "a section lies outside of it",
            Self::Compression => "a compressed section is damaged",
            Self::UnknownCompression => "a section is compressed in an unknown way",
            Self::TooLarge => "its sections together are too large",
        }
    }
}

#[derive(Debug)]
struct Section {
    name: String,
    offset: u64,
    size: u64,
    kind: elf::SectionType,
    compressed: bool,
}

/// A file's section table.
#[derive(Debug, Default)]
pub(super) struct SectionTable(Vec<Section>);

impl SectionTable {
    pub(super) fn read(source: &Source) -> Result<Self, Defect> {
        match source {
            Source::Memory(bytes) => Self::parse(bytes.as_slice()),
            Source::File(file) => Self::parse(&source::view(file)),
        }
    }

    fn parse<'data>(data: impl ReadRef<'data>) -> Result<Self, Defect> {
        let header = Header::parse(data).map_err(|_wrong| Defect::NotElf)?;
        let endian = header.endian().map_err(|_wrong| Defect::NotElf)?;
        if endian != Endianness::Little {
            return Err(Defect::BigEndian);
        }
        let table = header
            .sections(endian, data)
            .map_err(|_wrong| Defect::SectionTable)?;
        let mut sections = Vec::new();
        for section in table.iter().take(MAX_SECTIONS) {
            // A name that cannot be read is none that is looked for.
            let name = table.section_name(endian, section).unwrap_or_default();
            let interesting = name.starts_with(b".debug_")
                || name.starts_with(b".zdebug_")
                || name.starts_with(b".gnu_debug")
                || section.sh_type(endian) == elf::SHT_NOTE;
            if interesting {
                sections.push(Section {
                    name: String::from_utf8_lossy(name).into_owned(),
                    offset: section.sh_offset(endian),
                    size: section.sh_size(endian),
                    kind: section.sh_type(endian),
                    compressed: section.sh_flags(endian).contains(elf::SHF_COMPRESSED),
                });
            }
        }
        Ok(Self(sections))
    }

    fn named(&self, name: &str) -> Option<&Section> {
        self.0
            .iter()
            .find(|section| section.name == name && section.kind != elf::SHT_NOBITS && section.size > 0)
    }

    /// Where the first section of debug information starts.
    #[cfg(test)]
    pub(super) fn first_offset(&self) -> u64 {
        let debug = self.0.iter().filter(|section| section.name.contains("debug_"));
        debug.map(|section| section.offset).min().unwrap_or(0)
    }

    /// Whether the file says which code belongs to which line.
    pub(super) fn has_debug_information(&self) -> bool {
        [".debug_info", ".zdebug_info"]
            .iter()
            .any(|name| self.named(name).is_some())
    }

    /// The bytes of a section; none if there is none of this name.
    pub(super) fn bytes(&self, source: &Source, name: &str) -> Result<Vec<u8>, Defect> {
        self.bytes_within(source, name, &mut room(source))
    }

    /// The same, if they fit into the room that is left.
    pub(super) fn bytes_within(
        &self,
        source: &Source,
        name: &str,
        room: &mut u64,
    ) -> Result<Vec<u8>, Defect> {
        let bytes = self.unpacked(source, name, *room)?;
        *room = room.checked_sub(bytes.len() as u64).ok_or(Defect::TooLarge)?;
        Ok(bytes)
    }

    fn unpacked(&self, source: &Source, name: &str, room: u64) -> Result<Vec<u8>, Defect> {
        let fits = |size: u64| {
            if size <= room {
                Ok(())
            } else {
                Err(Defect::TooLarge)
            }
        };
        if let Some(section) = self.named(name) {
            let bytes = raw(source, section)?;
            if !section.compressed {
                return Ok(bytes);
            }
            let (compression, size, rest) = compress::elf_header(&bytes)?;
            fits(size)?;
            return compress::decompress(compression, rest, size);
        }
        let old = name
            .strip_prefix(".debug_")
            .and_then(|name| self.named(&format!(".zdebug_{name}")));
        let Some(section) = old else {
            return Ok(Vec::new());
        };
        let bytes = raw(source, section)?;
        match compress::old_header(&bytes) {
            Some((size, rest)) => {
                fits(size)?;
                compress::decompress(Compression::Zlib, rest, size)
            }
            None => Ok(bytes),
        }
    }

    /// The build id in the file's notes.
    pub(super) fn build_id(&self, source: &Source) -> Option<Vec<u8>> {
        let notes = self
            .0
            .iter()
            .filter(|section| section.kind == elf::SHT_NOTE && section.size < 1 << 16)
            .take(32);
        notes
            .filter_map(|section| raw(source, section).ok())
            .find_map(|bytes| build_id_in(&bytes))
    }

    /// The sections that tell of lines and functions, as a whole: of a file on its own, or of the split kind (`.dwo`).
    pub(super) fn dwarf(&self, source: &Source, split: bool) -> Result<DwarfSections<Vec<u8>>, Defect> {
        let mut room = room(source);
        DwarfSections::load(|id| {
            let name = if split { id.dwo_name() } else { Some(id.name()) };
            match name.filter(|_| is_needed(id)) {
                Some(name) => self.bytes_within(source, name, &mut room),
                None => Ok(Vec::new()),
            }
        })
    }
}

/// What the sections of a file may take in memory together: sections that share their bytes occur in damaged files only.
pub(super) fn room(source: &Source) -> u64 {
    const PER_BYTE: u64 = 32;
    const LEAST: u64 = 64 << 20;
    source.length().saturating_mul(PER_BYTE).max(LEAST)
}

/// What describes variables and types takes most of the room, and nobody here asks for it.
fn is_needed(id: SectionId) -> bool {
    matches!(
        id,
        SectionId::DebugAbbrev
            | SectionId::DebugAddr
            | SectionId::DebugAranges
            | SectionId::DebugInfo
            | SectionId::DebugLine
            | SectionId::DebugLineStr
            | SectionId::DebugStr
            | SectionId::DebugStrOffsets
            | SectionId::DebugRanges
            | SectionId::DebugRngLists
    )
}

fn raw(source: &Source, section: &Section) -> Result<Vec<u8>, Defect> {
    source
        .read(section.offset, section.size)
        .ok_or(Defect::SectionBytes)
}

/// Notes: sizes of name and text, kind, then both, padded to four bytes.
fn build_id_in(mut notes: &[u8]) -> Option<Vec<u8>> {
    loop {
        let (header, rest) = notes.split_at_checked(12)?;
        let number = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_le_bytes(bytes) as usize
        };
        let (name_length, text_length) = (number(0), number(4));
        let text_start = name_length.checked_next_multiple_of(4)?;
        let next = text_start.checked_add(text_length.checked_next_multiple_of(4)?)?;
        let name = rest.get(..name_length)?;
        if name == b"GNU\0" && number(8) == 3 {
            return rest
                .get(text_start..text_start.checked_add(text_length)?)
                .map(<[u8]>::to_vec);
        }
        notes = rest.get(next..)?;
    }
}
