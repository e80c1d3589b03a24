//! Following: processes that start, execute, load libraries and end while the session runs.
//!
//! The same can be told twice, on two ways and in any order: everything here looks at what is, and does what is missing.
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::SessionError;
use super::ahead;
use super::catalog::Added;
use super::groups::Verdict;
use super::memory::known::Known;
use super::roster::Origin;
use super::state::State;
use crate::kernel::Reach;
use crate::kernel::lifecycle::{LifeEvent, Mapping};
use crate::object::{ObjectError, is_system_library};
use crate::probe::plan::Placement;
use crate::target::TargetError;
use crate::target::process::{MappedFile, Process, start_ticks};

/// How long a runtime may take to tell the name of a container that it has started.
const DOUBT: Duration = Duration::from_secs(3);
/// Processes that are in doubt at a time: where more start, some wait for the next look at everything.
const MOST_DOUBTFUL: usize = 256;

/// What tells of the end of a process that joined.
pub(super) struct End {
    pub(super) pid: u32,
    /// Tells it from a later process with the same id.
    pub(super) start_ticks: u64,
    pub(super) notice: OwnedFd,
}

impl State {
    /// Something happened to a process of the host. Returns what tells of the ends of those that joined.
    pub(super) fn life(&mut self, event: &LifeEvent) -> Result<Vec<End>, SessionError> {
        match event {
            LifeEvent::Forked { parent, child } => Ok(self.forked(*parent, *child)),
            LifeEvent::Executed { pid } => {
                if let (Some(memory), Some(heap)) = (&mut self.memory, &self.kernel.heap) {
                    memory.replaced(*pid, heap);
                }
                // Elsewhere the kernel side may know of targets that have not been looked at.
                let may_count = self.roster.contains(*pid) || self.kernel.reach != Reach::Process;
                if let (Some(growth), Some(maps)) = (&mut self.growth, &self.kernel.growth)
                    && may_count
                {
                    growth.replaced(*pid, maps);
                }
                self.executed(*pid)
            }
            LifeEvent::Mapped(mapping) => {
                if let Some(known) = self.known() {
                    known.told(mapping);
                }
                let looked_at = self.mapped(mapping);
                if mapping.suspends {
                    // Where it failed return probes stay suspended, until all is looked at again.
                    match looked_at {
                        Ok(()) => self.suspension.end(),
                        Err(_) => self.unexamined += 1,
                    }
                }
                looked_at.map(|()| Vec::new())
            }
            // A descriptor of the process tells it exactly.
            LifeEvent::Ended { pid: _ } => Ok(Vec::new()),
            LifeEvent::Missed(_) => Ok(self.rescan()),
        }
    }

    /// A process was made.
    pub(super) fn forked(&mut self, parent: u32, child: u32) -> Vec<End> {
        if self.is_still(child) {
            return Vec::new();
        }
        if self.roster.contains(parent) {
            return Vec::from_iter(self.join(child, Origin::Child, Some(parent)));
        }
        self.consider(child)
    }

    /// Whether a process is a target already, and not another one that has got its id since.
    pub(super) fn is_still(&mut self, pid: u32) -> bool {
        let Some(known) = self.roster.get_mut(pid).map(|member| member.start_ticks) else {
            return false;
        };
        if start_ticks(pid).is_some_and(|now| now != known) {
            self.leave(pid);
            return false;
        }
        true
    }

    /// A process runs another program now.
    pub(super) fn executed(&mut self, pid: u32) -> Result<Vec<End>, SessionError> {
        let origin = self.roster.origin(pid).filter(|_| self.is_still(pid));
        let Some(origin) = origin else {
            return Ok(self.consider(pid));
        };
        let stays = self.tracker.selector.children || self.still_meant(pid, origin);
        if !stays {
            self.leave(pid);
            self.roster_notes.replaced.insert(pid);
            return Ok(Vec::new());
        }
        match self.look(pid) {
            // A program that is no ELF file of ours ends nothing.
            Ok(()) | Err(SessionError::Target(_) | SessionError::Object(ObjectError::NotElf { .. })) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// A process runs another program now, told by the kernel side, which suspended return probes for it, if `hold` is not 0.
    pub(super) fn examined(&mut self, pid: u32, hold: u32, time_ns: u64) -> Result<Vec<End>, SessionError> {
        self.groups.executed(pid, time_ns, &mut self.tracker);
        let joined = self.executed(pid)?;
        self.kernel.release(hold.into());
        Ok(joined)
    }

    fn still_meant(&mut self, pid: u32, origin: Origin) -> bool {
        let by_id = origin == Origin::Matched && self.tracker.selector.is_closed();
        by_id || self.tracker.means(pid)
    }

    /// A process that is no target mapped, forked or executed: it may be one now.
    fn consider(&mut self, pid: u32) -> Vec<End> {
        if self.tracker.selector.is_closed() || pid == std::process::id() {
            return Vec::new();
        }
        match self.tracker.verdict(pid) {
            Verdict::Meant => Vec::from_iter(self.join(pid, Origin::Matched, None)),
            Verdict::Doubtful => {
                if self.doubtful.len() < MOST_DOUBTFUL {
                    self.doubtful.push((pid, Instant::now() + DOUBT));
                }
                Vec::new()
            }
            Verdict::NotMeant => Vec::new(),
        }
    }

    /// Looks again at processes in containers whose runtime had not told their names yet.
    pub(super) fn reconsider(&mut self) -> Vec<End> {
        let now = Instant::now();
        let mut ends = Vec::new();
        for (pid, until) in std::mem::take(&mut self.doubtful) {
            if self.roster.contains(pid) {
                continue;
            }
            match self.tracker.verdict(pid) {
                Verdict::Meant => ends.extend(self.join(pid, Origin::Matched, None)),
                Verdict::Doubtful if now < until => self.doubtful.push((pid, until)),
                Verdict::Doubtful | Verdict::NotMeant => {}
            }
        }
        ends
    }

    /// Makes a process a target. `None`: it has ended, or cannot be one, which is said.
    pub(super) fn join(&mut self, pid: u32, origin: Origin, parent: Option<u32>) -> Option<End> {
        if self.barred.contains(&pid) {
            return None;
        }
        let is_news = !self.roster.has_come(pid);
        self.roster.came(pid, origin);
        let notice = Process::open(pid).and_then(|process| process.end_notice());
        let Ok(notice) = notice else {
            self.groups.meet(pid, parent, &mut self.tracker);
            self.roster.missed += u64::from(is_news);
            return None;
        };
        let start_ticks = start_ticks(pid).unwrap_or_default();
        self.roster.insert(pid, origin, start_ticks);
        self.shared.insert(pid);
        self.groups.meet(pid, parent, &mut self.tracker);
        match self.look(pid) {
            // Without a program it is between two: what it maps is told as it maps it.
            Ok(()) | Err(SessionError::Target(TargetError::NoProgram { .. })) => {}
            Err(SessionError::Target(_)) => {
                self.roster.missed += u64::from(is_news);
                self.leave(pid);
                return None;
            }
            Err(SessionError::Object(error)) => {
                log::warn!("process {pid} is left out: {error}");
                self.leave(pid);
                return None;
            }
            // It stays a target: the next look may succeed.
            Err(error) => self.note_failure(&error),
        }
        Some(End {
            pid,
            start_ticks,
            notice,
        })
    }

    /// Looks at what a target maps, and attaches what is wanted of it.
    pub(super) fn look(&mut self, pid: u32) -> Result<(), SessionError> {
        let process = Process::open(pid)?;
        let circumstances = process.circumstances()?;
        if let Some(warning) = process.debugged(&circumstances) {
            log::warn!("{warning}");
        }
        let ahead = ahead::files(&process, self.setup.catalog.scope().request());
        let files: Vec<MappedFile> = process.mapped_files()?.into_iter().chain(ahead).collect();
        self.adopt(pid, files)?;
        let root = self.roster.origin(pid) == Some(Origin::Matched);
        self.kernel.add_target(pid, root)?;
        self.meet_for_memory(pid);
        Ok(())
    }

    /// Looks at who a process is and what it maps, where memory is followed.
    pub(super) fn meet_for_memory(&mut self, pid: u32) {
        if self.known().is_some() {
            let identity = self.tracker.identity(pid);
            if let Some(known) = self.known() {
                known.meet(pid, identity.as_ref());
            }
        }
        self.make_room();
    }

    /// What is known of processes, where memory is followed.
    pub(super) fn known(&mut self) -> Option<&mut Known> {
        let of_memory = self.memory.as_mut().map(|memory| &mut memory.known);
        of_memory.or(self.growth.as_mut().map(|growth| &mut growth.known))
    }

    /// Blocks of processes that are gone make room for those of others, if there are any.
    pub(super) fn make_room(&mut self) {
        if let (Some(memory), Some(heap)) = (&mut self.memory, &self.kernel.heap)
            && !self.roster.pids().is_empty()
        {
            memory.make_room(heap);
        }
    }

    /// Attaches what is wanted of these files of a target. Returns the names of those whose first calls may be missing.
    fn adopt(&mut self, pid: u32, files: Vec<MappedFile>) -> Result<Vec<String>, SessionError> {
        let known = |file: &MappedFile| self.setup.catalog.knows(file.id, file.is_main);
        let all_known = files.iter().all(known);
        let ids: Vec<_> = files.iter().map(|file| file.id).collect();
        if !all_known {
            self.grow(files)?;
            self.shared.examined(ids.iter().map(|id| id.numbers()));
        }
        let placements: Vec<Placement> = ids
            .into_iter()
            .filter_map(|id| self.setup.catalog.placement(id))
            .collect();
        let mut attached = Vec::new();
        for placement in placements {
            let is_new = self
                .roster
                .get_mut(pid)
                .is_some_and(|member| member.objects.insert(placement));
            if is_new {
                let reached = self.reached(pid);
                self.attachments
                    .attach_object(&self.kernel, &self.setup.plan, placement, reached)?;
                attached.push(self.setup.plan.objects[placement.object].name.as_str());
            }
        }
        if !attached.is_empty() {
            self.news
                .push(format!("process {pid}: probed as well: {}", attached.join(", ")));
        }
        // Links that reach every process are there already, for files that were known.
        let is_late = !all_known || self.kernel.reach == Reach::Process;
        let late = attached.into_iter().filter(|_| is_late);
        Ok(late.map(str::to_owned).collect())
    }

    /// The process that links for one process are made for; none = they reach all.
    pub(super) fn reached(&self, pid: u32) -> Option<u32> {
        (self.kernel.reach == Reach::Process).then_some(pid)
    }

    /// Adds what is wanted of files that nobody has looked at to the plan. Meanwhile no return probe is armed: they may
    /// bring what return probes would break, unless they are of the C library.
    fn grow(&mut self, files: Vec<MappedFile>) -> Result<(), SessionError> {
        let may_harm = |file: &MappedFile| {
            let name = file.path.file_name().unwrap_or_default();
            !self.setup.catalog.has_met(file.id, file.is_main) && !is_system_library(&name.to_string_lossy())
        };
        let suspends = files.iter().any(may_harm);
        if suspends {
            self.suspension.begin();
        }
        let first = self.setup.plan.functions.len();
        let added = self.setup.catalog.add(&mut self.setup.plan, files);
        let grown = added.and_then(|added| {
            self.announce_functions(first);
            self.attachments.grow(&self.setup.plan);
            self.renew(added)
        });
        match &grown {
            Ok(()) if suspends => self.suspension.end(),
            // They stay suspended until all is looked at again.
            Err(_) if suspends => self.unexamined += 1,
            Ok(()) | Err(_) => {}
        }
        grown
    }

    /// Makes the links of functions anew whose returns are planned differently now, with those where that failed before.
    fn renew(&mut self, added: Added) -> Result<(), SessionError> {
        self.to_renew.extend(added.replanned);
        if self.to_renew.is_empty() {
            return Ok(());
        }
        self.attachments
            .renew(&self.kernel, &self.setup.plan, &self.to_renew)?;
        let renewed = std::mem::take(&mut self.to_renew).len();
        self.roster_notes.replanned += renewed as u64;
        self.news.push(format!(
            "the returns of {renewed} functions are seen differently now: what a target maps could break return probes",
        ));
        Ok(())
    }

    /// A process mapped a file executable.
    fn mapped(&mut self, mapping: &Mapping) -> Result<(), SessionError> {
        let pid = mapping.pid;
        if !self.roster.contains(pid) {
            return Ok(());
        }
        // Its end is told on another way.
        let Ok(process) = Process::open(pid) else {
            return Ok(());
        };
        let Some(file) = process.mapped_file(mapping.start, mapping.length) else {
            // Unmapped since, or split: what is there now is looked at.
            return self.look_again(pid);
        };
        if let Some(known) = self.known() {
            known.mapped(pid);
        }
        match self.adopt(pid, vec![file]) {
            Err(SessionError::Target(TargetError::Ended { .. })) => Ok(()),
            Ok(late) => {
                self.shared.examined(std::iter::once(mapping.file));
                self.roster_notes.late.extend(late);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn look_again(&mut self, pid: u32) -> Result<(), SessionError> {
        match self.look(pid) {
            Err(SessionError::Target(_) | SessionError::Object(_)) => Ok(()),
            result => result,
        }
    }

    /// A target has ended. What took its id since stays.
    pub(super) fn ended(&mut self, pid: u32, started: u64) {
        self.barred.remove(&pid);
        let is_it = |ticks: u64| ticks == started;
        if self
            .roster
            .get_mut(pid)
            .is_some_and(|member| is_it(member.start_ticks))
        {
            self.leave(pid);
        }
    }

    /// A process is no target any more. Its links go beside the loop, since the kernel takes its time.
    pub(super) fn leave(&mut self, pid: u32) {
        self.roster.remove(pid);
        self.shared.remove(pid);
        self.kernel.remove_target(pid);
        if let (Some(memory), Some(heap)) = (&mut self.memory, &mut self.kernel.heap) {
            memory.left(pid, heap);
        }
        if let (Some(growth), Some(maps)) = (&mut self.growth, &self.kernel.growth) {
            growth.left(pid, maps);
        }
        if let (None, Some(heap)) = (&self.memory, &mut self.kernel.heap) {
            heap.leave(pid);
        }
        let links = self.attachments.forget(pid);
        if !links.is_empty() {
            self.detacher.detach(links);
        }
    }
}
