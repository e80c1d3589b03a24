//! Where the symbols of a file come from: its tables, and what else names functions.
//!
//! A source of symbols is a function that adds to [`Symbols`]; [`add_own`] and [`add_others`] list them. What two sources agree on is put
//! together later, by address and name (`functions.rs`).
use std::collections::HashSet;

use object::read::elf::{SectionHeader as _, Sym as _};
use object::read::{ReadRef, StringTable};
use object::{Endianness, elf};

use super::debug::DebugSource;
use super::elf::{Elf, Section};
use super::evidence::{self, Evidences};
use super::go::{self, Go};
use super::names::{Arena, Span};
use super::source::{self, Source};
use super::{ObjectError, mini_debug};

/// A symbol that stands for code.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    pub(super) address: u64,
    /// Bytes; 0 = unknown.
    pub(super) size: u64,
    pub(super) name: Span,
    pub(super) global: bool,
    pub(super) ifunc: bool,
}

/// What the sources have added so far.
pub(super) struct Symbols {
    pub(super) arena: Arena,
    pub(super) evidences: Evidences,
    pub(super) found: Vec<Symbol>,
    /// Bytes of text that are believed in all.
    budget: u64,
    /// The file's own definitions are no evidence.
    system_library: bool,
}

/// Too many names for the file that holds them.
pub(super) struct TooMuchText;

impl Symbols {
    /// None yet. `evidences`: what is known of the file already.
    pub(super) fn of_file<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, evidences: Evidences) -> Self {
        Self {
            arena: Arena::default(),
            evidences,
            found: Vec::new(),
            budget: elf.data.len().map_or(0, |length| length.saturating_mul(4)),
            system_library: evidence::is_system_library(elf.name),
        }
    }

    /// Adds a symbol: other objects can see it, it chooses another function. Several sources may add the same name.
    pub(super) fn add(
        &mut self,
        address: u64,
        size: u64,
        name: &[u8],
        (global, ifunc): (bool, bool),
    ) -> Result<(), TooMuchText> {
        let span = self.arena.store(name).ok_or(TooMuchText)?;
        // Names share text in well-made files, but not that much.
        if self.arena.length() >= self.budget {
            return Err(TooMuchText);
        }
        if let (false, Some(found)) = (self.system_library, evidence::of_symbol(self.arena.text(span))) {
            self.evidences.add(found);
        }
        self.found.push(Symbol {
            address,
            size,
            name: span,
            global,
            ifunc,
        });
        Ok(())
    }

    /// The addresses that have a symbol.
    pub(super) fn addresses(&self) -> HashSet<u64> {
        self.found.iter().map(|symbol| symbol.address).collect()
    }

    /// Lets the sources to come add `bytes` of text: they bring a file of their own.
    pub(super) fn extend_budget(&mut self, bytes: u64) {
        self.budget = self.budget.saturating_add(bytes);
    }

    /// Adds the full table of a separate debug file. The file itself is whole without it: what is damaged there is left out.
    fn add_separate(&mut self, name: &str, source: &Source) {
        self.extend_budget(source.length());
        let added = match source {
            Source::File(file) => {
                let cache = source::view(file);
                Elf::open(&cache, name).and_then(|(elf, _)| self.add_full_table(&elf))
            }
            Source::Memory(bytes) => {
                Elf::open(bytes.as_slice(), name).and_then(|(elf, _)| self.add_full_table(&elf))
            }
        };
        if let Err(error) = added {
            log::warn!("the symbols in the debug file of `{name}` cannot be used: {error}");
        }
    }

    fn add_full_table<'data, R: ReadRef<'data>>(&mut self, elf: &Elf<'data, R>) -> Result<(), ObjectError> {
        let section = elf.of_type(elf::SHT_SYMTAB).next();
        section.map_or(Ok(()), |section| self.add_table(elf, section))
    }

    /// Adds what a symbol table defines, and what it asks other files for to the evidence.
    pub(super) fn add_table<'data, R: ReadRef<'data>>(
        &mut self,
        elf: &Elf<'data, R>,
        section: &Section,
    ) -> Result<(), ObjectError> {
        let (symbols, strings) = table(elf, section)?;
        for symbol in symbols {
            // A name that cannot be read names nothing; the other symbols are none the worse for it.
            let Ok(name) = strings.get(symbol.st_name(elf.endian)) else {
                continue;
            };
            let name = without_version(name);
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
            let (address, size) = (symbol.st_value(elf.endian), symbol.st_size(elf.endian));
            let bound = (symbol.st_bind() != elf::STB_LOCAL, ifunc);
            self.add(address, size, name, bound)
                .map_err(|TooMuchText| elf.malformed("symbol names"))?;
        }
        Ok(())
    }
}

/// Adds what one of the file's own tables has: the first of this type.
pub(super) fn add_own<'data, R: ReadRef<'data>>(
    elf: &Elf<'data, R>,
    kind: elf::SectionType,
    symbols: &mut Symbols,
) -> Result<(), ObjectError> {
    match elf.of_type(kind).next() {
        Some(section) => symbols.add_table(elf, section),
        None => Ok(()),
    }
}

/// Adds what else names functions, after the file's own tables; returns what is known of those in Go.
pub(super) fn add_others<'data, R: ReadRef<'data>>(
    elf: &Elf<'data, R>,
    debug: &DebugSource,
    symbols: &mut Symbols,
) -> Go {
    let is_stripped = elf.of_type(elf::SHT_SYMTAB).next().is_none();
    match debug.separate_file().filter(|_| is_stripped) {
        Some(separate) => symbols.add_separate(elf.name, separate),
        None => mini_debug::add(elf, symbols),
    }
    go::add(elf, symbols)
}

/// The symbols of a table, and the table of their names.
pub(super) fn table<'data, R: ReadRef<'data>>(
    elf: &Elf<'data, R>,
    section: &Section,
) -> Result<(&'data [elf::Sym64<Endianness>], Strings<'data>), ObjectError> {
    let malformed = elf.damaged("symbol table");
    let symbols = section.data_as_array(elf.endian, elf.data).map_err(&malformed)?;
    let strings = match elf.section(section.sh_link(elf.endian) as usize) {
        Some(strings) if !symbols.is_empty() => strings.data(elf.endian, elf.data).map_err(&malformed)?,
        Some(_) | None => &[],
    };
    Ok((symbols, StringTable::new(strings, 0, strings.len() as u64)))
}

type Strings<'data> = StringTable<'data, &'data [u8]>;

/// Strips `@VERSION` and `@@VERSION`.
pub(super) fn without_version(raw: &[u8]) -> &[u8] {
    match raw.iter().position(|byte| *byte == b'@') {
        Some(at) if at > 0 => &raw[..at],
        Some(_) | None => raw,
    }
}
