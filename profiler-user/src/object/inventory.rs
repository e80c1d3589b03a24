//! What a file brings along to tell its functions by, without reading it: its sections.
use std::path::Path;

use object::read::elf::FileHeader as _;
use object::{Endianness, elf};

use super::{ObjectError, source};
use crate::rooted;

/// Where names and places of functions can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionSource {
    /// The symbol table, which `strip` takes away.
    SymbolTable,
    /// A compressed symbol table, as Fedora leaves it.
    MiniDebugInfo,
    /// The table of Go's runtime.
    GoTable,
    /// The symbols that the dynamic linker needs: what is exported.
    DynamicSymbols,
    /// Unwind tables: places without names.
    UnwindTables,
}

impl FunctionSource {
    /// Every source, the best first.
    pub const ALL: [Self; 5] = [
        Self::SymbolTable,
        Self::MiniDebugInfo,
        Self::GoTable,
        Self::DynamicSymbols,
        Self::UnwindTables,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SymbolTable => "symtab",
            Self::MiniDebugInfo => "minidebuginfo",
            Self::GoTable => "gopclntab",
            Self::DynamicSymbols => "dynsym",
            Self::UnwindTables => "unwind",
        }
    }

    const fn sections(self) -> &'static [&'static str] {
        match self {
            Self::SymbolTable => &[".symtab"],
            Self::MiniDebugInfo => &[".gnu_debugdata"],
            Self::GoTable => &[".gopclntab", ".data.rel.ro.gopclntab"],
            Self::DynamicSymbols => &[".dynsym"],
            Self::UnwindTables => &[".eh_frame", ".debug_frame"],
        }
    }
}

/// What a file brings along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// What tells its functions, the best first.
    pub sources: Vec<FunctionSource>,
}

impl Inventory {
    /// Looks at the sections of the file at `path`; `name` is its file name as the target knows it.
    pub fn of(path: &Path, name: &str) -> Result<Self, ObjectError> {
        let file = rooted::open_plain(path).map_err(|source| ObjectError::Read {
            path: path.to_owned(),
            source,
        })?;
        let cache = source::view(&file);
        let data = &cache;
        let not_elf = |_| ObjectError::NotElf {
            name: name.to_owned(),
        };
        let header = elf::FileHeader64::<Endianness>::parse(data).map_err(not_elf)?;
        let endian = header.endian().map_err(not_elf)?;
        let malformed = |_| ObjectError::Malformed {
            name: name.to_owned(),
            part: "section headers",
        };
        let table = header.sections(endian, data).map_err(malformed)?;
        let names = table
            .iter()
            .filter_map(|section| table.section_name(endian, section).ok());
        let names: Vec<&[u8]> = names.collect();
        let has = |sections: &[&str]| {
            names
                .iter()
                .any(|name| sections.iter().any(|it| it.as_bytes() == *name))
        };
        let mut sources = FunctionSource::ALL.to_vec();
        sources.retain(|source| has(source.sections()));
        Ok(Self { sources })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{FunctionSource, Inventory};
    use crate::object::ObjectError;

    #[test]
    fn this_program_has_a_symbol_table_and_unwind_tables() {
        let own = std::env::current_exe().unwrap();
        let inventory = Inventory::of(&own, "own").unwrap();
        assert_eq!(inventory.sources.first(), Some(&FunctionSource::SymbolTable));
        assert!(inventory.sources.contains(&FunctionSource::UnwindTables));
    }

    #[test]
    fn what_is_no_elf_file_is_an_error_that_names_it() {
        let error = Inventory::of(Path::new("/etc/passwd"), "passwd").unwrap_err();
        assert!(matches!(error, ObjectError::NotElf { .. }), "{error}");
        let error = Inventory::of(Path::new("/nonexistent"), "x").unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
