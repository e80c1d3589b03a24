//! ELF files: their functions, the names of these, and what else a plan must know about them.
//!
//! A file is read with `read()`, never mapped: a private mapping shows the breakpoints that are planted in the
//! file, and makes the kernel plant them in this process too. Only the parts that matter are read, and the code
//! itself only while a plan is made ([`ObjectFile::load_code`]).
pub mod code;
pub mod debug;
mod elf;
mod evidence;
mod frames;
mod functions;
mod go;
mod imports;
pub mod inventory;
mod landing;
mod mini_debug;
pub mod names;
mod source;
mod symbols;
pub mod xz;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use code::{Code, Segments};
use debug::{DebugSource, Search};
pub use evidence::{Evidence, Evidences, is_system_library};
pub use functions::{Function, FunctionKind};
pub use go::{GoFunction, GoLines};
pub use imports::Imports;
pub use names::SymbolName;
use names::{Arena, NameStyle};
use source::Source;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It could not be opened or read.
    #[error("failed to read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no 64-bit ELF file.
    #[error("`{name}` is not a 64-bit ELF file")]
    NotElf {
        /// The file.
        name: String,
    },
    /// A part of it contradicts the format.
    #[error("`{name}` is damaged: its {part} could not be read")]
    Malformed {
        /// The file.
        name: String,
        /// The part.
        part: &'static str,
    },
}

/// The processor that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// Any other.
    Other,
}

/// From so many bytes on, a file is worth a second thread.
const LARGE: u64 = 16 << 20;

type Steps<T> = Result<T, ObjectError>;

/// Does both, at the same time where that is asked for.
fn both<A, B: Send>(
    at_once: bool,
    one: impl FnOnce() -> Steps<A>,
    other: impl FnOnce() -> Steps<B> + Send,
) -> (Steps<A>, Steps<B>) {
    if !at_once {
        return (one(), other());
    }
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        match other.join() {
            Ok(other) => (one, other),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The build id of a file; reads little of it. `None`: it has none, or is no ELF file.
pub fn build_id(file: &File) -> Option<Vec<u8>> {
    elf::build_id(&source::view(file))
}

/// One ELF file.
#[derive(Debug)]
pub struct ObjectFile {
    name: String,
    source: Arc<Source>,
    debug: Arc<DebugSource>,
    facts: Facts,
}

/// All that is read from a file at once.
#[derive(Debug)]
struct Facts {
    machine: Machine,
    entry_point: u64,
    build_id: Option<Vec<u8>>,
    segments: Segments,
    functions: Vec<Function>,
    arena: Arena,
    imports: Imports,
    evidences: Evidences,
    go: go::Go,
}

impl ObjectFile {
    /// Reads the file at `path`; `name` is its file name as the target knows it. Its debug information is looked for
    /// in the file alone.
    pub fn open(path: &Path, name: impl Into<String>) -> Result<Self, ObjectError> {
        let search = Search {
            path: path.to_owned(),
            ..Search::default()
        };
        Self::open_with(path, name, search)
    }

    /// The same; `search` says where its separate debug file may be. Where it is stripped, that names its functions.
    pub fn open_with(path: &Path, name: impl Into<String>, search: Search) -> Result<Self, ObjectError> {
        let name = name.into();
        let source = Source::open(path).map_err(|source| ObjectError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::read(source, name, search)
    }

    /// Reads a file that is open already.
    pub fn from_file(file: File, name: impl Into<String>) -> Result<Self, ObjectError> {
        Self::read(Source::File(file), name.into(), Search::default())
    }

    /// Reads a file that is already in memory.
    pub fn parse(bytes: Vec<u8>, name: impl Into<String>) -> Result<Self, ObjectError> {
        Self::read(Source::Memory(bytes), name.into(), Search::default())
    }

    fn read(source: Source, name: String, search: Search) -> Result<Self, ObjectError> {
        let source = Arc::new(source);
        let mut debug = DebugSource::new(&name, Arc::clone(&source), search);
        // Each step has a view of its own.
        macro_rules! steps {
            ($view:expr) => {{
                let frames = || elf::frames($view, &name);
                let symbols = || {
                    let mut begun = elf::begin($view, &name, &mut debug)?;
                    begun.add_table($view, &name, elf::SYMBOLS)?;
                    begun.add_table($view, &name, elf::DYNAMIC_SYMBOLS)?;
                    begun.add_others($view, &name, &mut debug)?;
                    Ok(begun)
                };
                let (begun, frames) = both(source.length() >= LARGE, symbols, frames);
                begun?.finish(frames?, &name)
            }};
        }
        let facts = match &*source {
            Source::File(file) => steps!(&source::view(file)),
            Source::Memory(bytes) => steps!(bytes.as_slice()),
        };
        Ok(Self {
            name,
            source,
            debug: Arc::new(debug),
            facts,
        })
    }

    /// Where its debug information is.
    pub fn debug(&self) -> &Arc<DebugSource> {
        &self.debug
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The processor that it is for.
    pub fn machine(&self) -> Machine {
        self.facts.machine
    }

    /// The build id, if it has one.
    pub fn build_id(&self) -> Option<&[u8]> {
        self.facts.build_id.as_deref()
    }

    /// Virtual address at which the program starts; 0 for most libraries.
    pub fn entry_point(&self) -> u64 {
        self.facts.entry_point
    }

    /// What is loaded where.
    pub fn segments(&self) -> &Segments {
        &self.facts.segments
    }

    /// The functions, by address.
    pub fn functions(&self) -> &[Function] {
        &self.facts.functions
    }

    /// The names of other objects' functions that its code calls.
    pub fn imports(&self) -> &Imports {
        &self.facts.imports
    }

    /// What speaks for unwinding, stack switches and the like.
    pub fn evidences(&self) -> &Evidences {
        &self.facts.evidences
    }

    /// The function's symbols, the preferred first; none if it is known only from its unwind table.
    pub fn names(&self, function: &Function) -> impl Iterator<Item = SymbolName<'_>> {
        self.facts.arena.names(function.names)
    }

    /// What the function is shown as: its preferred symbol demangled, or `object+0x1234`.
    pub fn display_name(&self, function: &Function) -> String {
        self.shown_name(function, NameStyle::Demangled)
    }

    /// What the function is shown as: its preferred symbol, or `object+0x1234`.
    pub fn shown_name(&self, function: &Function, style: NameStyle) -> String {
        match self.names(function).next() {
            Some(name) => style.shown(name.raw).into_owned(),
            None => format!("{}+{:#x}", self.name, function.address),
        }
    }

    /// The demangled names of its other symbols, without repetitions.
    pub fn aliases(&self, function: &Function) -> Vec<String> {
        self.shown_aliases(function, NameStyle::Demangled)
    }

    /// The names of its other symbols, without repetitions.
    pub fn shown_aliases(&self, function: &Function, style: NameStyle) -> Vec<String> {
        let mut names = self.names(function);
        let Some(preferred) = names.next() else {
            return Vec::new();
        };
        let preferred = style.shown(preferred.raw);
        let mut aliases: Vec<String> = names
            .map(|name| style.shown(name.raw))
            .filter(|name| *name != preferred)
            .map(Cow::into_owned)
            .collect();
        aliases.sort_unstable();
        aliases.dedup();
        aliases
    }

    /// The index of the function that starts at this address.
    pub fn function_at(&self, address: u64) -> Option<usize> {
        self.functions()
            .binary_search_by_key(&address, |function| function.address)
            .ok()
    }

    /// The index of the function that this address lies in.
    pub fn function_containing(&self, address: u64) -> Option<usize> {
        let after = self
            .functions()
            .partition_point(|function| function.address <= address);
        let index = after.checked_sub(1)?;
        (address - self.functions()[index].address < self.functions()[index].size).then_some(index)
    }

    /// The executable segments' bytes. They are not kept here: they are worth tens of megabytes.
    pub fn load_code(&self) -> Result<Code, ObjectError> {
        let malformed = || ObjectError::Malformed {
            name: self.name.clone(),
            part: "code",
        };
        let total: u64 = self
            .segments()
            .executable()
            .fold(0, |total, segment| total.saturating_add(segment.size));
        if total > self.source.length() {
            return Err(malformed());
        }
        let mut code = Code::default();
        for segment in self.segments().executable() {
            let bytes = self
                .source
                .read(segment.offset, segment.size)
                .ok_or_else(malformed)?;
            code.push(segment.address, bytes);
        }
        Ok(code)
    }

    /// Fills `buffer` with what the file holds for this virtual address.
    pub fn read_memory(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let offset = self.segments().file_range(address, buffer.len() as u64)?;
        self.source.read_at(offset, buffer)
    }
}

#[cfg(test)]
mod tests;
