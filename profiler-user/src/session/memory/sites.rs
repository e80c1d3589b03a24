//! The names of call sites. They are found while the process is there, and kept.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use profiler_common::alloc::SiteStats;

use crate::kernel::heap::HeapMaps;
use crate::kernel::lifecycle::Mapping;
use crate::object::debug::SourceLine;
use crate::resolve::{AddressResolver, Kind, Place};

/// A place in a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::session) struct SiteName {
    /// The function; none = nothing names it.
    pub(in crate::session) function: Option<Arc<str>>,
    /// The file.
    pub(in crate::session) object: Arc<str>,
    /// `function+0x1f`, or `object+0x1234`.
    pub(in crate::session) text: Arc<str>,
}

impl SiteName {
    /// What has no name of its own.
    pub(in crate::session) fn unnamed(text: &str) -> Self {
        Self {
            function: None,
            object: "".into(),
            text: text.into(),
        }
    }
}

/// What is known of a call site.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// The caller.
    pub(super) caller: SiteName,
    /// The stack, the caller first; the caller alone where stacks are not kept.
    pub(super) stack: Vec<SiteName>,
    /// The caller's source line, where it was looked for and is known.
    pub(super) line: Option<SourceLine>,
    /// The caller lies in something that is known: it need not be looked for again.
    is_final: bool,
}

/// Processes, and mappings of each, of which the kernel's word is kept.
const MOST_TOLD: usize = 4096;
const MOST_MAPPINGS: usize = 512;

/// Sites whose source lines are looked for.
const MOST_LINES: usize = 4096;

/// A mapping, as the kernel told it.
struct Told {
    start: u64,
    end: u64,
    offset: u64,
    inode: u64,
    path: PathBuf,
}

fn is_known(place: &Place) -> bool {
    match place.kind {
        Kind::Unknown | Kind::Anonymous => false,
        Kind::File | Kind::Vdso | Kind::Jit | Kind::Uprobes | Kind::Kernel => true,
    }
}

/// The names of call sites, by number.
pub(in crate::session) struct SiteNames {
    resolver: AddressResolver,
    known: Vec<Option<Resolved>>,
    /// What the kernel told of mappings, by process: some are gone before anybody can look.
    told: HashMap<u32, Vec<Told>>,
    /// By process and address, since many stacks have the same frames.
    places: HashMap<(u32, u64), SiteName>,
}

impl SiteNames {
    pub(in crate::session) fn new() -> Self {
        Self {
            resolver: AddressResolver::new(),
            known: Vec::new(),
            told: HashMap::new(),
            places: HashMap::new(),
        }
    }

    /// Looks at what a process maps. One that has ended stays as it was known.
    pub(in crate::session) fn learn(&mut self, pid: u32) {
        if let Err(error) = self.resolver.learn(pid) {
            log::debug!("the call sites of process {pid} may stay without names: {error}");
        }
    }

    /// A process has mapped a file.
    pub(in crate::session) fn told(&mut self, mapping: &Mapping) {
        let Mapping {
            pid,
            start,
            length,
            file: (_, _, inode),
            offset,
            path,
            suspends: _,
        } = mapping;
        if self.told.len() >= MOST_TOLD && !self.told.contains_key(pid) {
            self.told.clear();
        }
        let mappings = self.told.entry(*pid).or_default();
        // The last one counts, should one replace another.
        mappings.insert(
            0,
            Told {
                start: *start,
                end: start.saturating_add(*length),
                offset: *offset,
                inode: *inode,
                path: path.clone(),
            },
        );
        mappings.truncate(MOST_MAPPINGS);
    }

    /// A process runs another program.
    pub(in crate::session) fn forget(&mut self, pid: u32) {
        self.told.remove(&pid);
        self.resolver.forget(pid);
        self.places.retain(|(of, _), _| *of != pid);
    }

    /// A site's names.
    pub(super) fn get(&self, number: usize) -> Option<&Resolved> {
        self.known.get(number)?.as_ref()
    }

    /// Names all sites that have no names yet, of one process or of all.
    pub(super) fn resolve_all(&mut self, heap: &HeapMaps, only: Option<u32>) {
        let sites = heap.sites_in_use();
        self.known.resize(sites.max(self.known.len()), None);
        for number in 1..sites {
            if self.known[number].as_ref().is_some_and(|known| known.is_final) {
                continue;
            }
            let SiteStats { key, .. } = heap.sites.get(number);
            let process = heap.processes.get(key.process as usize);
            // Zero: it is being written now.
            if process.tgid == 0 || only.is_some_and(|pid| pid != process.tgid) {
                continue;
            }
            let parent = heap.processes.get(process.parent as usize).tgid;
            let caller = self.place((process.tgid, parent), key.caller);
            let mut stack = vec![caller.clone()];
            let frames = heap.stacks.frames(key.stack);
            // The first frame is the allocator itself. Where it has not built its frame yet the caller is passed over.
            let behind = frames.get(1..).unwrap_or_default();
            let behind = behind.strip_prefix(&[key.caller]).unwrap_or(behind);
            stack.extend(
                behind
                    .iter()
                    .map(|frame| self.place((process.tgid, parent), *frame)),
            );
            let is_final = key.caller == 0 || self.places.contains_key(&(process.tgid, key.caller));
            self.known[number] = Some(Resolved {
                caller,
                stack,
                line: None,
                is_final,
            });
        }
    }

    /// The source line of an instruction of a process that is known.
    pub(in crate::session) fn line(&self, pid: u32, ip: u64) -> Option<SourceLine> {
        self.resolver.line(pid, ip)
    }

    /// What a frame of a stack returns to.
    pub(in crate::session) fn call(&mut self, pid: u32, address: u64) -> SiteName {
        self.place((pid, 0), address)
    }

    /// What an instruction lies in, and whether that is known for good.
    pub(in crate::session) fn instruction(&mut self, pid: u32, ip: u64) -> (SiteName, bool) {
        let place = self.find((pid, 0), ip);
        (Self::name(&place, 0), is_known(&place))
    }

    /// Looks for the source lines of all sites: it takes its time, and is done at the end.
    pub(super) fn find_lines(&mut self, heap: &HeapMaps) {
        let Self { resolver, known, .. } = self;
        let sites = known.iter_mut().enumerate().take(MOST_LINES);
        for (number, resolved) in sites.filter_map(|(number, site)| Some((number, site.as_mut()?))) {
            let SiteStats { key, .. } = heap.sites.get(number);
            if key.caller != 0 {
                let process = heap.processes.get(key.process as usize);
                resolved.line = resolver.line(process.tgid, key.caller - 1);
            }
        }
    }

    /// What a return address lies behind.
    fn place(&mut self, (pid, parent): (u32, u32), address: u64) -> SiteName {
        if address == 0 {
            return SiteName::unnamed("(any caller)");
        }
        if let Some(known) = self.places.get(&(pid, address)) {
            return known.clone();
        }
        // The call itself: the return address may be the next function's first byte.
        let call = address - 1;
        let place = self.find((pid, parent), call);
        let name = Self::name(&place, 1);
        if is_known(&place) {
            self.places.insert((pid, address), name.clone());
        }
        name
    }

    fn find(&mut self, (pid, parent): (u32, u32), address: u64) -> Place {
        // A forked process has what its parent has, which mostly lives longer.
        let in_parent = (parent != 0).then(|| self.resolver.resolve(parent, address));
        if let Some(place) = in_parent.filter(is_known) {
            return place;
        }
        let own = self.resolver.resolve(pid, address);
        let is_own_known = is_known(&own);
        if is_own_known && own.function.is_some() {
            return own;
        }
        // It may have ended before its files could be opened.
        let told = self.place_told(pid, address);
        let told = told.filter(|told| told.function.is_some() || !is_own_known);
        told.unwrap_or(own)
    }

    /// What lies there by what the kernel told of the process's mappings.
    fn place_told(&mut self, pid: u32, address: u64) -> Option<Place> {
        let mut mappings = self.told.get(&pid)?.iter();
        let mapping = mappings.find(|mapping| (mapping.start..mapping.end).contains(&address))?;
        let offset = address - mapping.start + mapping.offset;
        self.resolver.in_file(&mapping.path, mapping.inode, offset)
    }

    /// The name of what lies so many bytes behind a place.
    fn name(place: &Place, bytes: u64) -> SiteName {
        let behind = Place {
            offset: place.offset + bytes,
            ..place.clone()
        };
        SiteName {
            function: place.function.clone(),
            object: Arc::clone(&place.object),
            text: behind.to_string().into(),
        }
    }
}
