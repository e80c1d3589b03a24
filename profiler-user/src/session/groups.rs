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

/// Whether a process is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is.
    Meant,
    /// Not by what is known now.
    Doubtful,
    /// It is not.
    NotMeant,
}

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
        self.verdict(pid) == Verdict::Meant
    }

    /// The same; it is in doubt where its container has no name yet, which may be the one that was asked for.
    pub(super) fn verdict(&mut self, pid: u32) -> Verdict {
        let Some(identity) = self.identity(pid) else {
            return Verdict::NotMeant;
        };
        let by_container = !self.selector.containers.is_empty() || !self.selector.pods.is_empty();
        let unnamed = identity
            .container
            .as_ref()
            .is_none_or(|container| !container.is_named());
        if self.selector.matches(&identity) {
            Verdict::Meant
        } else if by_container && unnamed {
            Verdict::Doubtful
        } else {
            Verdict::NotMeant
        }
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
    /// By process: who it was, since when (`CLOCK_MONOTONIC`, ns).
    known: HashMap<u32, Vec<(u64, Identity)>>,
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

    /// A process has joined: who it is must be found out while it is there. A child is like its parent, until it executes
    /// another program.
    pub(super) fn meet(&mut self, pid: u32, parent: Option<u32>, tracker: &mut Tracker) {
        if !self.needs_identity() {
            return;
        }
        let like_parent = parent.and_then(|parent| {
            let (_, parent) = self.known.get(&parent)?.last()?;
            let inner_pid = tracker.identity(pid).map_or(0, |identity| identity.inner_pid);
            Some(Identity {
                pid,
                inner_pid,
                ..parent.clone()
            })
        });
        if let Some(identity) = like_parent.or_else(|| tracker.identity(pid)) {
            if self.known.len() >= KEPT {
                self.known.clear();
            }
            self.known.insert(pid, vec![(0, identity)]);
        }
    }

    /// A process runs another program since `time_ns`.
    pub(super) fn executed(&mut self, pid: u32, time_ns: u64, tracker: &mut Tracker) {
        if self.needs_identity()
            && let Some(identity) = tracker.identity(pid)
        {
            self.known.entry(pid).or_default().push((time_ns, identity));
        }
    }

    /// Who a process was at `time_ns`, as far as that was found out.
    fn identity_at(&self, pid: u32, time_ns: u64) -> Option<&Identity> {
        let known = self.known.get(&pid)?;
        let then = known.iter().rev().find(|(since, _)| *since <= time_ns);
        then.or(known.first()).map(|(_, identity)| identity)
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
            let then = self.identity_at(owner.pid, owner.since_ns).cloned();
            then.or_else(|| tracker.identity(owner.pid))
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
