//! The links of a session: groups of functions, each attached to each process that maps their file, or at once to all.
//!
//! A group can be attached to another process (a forked child) and attached again without some of its functions. While
//! the new links replace the old, both are in place; the group's generation tells which of them count, so that no call
//! is counted twice and none is missed.
use std::collections::BTreeSet;

use profiler_common::cookie::{Cookie, FunctionId, Leave, Role};
use profiler_common::stats::function_flags;

use crate::kernel::error::KernelError;
use crate::kernel::link::{self, Link, LinkTarget, Probe, Refused, Side, Subject};
use crate::kernel::load::Kernel;
use crate::probe::plan::{Placement, Plan, PlannedFunction, PlannedObject, Returns};
use crate::target::TargetError;

use super::SessionError;

/// Functions of a group at most: few enough to be attached again in milliseconds, many enough that a link's fixed cost
/// does not matter.
const GROUP: usize = 4096;

/// A group of functions of one file.
struct Group {
    /// Index in [`Plan::objects`].
    object: usize,
    /// The functions: a range of the plan.
    functions: std::ops::Range<usize>,
    subject: Subject,
    generation: u8,
    links: Vec<ReachedLinks>,
}

/// A group's links to one copy of its file, in one process, or in all (none), in the order in which they are to be closed.
struct ReachedLinks {
    pid: Option<u32>,
    copy: usize,
    links: Vec<Link>,
}

/// What is attached.
#[derive(Default)]
pub struct Attachments {
    groups: Vec<Group>,
    detached: BTreeSet<u32>,
    /// Functions whose entry the kernel refused.
    refused: Vec<FunctionId>,
    first_refusal: Option<Refused>,
}

impl Attachments {
    /// Makes groups of the functions that joined the plan.
    pub fn grow(&mut self, plan: &Plan) {
        let known = self.groups.last().map_or(0, |group| group.functions.end);
        self.groups.append(&mut groups(plan, known));
    }

    /// Attaches an object of the plan, where it lies, to a process, or to all that map it (none), unless it is attached.
    pub fn attach_object(
        &mut self,
        kernel: &Kernel,
        plan: &Plan,
        Placement { object, copy }: Placement,
        pid: Option<u32>,
    ) -> Result<(), SessionError> {
        for index in 0..self.groups.len() {
            let group = &self.groups[index];
            let is_this = |reached: &ReachedLinks| reached.pid == pid && reached.copy == copy;
            if group.object == object && !group.links.iter().any(is_this) {
                let refused = self.attach(index, kernel, plan, (copy, pid))?;
                if self.first_refusal.is_none() {
                    self.first_refusal = refused.into_iter().next();
                }
            }
        }
        Ok(())
    }

    /// An error where the kernel refused all there was.
    pub fn check(&mut self) -> Result<(), SessionError> {
        match self.first_refusal.take() {
            Some(Refused { probe: _, source }) if self.is_empty() => Err(SessionError::AllRefused {
                probes: self.refused.len(),
                source,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        let links = self
            .groups
            .iter()
            .flat_map(|group| &group.links)
            .flat_map(|process| &process.links);
        links.map(Link::len).sum::<usize>() == 0
    }

    /// Functions whose entry the kernel refused.
    pub fn refused(&self) -> &[FunctionId] {
        &self.refused
    }

    /// Lets go of a process that has ended, and returns its links.
    pub fn forget(&mut self, pid: u32) -> Vec<Link> {
        let ended = |group: &mut Group| {
            group
                .links
                .extract_if(.., |reached| reached.pid == Some(pid))
                .collect::<Vec<_>>()
        };
        let processes = self.groups.iter_mut().flat_map(ended);
        processes.flat_map(|process| process.links).collect()
    }

    /// Takes functions off: at once what they record, then their probes.
    pub fn detach(
        &mut self,
        kernel: &Kernel,
        plan: &Plan,
        functions: &[FunctionId],
    ) -> Result<(), SessionError> {
        for function in functions {
            let index = function.0 as usize;
            kernel
                .functions
                .set(index, kernel.functions.get(index) | function_flags::OFF);
            self.detached.insert(function.0);
        }
        self.renew(kernel, plan, functions)
    }

    /// Whether a function was taken off.
    pub fn is_detached(&self, function: FunctionId) -> bool {
        self.detached.contains(&function.0)
    }

    /// Puts functions back that were taken off, and says how many were.
    pub fn reattach(
        &mut self,
        kernel: &Kernel,
        plan: &Plan,
        functions: &[FunctionId],
    ) -> Result<usize, SessionError> {
        let mut back = functions.to_vec();
        back.retain(|function| self.detached.remove(&function.0));
        self.renew(kernel, plan, &back)?;
        for function in &back {
            let index = function.0 as usize;
            kernel
                .functions
                .set(index, kernel.functions.get(index) & !function_flags::OFF);
        }
        Ok(back.len())
    }

    /// Makes the links of these functions anew, as the plan has them now.
    pub fn renew(
        &mut self,
        kernel: &Kernel,
        plan: &Plan,
        functions: &[FunctionId],
    ) -> Result<(), SessionError> {
        let touches = |group: &Group| {
            functions
                .iter()
                .any(|function| group.functions.contains(&(function.0 as usize)))
        };
        let affected: Vec<usize> = (0..self.groups.len())
            .filter(|index| touches(&self.groups[*index]))
            .collect();
        let mut old = Vec::new();
        for index in affected {
            old.append(&mut self.replace(index, kernel, plan)?);
        }
        link::detach(old);
        Ok(())
    }

    /// Takes everything off.
    pub fn close(self) {
        let links = self
            .groups
            .into_iter()
            .flat_map(|group| group.links)
            .flat_map(|process| process.links);
        link::detach(links.collect());
    }

    /// Makes a group's links anew, without the functions that are detached, and returns the old ones.
    fn replace(&mut self, index: usize, kernel: &Kernel, plan: &Plan) -> Result<Vec<Link>, SessionError> {
        let group = &mut self.groups[index];
        let old = std::mem::take(&mut group.links);
        group.generation = group.generation.wrapping_add(1);
        for process in &old {
            match self.attach(index, kernel, plan, (process.copy, process.pid)) {
                // The session hears of its end on another way.
                Ok(_) | Err(SessionError::Target(TargetError::Ended { .. })) => {}
                Err(error) => {
                    // The old ones are in place still, and count.
                    let group = &mut self.groups[index];
                    group.generation = group.generation.wrapping_sub(1);
                    let new = std::mem::replace(&mut group.links, old);
                    link::detach(new.into_iter().flat_map(|process| process.links).collect());
                    return Err(error);
                }
            }
        }
        let group = &self.groups[index];
        for function in group.functions.clone() {
            let flags = kernel.functions.get(function);
            kernel
                .functions
                .set(function, function_flags::with_generation(flags, group.generation));
        }
        Ok(old.into_iter().flat_map(|process| process.links).collect())
    }

    fn attach(
        &mut self,
        index: usize,
        kernel: &Kernel,
        plan: &Plan,
        (copy, pid): (usize, Option<u32>),
    ) -> Result<Vec<Refused>, SessionError> {
        let Self {
            groups,
            detached,
            refused: all_refused,
            first_refusal: _,
        } = self;
        let group = &mut groups[index];
        let wanted = plan.functions[group.functions.clone()]
            .iter()
            .filter(|function| !detached.contains(&function.id.0));
        let probes = Probes::of(wanted, group.generation);
        let target = LinkTarget {
            path: plan.objects[group.object].place(copy),
            pid,
        };
        let mut links = Vec::new();
        let mut refused = Vec::new();
        // Exits first, so that no entry waits for an exit in vain.
        for (side, probes) in [
            (Side::Exit, probes.exits),
            (Side::Entry, probes.entries),
            (Side::Count, probes.counted),
            (Side::EntryAndReturn, probes.entries_and_returns),
        ] {
            let attached = kernel.attach((group.subject, side), target, &probes);
            let (link, mut not_attached) =
                attached.map_err(|error| explained(error, pid, &plan.objects[group.object]))?;
            links.push(link);
            refused.append(&mut not_attached);
        }
        // Entries are closed first.
        links.reverse();
        group.links.push(ReachedLinks { pid, copy, links });
        for Refused { probe, source } in &refused {
            let name = &plan.functions[probe.cookie.function.0 as usize].name;
            log::warn!(
                "the kernel refused a probe of `{name}` at {:#x}: {source}",
                probe.offset
            );
            if probe.cookie.role != Role::Exit && !all_refused.contains(&probe.cookie.function) {
                all_refused.push(probe.cookie.function);
            }
        }
        Ok(refused)
    }
}

/// The error with what the user knows: the process that has ended, or the file by its path in the target.
fn explained(error: KernelError, pid: Option<u32>, object: &PlannedObject) -> SessionError {
    let KernelError::Attach {
        path: _,
        probes,
        source,
    } = error
    else {
        return error.into();
    };
    if let (Some(pid), Some(libc::ESRCH)) = (pid, source.raw_os_error()) {
        return TargetError::Ended { pid }.into();
    }
    let path = object.path.clone();
    KernelError::Attach { path, probes, source }.into()
}

fn groups(plan: &Plan, from: usize) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut start = from;
    let alike = |one: &PlannedFunction, other: &PlannedFunction| {
        one.object == other.object && one.allocator.is_some() == other.allocator.is_some()
    };
    for functions in plan.functions[from..].chunk_by(alike) {
        for part in functions.chunks(GROUP) {
            let range = start..start + part.len();
            groups.push(Group {
                object: part[0].object,
                functions: range,
                subject: if part[0].allocator.is_some() {
                    Subject::Allocations
                } else {
                    Subject::Calls
                },
                generation: 0,
                links: Vec::new(),
            });
            start += part.len();
        }
    }
    groups
}

/// The probes of some functions, by what they are for.
#[derive(Default)]
struct Probes {
    entries_and_returns: Vec<Probe>,
    entries: Vec<Probe>,
    counted: Vec<Probe>,
    exits: Vec<Probe>,
}

impl Probes {
    fn of<'a>(functions: impl Iterator<Item = &'a PlannedFunction>, generation: u8) -> Self {
        let mut probes = Self::default();
        for function in functions {
            let cookie = |role, (condition, leave)| Cookie {
                function: function.id,
                generation,
                role,
                stack: function.stack,
                leave,
                condition,
            };
            let entry = |role| Probe {
                offset: function.entry.offset,
                cookie: cookie(role, (None, Leave::Return)),
            };
            match &function.returns {
                Returns::ReturnProbe(_) => probes.entries_and_returns.push(entry(Role::EntryWithReturnProbe)),
                Returns::EntryOnly(_) => probes.counted.push(entry(Role::EntryOnly)),
                Returns::ExitSites(exits, _) => {
                    probes.entries.push(entry(Role::EntryWithExitSites));
                    let exits = exits.iter();
                    probes.exits.extend(exits.map(|exit| Probe {
                        offset: exit.offset,
                        cookie: cookie(Role::Exit, (exit.condition, exit.leave)),
                    }));
                }
            }
        }
        probes
    }
}
