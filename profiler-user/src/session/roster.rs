//! The processes that are targets now.
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::probe::plan::Placement;

/// Processes that are remembered: their fork may be told a second time.
const REMEMBERED: usize = 16_384;

/// Why a process is a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was named, or is what was looked for.
    Matched,
    /// It is the child of a target.
    Child,
}

/// A target.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) origin: Origin,
    /// When it started, in clock ticks since the boot.
    pub(super) start_ticks: u64,
    /// The objects of the plan that are attached in it.
    pub(super) objects: BTreeSet<Placement>,
}

/// The targets, by process id.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: HashMap<u32, Member>,
    /// How many came later, by what they are, and how many were gone before they could be looked at.
    pub(super) joined: u64,
    pub(super) children: u64,
    pub(super) missed: u64,
    told: HashSet<u32>,
}

impl Roster {
    pub(super) fn contains(&self, pid: u32) -> bool {
        self.members.contains_key(&pid)
    }

    pub(super) fn get_mut(&mut self, pid: u32) -> Option<&mut Member> {
        self.members.get_mut(&pid)
    }

    pub(super) fn origin(&self, pid: u32) -> Option<Origin> {
        self.members.get(&pid).map(|member| member.origin)
    }

    pub(super) fn insert(&mut self, pid: u32, origin: Origin, start_ticks: u64) {
        self.members.insert(
            pid,
            Member {
                origin,
                start_ticks,
                objects: BTreeSet::new(),
            },
        );
    }

    /// A process came. It is counted when it is told of for the first time.
    pub(super) fn came(&mut self, pid: u32, origin: Origin) {
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        if !self.told.insert(pid) {
            return;
        }
        match origin {
            Origin::Matched => self.joined += 1,
            Origin::Child => self.children += 1,
        }
    }

    /// Whether a process came, be it gone or not.
    pub(super) fn has_come(&self, pid: u32) -> bool {
        self.told.contains(&pid)
    }

    pub(super) fn remove(&mut self, pid: u32) {
        self.members.remove(&pid);
    }

    /// Each target with each object of the plan that is attached in it.
    pub(super) fn placements(&self) -> Vec<(u32, Placement)> {
        let of = |(pid, member): (&u32, &Member)| -> Vec<_> {
            let pairs = member.objects.iter().map(|placement| (*pid, *placement));
            pairs.collect()
        };
        self.members.iter().flat_map(of).collect()
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.members.keys().copied().collect()
    }
}
