//! Where return addresses lead, by process, each looked up once.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::resolve::{AddressResolver, PathStyle};

/// Where a return address leads.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The function; the address itself where nothing names it.
    pub(super) function: Box<str>,
    /// Its source file; without debug information its executable or library.
    pub(super) module: Box<str>,
    /// The file name of that executable or library.
    pub(super) object: Arc<str>,
    /// The line of the function's declaration; -1 = not known.
    pub(super) declared: i64,
    /// The line of the call; -1 = not known.
    pub(super) line: i64,
}

impl Frame {
    fn nobody() -> Self {
        Self {
            function: "".into(),
            module: "".into(),
            object: "".into(),
            declared: -1,
            line: -1,
        }
    }

    /// Whether it lies in the function of this name.
    pub(super) fn is_in(&self, name: &str, object: &str) -> bool {
        &*self.function == name && &*self.object == object
    }
}

/// The frames that were looked up.
pub(super) struct Frames {
    resolver: AddressResolver,
    known: HashMap<(u32, u64), Frame>,
    /// How paths of source files are shown.
    paths: PathStyle,
    /// Processes that were looked at.
    met: HashSet<u32>,
}

impl Frames {
    pub(super) fn new(paths: PathStyle) -> Self {
        Self {
            resolver: AddressResolver::new(),
            paths,
            met: HashSet::new(),
            known: HashMap::from([((0, 0), Frame::nobody())]),
        }
    }

    pub(super) fn learn(&mut self, pid: u32) {
        // It is looked at again when something of it is asked for.
        let _: Result<(), _> = self.resolver.learn(pid);
    }

    /// The same, once for each process.
    pub(super) fn meet(&mut self, pid: u32) {
        if self.met.insert(pid) {
            self.learn(pid);
        }
    }

    /// The frame of a return address; of 0 that of nobody.
    pub(super) fn of(&mut self, pid: u32, address: u64) -> &Frame {
        let key = if address == 0 { (0, 0) } else { (pid, address) };
        let Self {
            resolver,
            known,
            paths,
            met: _,
        } = self;
        known
            .entry(key)
            .or_insert_with(|| looked_up(resolver, paths, (pid, address)))
    }

    /// The frames of two return addresses.
    pub(super) fn pair(&mut self, pid: u32, one: u64, other: u64) -> (&Frame, &Frame) {
        let key = |address| if address == 0 { (0, 0) } else { (pid, address) };
        self.of(pid, one);
        self.of(pid, other);
        (&self.known[&key(one)], &self.known[&key(other)])
    }
}

fn looked_up(resolver: &mut AddressResolver, paths: &PathStyle, (pid, address): (u32, u64)) -> Frame {
    let inside = address.saturating_sub(1);
    let place = resolver.resolve(pid, inside);
    let line = resolver.line(pid, inside);
    let declared = resolver.declaration(pid, inside);
    let module = line.as_ref().or(declared.as_ref());
    let module = module.map(|line| paths.shown(&line.file));
    Frame {
        function: place
            .function
            .as_deref()
            .map_or_else(|| format!("{address:#x}").into(), Into::into),
        module: module.unwrap_or(&place.object).into(),
        object: Arc::clone(&place.object),
        declared: declared.map_or(-1, |line| line.line.into()),
        line: line.map_or(-1, |line| line.line.into()),
    }
}
