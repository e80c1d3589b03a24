//! Which processes are meant.
use std::collections::{HashMap, HashSet};
use std::fmt;

use super::TargetError;
pub use super::choice::{CgroupPath, ContainerChoice, PodChoice, UserChoice};
use super::glob::Glob;
use super::identity::{Directory, Identity};
use super::process::Process;

/// Ids of processes that are written out.
const SHOWN_IDS: usize = 5;

/// Which processes are meant: the same option repeated means any of them, different options must all hold. One without any
/// option means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// These processes.
    pub pids: Vec<u32>,
    /// The descendants of those that match, too.
    pub children: bool,
    /// Of this name.
    pub comm: Vec<Glob>,
    /// With this program: its path, or its file name where the glob has no slash.
    pub exe: Vec<Glob>,
    /// Of this user.
    pub users: Vec<UserChoice>,
    /// In this control group or below it.
    pub cgroups: Vec<CgroupPath>,
    /// In this container.
    pub containers: Vec<ContainerChoice>,
    /// In this pod.
    pub pods: Vec<PodChoice>,
    /// Of this systemd unit.
    pub units: Vec<Glob>,
    /// All of the host.
    pub all: bool,
}

impl Selector {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                children: self.children,
                ..Self::default()
            }
    }

    /// What `ebpf-prof list` has to list to show what it could mean.
    pub fn list(&self) -> &'static str {
        if self.containers.is_empty() && self.pods.is_empty() {
            "processes"
        } else {
            "containers"
        }
    }

    /// Whether it names processes and nothing else, so that no process that starts later can match.
    pub fn is_fixed(&self) -> bool {
        let Self { pids, .. } = self;
        let fixed = Self {
            pids: pids.clone(),
            ..Self::default()
        };
        !pids.is_empty() && *self == fixed
    }

    /// Whether it names processes, and at most their children: when these have ended, no other process can match.
    pub fn is_closed(&self) -> bool {
        let itself = Self {
            children: false,
            ..self.clone()
        };
        itself.is_fixed()
    }

    /// Whether a process is meant by itself: without regard to whose child it is.
    pub fn matches(&self, identity: &Identity) -> bool {
        let Self {
            pids,
            children: _,
            comm,
            exe,
            users,
            cgroups,
            containers,
            pods,
            units,
            all: _,
        } = self;
        let container = identity.container.as_deref();
        !self.is_empty()
            && any(pids, |pid| *pid == identity.pid)
            && any(comm, |glob| glob.matches(&identity.comm))
            && any(exe, |glob| is_program(glob, identity))
            && any(users, |user| user.matches(identity))
            && any(cgroups, |cgroup| cgroup.matches(identity))
            && any(containers, |choice| {
                container.is_some_and(|it| choice.matches(it))
            })
            && any(pods, |choice| container.is_some_and(|it| choice.matches(it)))
            && any(units, |glob| {
                identity.unit.as_deref().is_some_and(|unit| is_unit(glob, unit))
            })
    }

    /// The processes that are meant now, with the children if those are wanted; never this process.
    pub fn find(&self, directory: &mut Directory) -> Vec<Identity> {
        let found = if self.pids.is_empty() || self.children {
            self.choose(directory.processes())
        } else {
            let named = self.pids.iter().filter_map(|pid| directory.identity(*pid).ok());
            self.choose(named.collect())
        };
        let own = std::process::id();
        found.into_iter().filter(|identity| identity.pid != own).collect()
    }

    /// Like [`Self::find`]; what is named by its id must be there, and something must be found.
    pub fn resolve(&self, directory: &mut Directory) -> Result<Vec<Identity>, TargetError> {
        for pid in &self.pids {
            Process::open(*pid)?;
        }
        let found = self.find(directory);
        if found.is_empty() {
            return Err(TargetError::NothingMatches {
                selector: self.to_string(),
                list: self.list(),
            });
        }
        Ok(found)
    }

    /// Those of all processes that are meant.
    fn choose(&self, mut processes: Vec<Identity>) -> Vec<Identity> {
        let mut chosen: HashSet<u32> = processes
            .iter()
            .filter(|identity| self.matches(identity))
            .map(|identity| identity.pid)
            .collect();
        if self.children {
            add_descendants(&mut chosen, &processes);
        }
        processes.retain(|identity| chosen.contains(&identity.pid));
        processes
    }
}

/// No option of a kind means any.
fn any<T>(choices: &[T], matches: impl FnMut(&T) -> bool) -> bool {
    choices.is_empty() || choices.iter().any(matches)
}

fn is_program(glob: &Glob, identity: &Identity) -> bool {
    let Some(exe) = &identity.exe else { return false };
    if glob.text().contains('/') {
        return glob.matches(&exe.to_string_lossy());
    }
    exe.file_name()
        .is_some_and(|name| glob.matches(&name.to_string_lossy()))
}

fn is_unit(glob: &Glob, unit: &str) -> bool {
    glob.matches(unit)
        || unit
            .strip_suffix(".service")
            .is_some_and(|stem| glob.matches(stem))
}

fn add_descendants(chosen: &mut HashSet<u32>, processes: &[Identity]) {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for identity in processes {
        children.entry(identity.parent).or_default().push(identity.pid);
    }
    let mut parents: Vec<u32> = chosen.iter().copied().collect();
    while let Some(parent) = parents.pop() {
        let new = children.get(&parent).into_iter().flatten();
        parents.extend(new.filter(|pid| chosen.insert(**pid)));
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pids,
            children,
            comm,
            exe,
            users,
            cgroups,
            containers,
            pods,
            units,
            all,
        } = self;
        let noun = if pids.len() == 1 { "process" } else { "processes" };
        let mut ids: Vec<String> = pids.iter().take(SHOWN_IDS).map(u32::to_string).collect();
        if pids.len() > SHOWN_IDS {
            ids.push("…".to_owned());
        }
        let parts = [
            (!pids.is_empty()).then(|| format!("{noun} {}", ids.join(", "))),
            named("container", containers),
            named("pod", pods),
            named("systemd unit", units),
            named("cgroup", cgroups),
            named("user", users),
            named("program", exe),
            named("command", comm),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match (parts.is_empty(), all) {
            (false, _) => f.write_str(&parts.join(", "))?,
            (true, true) => f.write_str("all processes")?,
            (true, false) => f.write_str("no process")?,
        }
        if *children {
            f.write_str(" and children")
        } else {
            Ok(())
        }
    }
}

fn named<T: fmt::Display>(noun: &str, choices: &[T]) -> Option<String> {
    let names: Vec<String> = choices.iter().map(T::to_string).collect();
    (!names.is_empty()).then(|| format!("{noun} {}", names.join(" or ")))
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
