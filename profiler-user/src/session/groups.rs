//! Who the targets are, and by what of it the counters are told apart (`--by`).
use std::collections::HashMap;

use profiler_common::config::{Grouping, RowOwner};

use crate::kernel::load::Kernel;
use crate::target::identity::{Attribute, Directory, Identity};
use crate::target::selector::Selector;

/// What stands for processes or threads that found no row of their own, and for what is not known.
const OTHERS: &str = "(others)";
/// Identities that are kept: ended processes may still have their first look ahead.
const KEPT: usize = 16_384;

/// Which processes are meant, and who they are.
pub(super) struct Tracker {
    pub(super) selector: Selector,
    directory: Directory,
}

impl Tracker {
    pub(super) fn new(selector: Selector, directory: Directory) -> Self {
        Self { selector, directory }
    }

    /// Who a process is, if it is there.
    pub(super) fn identity(&mut self, pid: u32) -> Option<Identity> {
        self.directory.identity(pid).ok()
    }

    /// Whether a process is meant by itself.
    pub(super) fn means(&mut self, pid: u32) -> bool {
        self.identity(pid)
            .is_some_and(|identity| self.selector.matches(&identity))
    }

    /// The processes that are meant now.
    pub(super) fn find(&mut self) -> Vec<Identity> {
        self.selector.find(&mut self.directory)
    }
}

/// What tells counters apart, and whose they are.
pub(super) struct Groups {
    by: Vec<Attribute>,
    /// By row of counters: its group.
    of_row: Vec<usize>,
    /// By group: its values, in the order of the attributes.
    keys: Vec<Vec<String>>,
    index: HashMap<Vec<String>, usize>,
    known: HashMap<u32, Identity>,
}

impl Groups {
    pub(super) fn new(by: &[Attribute]) -> Self {
        let mut groups = Self {
            by: by.to_vec(),
            of_row: Vec::new(),
            keys: Vec::new(),
            index: HashMap::new(),
            known: HashMap::new(),
        };
        if !by.is_empty() {
            let others = groups.number(vec![OTHERS.to_owned(); by.len()]);
            groups.of_row.push(others);
        }
        groups
    }

    /// What must have a row of counters of its own.
    pub(super) fn grouping(by: &[Attribute]) -> Grouping {
        if by.is_empty() {
            Grouping::None
        } else if by.contains(&Attribute::Tid) {
            Grouping::Thread
        } else {
            Grouping::Process
        }
    }

    /// What tells the counters apart.
    pub(super) fn attributes(&self) -> &[Attribute] {
        &self.by
    }

    /// By row: its group. Empty where nothing is told apart.
    pub(super) fn of_rows(&self) -> &[usize] {
        &self.of_row
    }

    /// How many groups there are; one where nothing is told apart.
    pub(super) fn len(&self) -> usize {
        self.keys.len().max(1)
    }

    /// A group's values, in the order of the attributes; none where nothing is told apart.
    pub(super) fn values(&self, group: usize) -> &[String] {
        self.keys.get(group).map_or(&[], Vec::as_slice)
    }

    /// Whether identities are needed at all.
    fn needs_identity(&self) -> bool {
        let known = [Attribute::Pid, Attribute::Tid];
        self.by.iter().any(|attribute| !known.contains(attribute))
    }

    /// A process has joined: who it is must be found out while it is there. One that is gone is like its parent.
    pub(super) fn meet(&mut self, pid: u32, parent: Option<u32>, tracker: &mut Tracker) {
        if !self.needs_identity() {
            return;
        }
        let like_parent = || {
            let parent = self.known.get(&parent?)?;
            Some(Identity {
                pid,
                ..parent.clone()
            })
        };
        if let Some(identity) = tracker.identity(pid).or_else(like_parent) {
            if self.known.len() >= KEPT {
                self.known.clear();
            }
            self.known.insert(pid, identity);
        }
    }

    /// Finds out whose the rows are that were given since.
    pub(super) fn refresh(&mut self, kernel: &Kernel, tracker: &mut Tracker) {
        if self.by.is_empty() {
            return;
        }
        for row in self.of_row.len() as u32..kernel.rows_in_use() {
            let owner = kernel.row_owner(row);
            if owner.pid == 0 {
                // Given, and being written now.
                return;
            }
            let key = self.key(&owner, tracker);
            let group = self.number(key);
            self.of_row.push(group);
        }
    }

    fn key(&mut self, owner: &RowOwner, tracker: &mut Tracker) -> Vec<String> {
        let identity = if self.needs_identity() {
            let now = tracker.identity(owner.pid);
            now.or_else(|| self.known.get(&owner.pid).cloned())
        } else {
            None
        };
        let end = owner.comm.iter().position(|byte| *byte == 0);
        let comm = String::from_utf8_lossy(&owner.comm[..end.unwrap_or(owner.comm.len())]);
        let value = |attribute: &Attribute| match attribute {
            Attribute::Pid => owner.pid.to_string(),
            Attribute::Tid => owner.tid.to_string(),
            // Of the thread, where threads are told apart, and where the process is gone.
            Attribute::Comm if self.by.contains(&Attribute::Tid) || identity.is_none() => comm.to_string(),
            Attribute::Comm
            | Attribute::InnerPid
            | Attribute::Exe
            | Attribute::User
            | Attribute::Cgroup
            | Attribute::Container
            | Attribute::ContainerId
            | Attribute::Image
            | Attribute::Pod
            | Attribute::Namespace
            | Attribute::Unit => identity
                .as_ref()
                .map_or(String::new(), |identity| identity.value(*attribute).into_owned()),
        };
        self.by.iter().map(value).collect()
    }

    fn number(&mut self, key: Vec<String>) -> usize {
        let next = self.keys.len();
        let number = *self.index.entry(key.clone()).or_insert(next);
        if number == next {
            self.keys.push(key);
        }
        number
    }

    /// What must be said of them.
    pub(super) fn note(kernel: &Kernel) -> Option<String> {
        let missing = kernel.rows_missing();
        (missing > 0).then(|| {
            let what = match kernel.layout.grouping {
                Grouping::Thread => "threads",
                Grouping::Process | Grouping::None => "processes",
            };
            format!("{missing} {what} had no room for counters of their own: they are together in {OTHERS} (--max-map-memory)")
        })
    }
}
