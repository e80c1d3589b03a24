//! Go programs: the names of their functions, also where the symbols were stripped, and what only Go's own table tells.
mod table;

use std::borrow::Cow;

use object::read::ReadRef;
use object::read::elf::SectionHeader as _;
use object::{Endianness, elf};

use self::table::{Header, PREAMBLE, Table, Version};
use super::elf::{Elf, Section};
use super::source::Source;
use super::symbols::Symbols;
use super::{Evidence, ObjectFile};

/// The names of the table's section, without and with position-independent code.
const SECTIONS: [&[u8]; 2] = [b".gopclntab", b".data.rel.ro.gopclntab"];

/// Where the C linker puts the table into a position-independent program.
const MERGED_INTO: &[u8] = b".data.rel.ro";

/// The table's alignment.
const ALIGNMENT: usize = 32;

/// Sections in which Go keeps the description of a program (`moduledata`).
const MODULE_SECTIONS: [&[u8]; 4] = [b".go.module", b".noptrdata", b".data", b".data.rel.ro"];

/// Words of a `moduledata`, from its start (`src/runtime/symtab.go` of Go 1.18 and later).
const FIRST_FUNCTION: u64 = 20;
const TEXT_START: u64 = 22;

/// What a signal handler calls before it has set the register.
const IN_SIGNAL_HANDLERS: [&[u8]; 3] = [b"runtime.sigtrampgo", b"runtime.sigfwdgo", b"runtime.sigFetchG"];

/// What Go's table tells of a function besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoFunction {
    /// Virtual address of its first instruction.
    pub address: u64,
    /// Distance from there to where it goes on after a panic that it recovered from; 0 = nowhere.
    resumes: u32,
    /// At its entry and its exits a register tells the goroutine (`src/cmd/compile/abi-internal.md`). Functions in
    /// assembly need not keep to that.
    pub names_goroutine: bool,
}

/// The Go code of a file.
#[derive(Debug, Default)]
pub(super) struct Go {
    /// By address.
    functions: Vec<GoFunction>,
    table: Option<Place>,
}

/// Where the table lies in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    offset: u64,
    size: u64,
    text_start: u64,
    /// Compiled functions keep their goroutine in a register (Go 1.17, told for sure from 1.18 on).
    goroutine_register: bool,
}

/// Go's table of lines, loaded.
#[derive(Debug)]
pub struct GoLines {
    bytes: Vec<u8>,
    header: Header,
    text_start: u64,
}

impl GoLines {
    /// Reads a table that is in memory. `text_start`: where the code starts, if the table does not tell it.
    pub fn parse(bytes: Vec<u8>, text_start: u64) -> Option<Self> {
        let header = Header::read(&bytes)?;
        let text_start = if header.text_start == 0 {
            text_start
        } else {
            header.text_start
        };
        Some(Self {
            bytes,
            header,
            text_start,
        })
    }

    /// The functions that it names, with their addresses, up to the first damage.
    pub fn functions(&self) -> impl Iterator<Item = (u64, Cow<'_, str>)> {
        let entries = self.table().entries(self.text_start);
        entries.map(|entry| (entry.address, String::from_utf8_lossy(entry.name)))
    }

    /// The file and line of the code at this virtual address.
    pub fn position(&self, address: u64) -> Option<(Cow<'_, str>, u32)> {
        let (file, line) = self.table().position(address, self.text_start)?;
        Some((String::from_utf8_lossy(file), line))
    }

    /// Where the function that starts at this virtual address was declared. Before Go 1.20 the line is that of its first
    /// instruction.
    pub fn declaration(&self, address: u64) -> Option<(Cow<'_, str>, u32)> {
        let (file, line) = self.table().declaration(address, self.text_start)?;
        Some((String::from_utf8_lossy(file), line))
    }

    fn table(&self) -> Table<'_> {
        Table {
            bytes: &self.bytes,
            header: self.header,
        }
    }
}

impl Go {
    /// Where the table lies.
    pub(super) fn table(&self) -> Option<Place> {
        self.table
    }

    fn function(&self, address: u64) -> Option<GoFunction> {
        let found = self
            .functions
            .binary_search_by_key(&address, |function| function.address);
        found.ok().map(|index| self.functions[index])
    }

    /// Whether a Go function starts at this address.
    pub(super) fn has(&self, address: u64) -> bool {
        self.function(address).is_some()
    }
}

impl ObjectFile {
    /// What Go's table tells of the function that starts at this address, if it is a function in Go.
    pub fn go_function(&self, address: u64) -> Option<GoFunction> {
        self.facts.go.function(address)
    }

    /// Where the Go function that starts at this address goes on after a panic that it recovered from.
    pub fn go_resume_point(&self, address: u64) -> Option<u64> {
        let function = self.go_function(address)?;
        (function.resumes != 0).then(|| function.address + u64::from(function.resumes))
    }

    /// Whether it has Go code, and nothing is known of which functions that is.
    pub fn has_unknown_go(&self) -> bool {
        self.evidences().has(Evidence::Go) && self.facts.go.table.is_none()
    }

    /// Loads the table that tells files and lines of Go code. `None`: the file has no Go code, or it is damaged.
    pub fn load_go_lines(&self) -> Option<GoLines> {
        self.facts.go.table?.load(&self.source)
    }

    /// Where the Go function at this address was declared: file and line. Loads the table anew; for many functions use
    /// [`ObjectFile::load_go_lines`].
    pub fn declaration(&self, address: u64) -> Option<(String, u32)> {
        let function = self.go_function(address)?;
        let lines = self.load_go_lines()?;
        let (file, line) = lines.declaration(function.address)?;
        Some((file.into_owned(), line))
    }
}

impl Place {
    /// The table at this place of a file.
    pub(super) fn load(self, source: &Source) -> Option<GoLines> {
        let bytes = source.read(self.offset, self.size)?;
        GoLines::parse(bytes, self.text_start)
    }
}

/// Adds the names of Go functions that have no symbol.
pub(super) fn add<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, symbols: &mut Symbols) -> Go {
    let Some((table, place)) = find(elf) else {
        if elf.named(b".go.buildinfo").is_some() {
            log::warn!(
                "`{}`: Go functions without a symbol have no name: Go's table `pclntab` was not found, is damaged, \
                 or is of an unknown version",
                elf.name
            );
        }
        return Go::default();
    };
    let known = symbols.addresses();
    let mut functions = Vec::new();
    for entry in table.entries(place.text_start) {
        functions.push(GoFunction {
            address: entry.address,
            resumes: entry.resumes,
            names_goroutine: place.goroutine_register
                && !entry.assembly
                && !IN_SIGNAL_HANDLERS.contains(&entry.name),
        });
        let named = known.contains(&entry.address) || entry.name.is_empty();
        if !named
            && symbols
                .add(entry.address, entry.size, entry.name, Default::default())
                .is_err()
        {
            log::warn!(
                "`{}`: some Go functions have no name: their names repeat too much",
                elf.name
            );
            break;
        }
    }
    functions.sort_unstable_by_key(|function| function.address);
    Go {
        functions,
        table: Some(place),
    }
}

fn find<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>) -> Option<(Table<'data>, Place)> {
    if elf.endian != Endianness::Little {
        return None;
    }
    let named = SECTIONS.iter().find_map(|name| elf.named(name));
    let (section, bytes, at) = if let Some(section) = named {
        (section, section.data(elf.endian, elf.data).ok()?, 0)
    } else {
        elf.named(b".go.buildinfo")?;
        let section = elf.named(MERGED_INTO)?;
        let bytes = section.data(elf.endian, elf.data).ok()?;
        (section, bytes, search(bytes, section.sh_addr(elf.endian))?)
    };
    let bytes = &bytes[at..];
    let table = Table {
        bytes,
        header: Header::read(bytes)?,
    };
    let address = section.sh_addr(elf.endian).checked_add(at as u64)?;
    let relative = table.header.version >= Version::Go118;
    let text_start = match table.header.text_start {
        0 if relative => text_start_of_module(elf, table, address)?,
        start => start,
    };
    let place = Place {
        offset: section.sh_offset(elf.endian).checked_add(at as u64)?,
        size: bytes.len() as u64,
        text_start,
        goroutine_register: relative,
    };
    Some((table, place))
}

/// The table within a section that begins at this address.
fn search(bytes: &[u8], address: u64) -> Option<usize> {
    let first = (address.next_multiple_of(ALIGNMENT as u64) - address) as usize;
    (first..bytes.len().saturating_sub(PREAMBLE))
        .step_by(ALIGNMENT)
        .find(|at| Header::read(&bytes[*at..]).is_some())
}

/// Where the code starts, by the program's description, which starts with the table's address. In position-independent
/// programs the addresses in it are those of relocations.
fn text_start_of_module<'data, R: ReadRef<'data>>(
    elf: &Elf<'data, R>,
    table: Table<'data>,
    address: u64,
) -> Option<u64> {
    let first_function = table.start(0)?;
    let believed = |text_start: u64, first: u64| {
        (text_start != 0 && first.checked_sub(text_start) == Some(first_function)).then_some(text_start)
    };
    for section in MODULE_SECTIONS.iter().filter_map(|name| elf.named(name)) {
        let Ok(bytes) = section.data(elf.endian, elf.data) else {
            continue;
        };
        let (words, _rest) = bytes.as_chunks::<8>();
        let word = |index: u64| words.get(index as usize).map(|word| u64::from_le_bytes(*word));
        let mut holders = (0..words.len() as u64).filter(|index| word(*index) == Some(address));
        let found =
            holders.find_map(|index| believed(word(index + TEXT_START)?, word(index + FIRST_FUNCTION)?));
        if found.is_some() {
            return found;
        }
    }
    let targets = |wanted: &dyn Fn(u64, u64) -> bool| relative_relocations(elf, wanted);
    let holders = targets(&|_place, target| target == address);
    holders.into_iter().find_map(|(place, _)| {
        let at = |index: u64| {
            let wanted = place.checked_add(index * 8)?;
            Some(targets(&|place, _| place == wanted).first()?.1)
        };
        believed(at(TEXT_START)?, at(FIRST_FUNCTION)?)
    })
}

/// Place and target of the relocations that are wanted; at most a few.
fn relative_relocations<'data, R: ReadRef<'data>>(
    elf: &Elf<'data, R>,
    wanted: &dyn Fn(u64, u64) -> bool,
) -> Vec<(u64, u64)> {
    let relocations = |section: &'data Section| -> &'data [elf::Rela64<Endianness>] {
        section.data_as_array(elf.endian, elf.data).unwrap_or_default()
    };
    let all = elf
        .of_type(elf::SHT_RELA)
        .take(super::elf::MAX_SECTIONS)
        .flat_map(relocations);
    all.filter(|relocation| relocation.r_type(elf.endian, false) == elf::R_X86_64_RELATIVE)
        .map(|relocation| {
            (
                relocation.r_offset.get(elf.endian),
                relocation.r_addend.get(elf.endian) as u64,
            )
        })
        .filter(|(place, target)| wanted(*place, *target))
        .take(8)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use crate::object::{Evidence, Function, ObjectFile};

    const SOURCE: &str = "package main\n\n//go:noinline\nfunc cold(n int) int {\n\treturn n * n\n}\n\n\
                          func main() {\n\tprintln(cold(3))\n}\n";

    /// Builds the program above; `None` where there is no Go, or not what the flags need.
    fn build(folder: &std::path::Path, flags: &[&str]) -> Option<Vec<u8>> {
        std::fs::write(folder.join("program.go"), SOURCE).unwrap();
        let status = Command::new("go")
            .arg("build")
            .args(flags)
            .args(["-o", "program", "program.go"])
            .envs([("GO111MODULE", "off"), ("GOFLAGS", "")])
            .env("GOCACHE", folder.join("cache"))
            .current_dir(folder)
            .status();
        let built = status.is_ok_and(|status| status.success());
        built.then(|| std::fs::read(folder.join("program")).unwrap())
    }

    fn cold(file: &ObjectFile) -> &Function {
        let mut functions = file.functions().iter();
        let found = functions.find(|function| file.display_name(function) == "main.cold");
        found.expect("a function of Go has its name")
    }

    #[test]
    fn functions_of_stripped_programs_are_found_where_the_symbols_have_them() {
        let folder = tempfile::tempdir().unwrap();
        let Some(full) = build(folder.path(), &[]) else {
            return;
        };
        let full = ObjectFile::parse(full, "program").unwrap();
        assert!(full.evidences().has(Evidence::Go) && !full.has_unknown_go());
        for flags in [
            &["-ldflags=-s -w"][..],
            &["-buildmode=pie", "-ldflags=-s -w"],
            &["-buildmode=pie", "-ldflags=-s -w -linkmode=external"],
        ] {
            let Some(bytes) = build(folder.path(), flags) else {
                continue;
            };
            let mut without_start = bytes.clone();
            let stripped = ObjectFile::parse(bytes, "program").unwrap();
            let function = cold(&stripped);
            // Compiled into one piece of the same size, whatever its address.
            assert!(function.size.abs_diff(cold(&full).size) < 32, "{flags:?}");
            let go = stripped.go_function(function.address).unwrap();
            assert!(go.names_goroutine, "{flags:?}");
            let (file, line) = stripped.declaration(function.address).unwrap();
            assert!(file.ends_with("program.go"), "{file}");
            // That of the first instruction, before Go 1.20.
            assert!((4..=5).contains(&line), "{flags:?}: {line}");
            // Go 1.26 and later write the code's start elsewhere only.
            let place = stripped.facts.go.table.unwrap();
            let field = place.offset as usize + 24;
            without_start[field..field + 8].fill(0);
            let later = ObjectFile::parse(without_start, "program").unwrap();
            assert_eq!(cold(&later).address, function.address, "{flags:?}");
        }
    }

    #[test]
    fn a_program_whose_table_is_unknown_has_unknown_go() {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut bytes) = build(folder.path(), &[]) else {
            return;
        };
        let place = ObjectFile::parse(bytes.clone(), "program").unwrap();
        let place = place.facts.go.table.unwrap();
        bytes[place.offset as usize] = 0x77;
        let file = ObjectFile::parse(bytes, "program").unwrap();
        assert!(file.has_unknown_go());
        assert!(file.go_function(cold(&file).address).is_none());
    }
}
