//! What lies at an address of a process: a function of a file, of the vDSO, of a just-in-time compiler, of the kernel.
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::jit::JitMap;
use super::kernel_symbols::KernelSymbols;
use crate::object::debug::{DebugInfo, SourceLine};
use crate::object::{self, ObjectFile};
use crate::target::TargetError;
use crate::target::code_texts::CodeMap;
use crate::target::mappings::{Backing, Mapping, Mappings};
use crate::target::process::FileId;

/// The lowest address of the kernel's half.
const KERNEL_HALF: u64 = 1 << 63;

/// How often a process is looked at anew, at most, because of an address that is not known yet.
const PATIENCE: Duration = Duration::from_millis(100);

/// The most distinct vDSOs that are kept: a machine has two or three.
const MAX_VDSOS: usize = 16;

/// What kind of code lies at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Code of a file.
    File,
    /// The kernel's code for user space.
    Vdso,
    /// Code that was made while running.
    Jit,
    /// The page where probed instructions are executed out of line: it is the profiler's doing, and to be skipped.
    Uprobes,
    /// Executable memory that nothing names.
    Anonymous,
    /// The kernel.
    Kernel,
    /// Nothing that is known, or nothing at all.
    Unknown,
}

/// What lies at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The kind of code.
    pub kind: Kind,
    /// The function, as its language writes it; none = nothing names it.
    pub function: Option<Arc<str>>,
    /// The file's name, `[vdso]`, `[kernel]`, a module's name; empty = unknown.
    pub object: Arc<str>,
    /// Bytes from the start of the function; without a function, the address in the object's own view, or else the
    /// address itself.
    pub offset: u64,
}

impl Place {
    /// Whether a stack is better shown without it.
    pub fn is_skipped(&self) -> bool {
        self.kind == Kind::Uprobes
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.function, self.offset) {
            (Some(function), 0) => f.write_str(function),
            (Some(function), offset) => write!(f, "{function}+{offset:#x}"),
            (None, offset) if self.object.is_empty() => write!(f, "{offset:#x}"),
            (None, offset) => write!(f, "{}+{offset:#x}", self.object),
        }
    }
}

/// Names addresses. Files are read when something in them is first asked for, once for all processes, and stay open, so
/// that they can be read when the process has ended.
#[derive(Default)]
pub struct AddressResolver {
    objects: HashMap<(FileId, Option<Vec<u8>>), Arc<Object>>,
    processes: HashMap<u32, Process>,
    vdsos: Vec<(Vec<u8>, Arc<Object>)>,
    kernel: OnceLock<KernelSymbols>,
}

/// A file, and the names of its functions that were asked for.
struct Object {
    name: Arc<str>,
    source: Source,
    parsed: OnceLock<Option<ObjectFile>>,
    names: Mutex<HashMap<usize, Arc<str>>>,
    debug: OnceLock<Option<DebugInfo>>,
}

enum Source {
    File(File),
    Memory(Vec<u8>),
}

#[derive(Default)]
struct Process {
    mappings: Mappings,
    /// By the start of a mapping.
    objects: HashMap<u64, Arc<Object>>,
    jit: JitMap,
    code_map: Option<CodeMap>,
    looked: Option<Instant>,
}

impl AddressResolver {
    /// One that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at what a process has mapped now: when it starts to matter, and before it ends.
    pub fn learn(&mut self, pid: u32) -> Result<(), TargetError> {
        let mappings = Mappings::of(pid)?;
        if mappings.is_empty() {
            // It has ended, and nobody has waited for it yet: what was known of it stays.
            return Err(TargetError::Ended { pid });
        }
        self.learn_from(pid, mappings);
        Ok(())
    }

    fn learn_from(&mut self, pid: u32, mappings: Mappings) {
        let mut old = self.processes.remove(&pid).unwrap_or_default();
        let mut objects = HashMap::new();
        for mapping in mappings.iter() {
            let unchanged = old.mappings.at(mapping.start) == Some(mapping);
            let known = old.objects.remove(&mapping.start).filter(|_| unchanged);
            let object = known.or_else(|| match mapping.backing {
                Backing::File(_) => self.object(pid, mapping),
                Backing::Vdso => self.vdso(mappings.read_vdso(pid)?),
                Backing::Uprobes | Backing::Anonymous(_) => None,
            });
            if let Some(object) = object {
                objects.insert(mapping.start, object);
            }
        }
        let mut process = Process {
            mappings,
            objects,
            looked: Some(Instant::now()),
            ..old
        };
        process.read_code_map(pid);
        self.processes.insert(pid, process);
    }

    /// Forgets a process: it runs another program now, or its id belongs to another one.
    pub fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
        self.objects.retain(|_, object| Arc::strong_count(object) > 1);
    }

    /// What lies at an address of a process, or of the kernel. A process that was not learnt is looked at now.
    pub fn resolve(&mut self, pid: u32, address: u64) -> Place {
        if address >= KERNEL_HALF {
            return self.in_kernel(address);
        }
        let found = self.find(pid, address);
        if matches!(found.kind, Kind::Unknown | Kind::Anonymous) && self.may_look_again(pid) {
            // Libraries and code come while it runs. One that has ended stays as it was.
            if self.learn(pid).is_err() {
                self.processes.entry(pid).or_default().looked = Some(Instant::now());
            }
            return self.find(pid, address);
        }
        found
    }

    /// The source line of an address of a process that was resolved before, where its file has debug information.
    pub fn line(&self, pid: u32, address: u64) -> Option<SourceLine> {
        let process = self.processes.get(&pid)?;
        let mapping = process.mappings.at(address)?;
        let object = process.objects.get(&mapping.start)?;
        object.line(address - mapping.start + mapping.offset)
    }

    /// The declaration of the function around an address of a process that was resolved before, where its file has debug
    /// information.
    pub fn declaration(&self, pid: u32, address: u64) -> Option<SourceLine> {
        let process = self.processes.get(&pid)?;
        let mapping = process.mappings.at(address)?;
        let object = process.objects.get(&mapping.start)?;
        object.declaration(address - mapping.start + mapping.offset)
    }

    /// What lies at an offset of a file. `None`: there is no file of this path, or it is another one by now.
    pub fn in_file(&mut self, path: &Path, inode: u64, offset: u64) -> Option<Place> {
        let file = File::open(path).ok()?;
        if file.metadata().ok()?.ino() != inode {
            return None;
        }
        let key = (FileId::of_file(&file).ok()?, object::build_id(&file));
        let new = || Object::new(&file_name(path), Source::File(file));
        let object = self.objects.entry(key).or_insert_with(new);
        Some(object.place(Kind::File, offset))
    }

    /// What is known of the kernel's functions.
    pub fn kernel(&self) -> &KernelSymbols {
        self.kernel.get_or_init(KernelSymbols::of_this_machine)
    }

    fn may_look_again(&self, pid: u32) -> bool {
        let looked = self.processes.get(&pid).and_then(|process| process.looked);
        looked.is_none_or(|looked| looked.elapsed() >= PATIENCE)
    }

    fn in_kernel(&self, address: u64) -> Place {
        let found = self.kernel().lookup(address);
        Place {
            kind: Kind::Kernel,
            function: found.map(|place| place.function.into()),
            object: found.and_then(|place| place.module).unwrap_or("[kernel]").into(),
            offset: found.map_or(address, |place| place.offset),
        }
    }

    fn find(&self, pid: u32, address: u64) -> Place {
        let place = |kind, object: &str| Place {
            kind,
            function: None,
            object: object.into(),
            offset: address,
        };
        let Some(process) = self.processes.get(&pid) else {
            return place(Kind::Unknown, "");
        };
        let Some(mapping) = process.mappings.at(address) else {
            return place(Kind::Unknown, "");
        };
        let (kind, label) = match &mapping.backing {
            Backing::File(path) => (Kind::File, file_name(path)),
            Backing::Vdso => (Kind::Vdso, "[vdso]".into()),
            Backing::Uprobes => return place(Kind::Uprobes, "[uprobes]"),
            Backing::Anonymous(name) => return process.in_made_code(address, name),
        };
        match process.objects.get(&mapping.start) {
            Some(object) => object.place(kind, address - mapping.start + mapping.offset),
            None => Place {
                offset: address - mapping.start + mapping.offset,
                ..place(kind, &label)
            },
        }
    }

    /// The file of a mapping, opened now; `None`: it cannot be opened.
    fn object(&mut self, pid: u32, mapping: &Mapping) -> Option<Arc<Object>> {
        let Backing::File(path) = &mapping.backing else {
            return None;
        };
        let (id, file) = mapping.open(pid).ok()?;
        let key = (id, object::build_id(&file));
        let object = self
            .objects
            .entry(key)
            .or_insert_with(|| Object::new(&file_name(path), Source::File(file)));
        Some(Arc::clone(object))
    }

    fn vdso(&mut self, bytes: Vec<u8>) -> Option<Arc<Object>> {
        if let Some((_, known)) = self.vdsos.iter().find(|(known, _)| *known == bytes) {
            return Some(Arc::clone(known));
        }
        if self.vdsos.len() >= MAX_VDSOS {
            return None;
        }
        let object = Object::new("[vdso]", Source::Memory(bytes.clone()));
        self.vdsos.push((bytes, Arc::clone(&object)));
        Some(object)
    }
}

impl Process {
    /// Code that has no file: named by the compiler that made it, if by anybody.
    fn in_made_code(&self, address: u64, mapping: &str) -> Place {
        let found = self.jit.lookup(address);
        Place {
            kind: if found.is_some() {
                Kind::Jit
            } else {
                Kind::Anonymous
            },
            function: found.map(|(name, _)| name.into()),
            object: if mapping.is_empty() {
                "[anonymous]"
            } else {
                mapping
            }
            .into(),
            offset: found.map_or(address, |(_, offset)| offset),
        }
    }

    fn read_code_map(&mut self, pid: u32) {
        let has_made_code = self
            .mappings
            .iter()
            .any(|mapping| matches!(mapping.backing, Backing::Anonymous(_)));
        if self.code_map.is_none() && has_made_code {
            self.code_map = CodeMap::open(pid).ok().flatten();
        }
        let Some(map) = &mut self.code_map else { return };
        while let Ok(lines) = map.read_more()
            && !lines.is_empty()
            && !self.jit.is_full()
        {
            self.jit.add(&lines);
        }
    }
}

impl Object {
    fn new(name: &str, source: Source) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            source,
            parsed: OnceLock::new(),
            names: Mutex::default(),
            debug: OnceLock::new(),
        })
    }

    fn file(&self) -> Option<&ObjectFile> {
        let parse = || {
            let parsed = match &self.source {
                Source::File(file) => ObjectFile::from_file(file.try_clone().ok()?, &*self.name),
                Source::Memory(bytes) => ObjectFile::parse(bytes.clone(), &*self.name),
            };
            parsed
                .inspect_err(|error| log::debug!("no names in `{}`: {error}", self.name))
                .ok()
        };
        self.parsed.get_or_init(parse).as_ref()
    }

    /// The source line of this offset of the file.
    fn line(&self, offset: u64) -> Option<SourceLine> {
        let file = self.file()?;
        let address = file.segments().code_address(offset)?;
        let debug = self.debug.get_or_init(|| file.debug().load().ok());
        debug.as_ref()?.units().ok()?.location(address)
    }

    /// The declaration of the function around this offset of the file.
    fn declaration(&self, offset: u64) -> Option<SourceLine> {
        let file = self.file()?;
        let address = file.segments().code_address(offset)?;
        let debug = self.debug.get_or_init(|| file.debug().load().ok());
        let units = debug.as_ref()?.units().ok()?;
        units.declaration(units.entry_of(address)?)
    }

    /// What lies at this offset of the file.
    fn place(&self, kind: Kind, offset: u64) -> Place {
        let file = self.file();
        let address = file.and_then(|file| file.segments().code_address(offset));
        let address = address.unwrap_or(offset);
        let function = file.and_then(|file| Some((file, file.function_containing(address)?)));
        let (function, offset) = match function {
            Some((file, index)) if file.names(&file.functions()[index]).next().is_some() => (
                Some(self.name_of(file, index)),
                address - file.functions()[index].address,
            ),
            Some(_) | None => (None, address),
        };
        Place {
            kind,
            function,
            object: Arc::clone(&self.name),
            offset,
        }
    }

    fn name_of(&self, file: &ObjectFile, index: usize) -> Arc<str> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = names
            .entry(index)
            .or_insert_with(|| file.display_name(&file.functions()[index]).into());
        Arc::clone(name)
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
