//! The symbols of a file, from everything that has some.
use std::fs::File;

use object::elf;
use object::read::elf::Sym as _;
use object::read::{ReadCache, ReadRef};

use super::ObjectError;
use super::debug::DebugSource;
use super::elf::Elf;
use super::evidence::{self, Evidences};
use super::functions::{self, Symbol};
use super::names::Arena;
use super::source::Source;

/// Takes symbols in.
pub(super) struct Collector<'a> {
    /// The file's name.
    name: &'a str,
    arena: &'a mut Arena,
    evidences: &'a mut Evidences,
    found: Vec<Symbol>,
}

/// The symbols of a file: of its own tables, and of its separate debug file where it has lost its full table.
pub(super) fn read<'data, R: ReadRef<'data>>(
    elf: &Elf<'data, R>,
    debug: &DebugSource,
    mut collector: Collector<'_>,
) -> Result<Vec<Symbol>, ObjectError> {
    let is_stripped = elf.of_type(elf::SHT_SYMTAB).next().is_none();
    collector.add_table(elf, elf::SHT_SYMTAB)?;
    collector.add_table(elf, elf::SHT_DYNSYM)?;
    if is_stripped && let Some(separate) = debug.separate_file() {
        collector.add_separate(separate);
    }
    Ok(collector.found)
}

impl<'a> Collector<'a> {
    pub(super) fn new(name: &'a str, arena: &'a mut Arena, evidences: &'a mut Evidences) -> Self {
        Self {
            name,
            arena,
            evidences,
            found: Vec::new(),
        }
    }

    /// The full table of a separate debug file. The file itself is whole without it: what is damaged there is left out.
    fn add_separate(&mut self, source: &Source) {
        let name = self.name;
        let added = match source {
            Source::File(file) => {
                let cache = ReadCache::<&File>::new(file);
                Elf::open(&cache, name).and_then(|(elf, _)| self.add_table(&elf, elf::SHT_SYMTAB))
            }
            Source::Memory(bytes) => {
                Elf::open(bytes.as_slice(), name).and_then(|(elf, _)| self.add_table(&elf, elf::SHT_SYMTAB))
            }
        };
        if let Err(error) = added {
            log::warn!("the symbols in the debug file of `{name}` cannot be used: {error}");
        }
    }

    fn add_table<'data, R: ReadRef<'data>>(
        &mut self,
        elf: &Elf<'data, R>,
        kind: elf::SectionType,
    ) -> Result<(), ObjectError> {
        let Some(section) = elf.of_type(kind).next() else {
            return Ok(());
        };
        let system_library = evidence::is_system_library(self.name);
        let budget = elf.data.len().map_or(0, |length| length.saturating_mul(4)) + self.arena.length();
        let (symbols, strings) = elf.symbol_table(section)?;
        for symbol in symbols {
            // A name that cannot be read names nothing; the other symbols are none the worse for it.
            let Ok(name) = strings.get(symbol.st_name(elf.endian)) else {
                continue;
            };
            let name = functions::without_version(name);
            if name.is_empty() {
                continue;
            }
            if symbol.is_undefined(elf.endian) {
                if let Some(evidence) = str::from_utf8(name).ok().and_then(evidence::of_symbol) {
                    self.evidences.add(evidence);
                }
                continue;
            }
            let ifunc = symbol.st_type() == elf::STT_GNU_IFUNC;
            if !ifunc && symbol.st_type() != elf::STT_FUNC {
                continue;
            }
            // Names share text in well-made files, but not that much.
            let span = self.arena.store(name).filter(|_| self.arena.length() < budget);
            let span = span.ok_or_else(|| elf.malformed("symbol names"))?;
            functions::note_definition(self.evidences, self.arena.text(span), system_library);
            self.found.push(Symbol {
                address: symbol.st_value(elf.endian),
                size: symbol.st_size(elf.endian),
                name: span,
                global: symbol.st_bind() != elf::STB_LOCAL,
                ifunc,
            });
        }
        Ok(())
    }
}
