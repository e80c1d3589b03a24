//! Reads what is needed from an ELF file.
use std::collections::HashMap;

use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _, Sym as _};
use object::read::{ReadRef, StringTable};
use object::{Endianness, elf};

use super::code::Segment;
use super::debug::DebugSource;
use super::evidence::{self, Evidences};
use super::frames::{self, Frame};
use super::functions::{self, Sources};
use super::go::Go;
use super::imports::Imports;
use super::names::{Arena, Span};
use super::symbols::{self, Symbol, Symbols};
use super::{Facts, Machine, ObjectError, Segments};

pub(super) type Header = elf::FileHeader64<Endianness>;
pub(super) type Section = elf::SectionHeader64<Endianness>;

/// The full symbol table, and that for dynamic linking.
pub(super) const SYMBOLS: elf::SectionType = elf::SHT_SYMTAB;
pub(super) const DYNAMIC_SYMBOLS: elf::SectionType = elf::SHT_DYNSYM;

/// Linkers make a handful of each type; a damaged file must not be read a thousand times over.
pub(super) const MAX_SECTIONS: usize = 32;

/// Linkers make three; a damaged file must not make every look-up slow.
const MAX_STUB_SECTIONS: usize = 8;

/// Linkers make about five; a damaged file must not make every look-up slow.
const MAX_LOADED_SEGMENTS: usize = 256;

/// A file that is being read.
pub(super) struct Elf<'data, R: ReadRef<'data>> {
    pub(super) name: &'data str,
    pub(super) data: R,
    pub(super) endian: Endianness,
    sections: Vec<(&'data [u8], &'data Section)>,
}

/// What has been read of a file. It is read in steps, each with a view of its own of the file: what one step had to read
/// is let go before the next one, as each of the tables is large.
pub(super) struct Begun {
    machine: Machine,
    entry_point: u64,
    build_id: Option<Vec<u8>>,
    segments: Segments,
    symbols: Symbols,
    go: Go,
    imports: Imports,
    section_ends: Vec<u64>,
}

/// The first step: the headers.
pub(super) fn begin<'data, R: ReadRef<'data>>(
    data: R,
    name: &'data str,
    debug: &mut DebugSource,
) -> Result<Begun, ObjectError> {
    let (elf, header) = Elf::open(data, name)?;
    let endian = elf.endian;
    let headers = header
        .program_headers(endian, data)
        .map_err(elf.damaged("program headers"))?;
    let machine = match header.e_machine(endian) {
        elf::EM_X86_64 => Machine::X86_64,
        elf::EM_AARCH64 => Machine::Aarch64,
        _ => Machine::Other,
    };
    let build_id = elf.build_id();
    debug.set_build_id(build_id.as_deref());
    Ok(Begun {
        machine,
        entry_point: header.e_entry(endian),
        build_id,
        segments: read_segments(headers, endian),
        symbols: Symbols::of_file(&elf, elf.evidence_of_sections()),
        go: Go::default(),
        imports: Imports::default(),
        section_ends: elf.ends_of_code(),
    })
}

impl Begun {
    /// A step: one of the file's own symbol tables.
    pub(super) fn add_table<'data, R: ReadRef<'data>>(
        &mut self,
        data: R,
        name: &'data str,
        kind: elf::SectionType,
    ) -> Result<(), ObjectError> {
        symbols::add_own(&Elf::open(data, name)?.0, kind, &mut self.symbols)
    }

    /// A step: what else names functions, and what is called in other files.
    pub(super) fn add_others<'data, R: ReadRef<'data>>(
        &mut self,
        data: R,
        name: &'data str,
        debug: &mut DebugSource,
    ) -> Result<(), ObjectError> {
        let (elf, _header) = Elf::open(data, name)?;
        self.go = symbols::add_others(&elf, debug, &mut self.symbols);
        debug.set_go(self.go.table());
        let Symbols { arena, found, .. } = &mut self.symbols;
        if self.machine == Machine::X86_64 {
            self.imports = elf.read_imports(arena, found)?;
        }
        Ok(())
    }

    /// The last step: puts everything together.
    pub(super) fn finish(self, frames: Vec<Frame>, name: &str) -> Facts {
        let Self {
            machine,
            entry_point,
            build_id,
            segments,
            symbols,
            go,
            imports,
            section_ends,
        } = self;
        let Symbols {
            mut arena,
            mut evidences,
            found: symbols,
            ..
        } = symbols;
        if !evidence::is_system_library(name) && frames.iter().any(|frame| frame.landing_table != 0) {
            evidences.add(evidence::Evidence::Unwinding);
        }
        let sources = Sources {
            symbols,
            frames,
            segments: &segments,
            imports: &imports,
            go: &go,
            section_ends,
        };
        let functions = functions::assemble(sources, &mut arena);
        arena.shrink();
        Facts {
            machine,
            entry_point,
            build_id,
            segments,
            functions,
            arena,
            imports,
            evidences,
            go,
        }
    }
}

/// The unwind table: independent of everything else.
pub(super) fn frames<'data, R: ReadRef<'data>>(data: R, name: &'data str) -> Result<Vec<Frame>, ObjectError> {
    Elf::open(data, name)?.0.read_frames()
}

/// The build id of a file, without reading anything else of it.
pub(super) fn build_id<'data, R: ReadRef<'data>>(data: R) -> Option<Vec<u8>> {
    let (elf, _header) = Elf::open(data, "").ok()?;
    elf.build_id()
}

fn read_segments(headers: &[elf::ProgramHeader64<Endianness>], endian: Endianness) -> Segments {
    let loaded = headers
        .iter()
        .filter(|header| header.p_type(endian) == elf::PT_LOAD);
    let segments = loaded.map(|header| Segment {
        address: header.p_vaddr(endian),
        offset: header.p_offset(endian),
        size: header.p_filesz(endian),
        executable: header.p_flags(endian).contains(elf::PF_X),
    });
    Segments::new(
        segments
            .filter(|segment| segment.address.checked_add(segment.size).is_some())
            .take(MAX_LOADED_SEGMENTS)
            .collect(),
    )
}

impl<'data, R: ReadRef<'data>> Elf<'data, R> {
    /// Reads the header and the names of the sections.
    pub(super) fn open(data: R, name: &'data str) -> Result<(Self, &'data Header), ObjectError> {
        let not_elf = |_| ObjectError::NotElf {
            name: name.to_owned(),
        };
        let header = Header::parse(data).map_err(not_elf)?;
        let mut elf = Self {
            name,
            data,
            endian: header.endian().map_err(not_elf)?,
            sections: Vec::new(),
        };
        let table = header
            .sections(elf.endian, data)
            .map_err(elf.damaged("section headers"))?;
        for section in table.iter() {
            let name = table
                .section_name(elf.endian, section)
                .map_err(elf.damaged("section names"))?;
            elf.sections.push((name, section));
        }
        Ok((elf, header))
    }

    pub(super) fn malformed(&self, part: &'static str) -> ObjectError {
        ObjectError::Malformed {
            name: self.name.to_owned(),
            part,
        }
    }

    /// The same, in place of the reader's own error, which says less.
    pub(super) fn damaged(&self, part: &'static str) -> impl Fn(object::read::Error) -> ObjectError {
        move |_error| self.malformed(part)
    }

    pub(super) fn of_type(&self, kind: elf::SectionType) -> impl Iterator<Item = &'data Section> {
        self.sections
            .iter()
            .filter(move |(_, section)| section.sh_type(self.endian) == kind)
            .map(|(_, section)| *section)
    }

    /// The section of this number.
    pub(super) fn section(&self, index: usize) -> Option<&'data Section> {
        self.sections.get(index).map(|(_, section)| *section)
    }

    pub(super) fn named(&self, name: &[u8]) -> Option<&'data Section> {
        self.sections
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, section)| *section)
    }

    fn evidence_of_sections(&self) -> Evidences {
        let mut evidences = Evidences::default();
        if evidence::is_system_library(self.name) {
            return evidences;
        }
        let names = self
            .sections
            .iter()
            .filter_map(|(name, _)| evidence::of_section(name));
        for found in names.chain(evidence::of_file_name(self.name)) {
            evidences.add(found);
        }
        evidences
    }

    fn read_imports(&self, arena: &mut Arena, functions: &[Symbol]) -> Result<Imports, ObjectError> {
        let mut imports = Imports::default();
        let ifuncs: HashMap<u64, Span> = functions
            .iter()
            .filter(|symbol| symbol.ifunc)
            .map(|symbol| (symbol.address, symbol.name))
            .collect();
        let (symbols, strings) = match self.of_type(elf::SHT_DYNSYM).next() {
            Some(section) => symbols::table(self, section)?,
            None => (&[][..], StringTable::default()),
        };
        for section in self.of_type(elf::SHT_RELA).take(MAX_SECTIONS) {
            let relocations: &[elf::Rela64<Endianness>] = section
                .data_as_array(self.endian, self.data)
                .map_err(self.damaged("relocations"))?;
            for relocation in relocations {
                let name = match relocation.r_type(self.endian, false) {
                    elf::R_X86_64_JUMP_SLOT | elf::R_X86_64_GLOB_DAT => {
                        let symbol = symbols.get(relocation.r_sym(self.endian, false) as usize);
                        let name = symbol.and_then(|symbol| strings.get(symbol.st_name(self.endian)).ok());
                        name.and_then(|name| arena.store_import(name))
                    }
                    // In a static program: the slot of a function that is chosen at the start.
                    elf::R_X86_64_IRELATIVE => ifuncs
                        .get(&(relocation.r_addend.get(self.endian) as u64))
                        .copied(),
                    _ => None,
                };
                if let Some(name) = name {
                    imports.add_slot(relocation.r_offset.get(self.endian), name);
                }
            }
        }
        let stubs = self
            .sections
            .iter()
            .filter(|(name, _)| name.starts_with(b".plt") || name.starts_with(b".iplt"));
        for (_, section) in stubs.take(MAX_STUB_SECTIONS) {
            let bytes = section
                .data(self.endian, self.data)
                .map_err(self.damaged("linkage stubs"))?;
            imports.add_stub_section(section.sh_addr(self.endian), bytes);
        }
        Ok(imports)
    }

    fn read_frames(&self) -> Result<Vec<Frame>, ObjectError> {
        let Some(section) = self.named(b".eh_frame") else {
            return Ok(Vec::new());
        };
        let bytes = section
            .data(self.endian, self.data)
            .map_err(self.damaged("unwind table"))?;
        Ok(frames::read(bytes, section.sh_addr(self.endian)))
    }

    fn ends_of_code(&self) -> Vec<u64> {
        let code = self
            .sections
            .iter()
            .filter(|(_, section)| section.sh_flags(self.endian).contains(elf::SHF_EXECINSTR));
        let mut ends: Vec<u64> = code
            .map(|(_, section)| {
                section
                    .sh_addr(self.endian)
                    .saturating_add(section.sh_size(self.endian))
            })
            .collect();
        ends.sort_unstable();
        ends
    }

    fn build_id(&self) -> Option<Vec<u8>> {
        for section in self.of_type(elf::SHT_NOTE).take(MAX_SECTIONS) {
            let mut notes = section.notes(self.endian, self.data).ok()??;
            while let Ok(Some(note)) = notes.next() {
                if note.name() == elf::ELF_NOTE_GNU && note.n_type(self.endian) == elf::NT_GNU_BUILD_ID {
                    return Some(note.desc().to_vec());
                }
            }
        }
        None
    }
}
