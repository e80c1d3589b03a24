//! The names of call sites. They are found while the process is there, and kept.
use std::collections::HashMap;
use std::sync::Arc;

use profiler_common::alloc::SiteStats;

use crate::kernel::heap::HeapMaps;
use crate::object::names::NameStyle;
use crate::resolve::{AddressResolver, Kind, Place};

/// A place in a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SiteName {
    /// The function; none = nothing names it.
    pub(super) function: Option<Arc<str>>,
    /// The file.
    pub(super) object: Arc<str>,
    /// `function+0x1f`, or `object+0x1234`.
    pub(super) text: Arc<str>,
}

/// What is known of a call site.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// The caller.
    pub(super) caller: SiteName,
    /// The stack, the caller first; the caller alone where stacks are not kept.
    pub(super) stack: Vec<SiteName>,
}

/// The names of call sites, by number.
pub(super) struct SiteNames {
    resolver: AddressResolver,
    style: NameStyle,
    known: Vec<Option<Resolved>>,
    /// By process and address, since many stacks have the same frames.
    places: HashMap<(u32, u64), SiteName>,
}

impl SiteNames {
    pub(super) fn new(style: NameStyle) -> Self {
        Self {
            resolver: AddressResolver::new(),
            style,
            known: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Looks at what a process maps. One that has ended stays as it was known.
    pub(super) fn learn(&mut self, pid: u32) {
        if let Err(error) = self.resolver.learn(pid) {
            log::debug!("the call sites of process {pid} may stay without names: {error}");
        }
    }

    /// A process runs another program.
    pub(super) fn forget(&mut self, pid: u32) {
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
            if self.known[number].is_some() {
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
            let frames = heap.stack(key.stack);
            // The first frame is the allocator itself. Where it has not built its frame yet the caller is passed over.
            let behind = frames.get(1..).unwrap_or_default();
            let behind = behind.strip_prefix(&[key.caller]).unwrap_or(behind);
            stack.extend(
                behind
                    .iter()
                    .map(|frame| self.place((process.tgid, parent), *frame)),
            );
            self.known[number] = Some(Resolved { caller, stack });
        }
    }

    /// What a return address lies behind.
    fn place(&mut self, (pid, parent): (u32, u32), address: u64) -> SiteName {
        if address == 0 {
            return SiteName {
                function: None,
                object: "".into(),
                text: "(any caller)".into(),
            };
        }
        if let Some(known) = self.places.get(&(pid, address)) {
            return known.clone();
        }
        // The call itself: the return address may be the next function's first byte.
        let mut place = self.resolver.resolve(pid, address - 1);
        if place.kind == Kind::Unknown && parent != 0 {
            // Ended before it was looked at: a forked process has what its parent has.
            place = self.resolver.resolve(parent, address - 1);
        }
        let name = self.name(&place, address);
        self.places.insert((pid, address), name.clone());
        name
    }

    fn name(&self, place: &Place, _address: u64) -> SiteName {
        let behind = Place {
            offset: place.offset + 1,
            ..place.clone()
        };
        let _ = self.style;
        SiteName {
            function: place.function.clone(),
            object: Arc::clone(&place.object),
            text: behind.to_string().into(),
        }
    }
}
