//! Following: processes that start, execute, load libraries and end while the session runs.
//!
//! The same can be told twice, on two ways and in any order: everything here looks at what is, and does what is missing.
use std::os::fd::OwnedFd;

use super::SessionError;
use super::ahead;
use super::catalog::Added;
use super::reader::Notice;
use super::roster::Origin;
use super::state::State;
use crate::kernel::lifecycle::LifeEvent;
use crate::kernel::{Reach, link};
use crate::object::{ObjectError, is_system_library};
use crate::probe::plan::Placement;
use crate::probe::returns::ProcessFacts;
use crate::target::TargetError;
use crate::target::process::{MappedFile, Process, start_ticks};

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
        match *event {
            LifeEvent::Forked { parent, child } => self.forked(parent, child),
            LifeEvent::Executed { pid } => self.executed(pid),
            LifeEvent::Mapped { pid, start, length } => {
                self.mapped(pid, start, length)?;
                Ok(Vec::new())
            }
            // A descriptor of the process tells it exactly.
            LifeEvent::Ended { pid: _ } => Ok(Vec::new()),
            LifeEvent::Missed(_) => self.rescan(),
        }
    }

    /// Something that appeared could not be followed: that is said, and the session goes on.
    pub(super) fn note_failure(&mut self, error: &SessionError) {
        log::warn!("not followed: {error}");
        if self.roster_notes.failures == 0 {
            self.roster_notes.first_failure = error.to_string();
        }
        self.roster_notes.failures += 1;
    }

    /// [`Self::rescan`]; what fails is noted.
    pub(super) fn rescan_or_note(&mut self) -> Vec<End> {
        self.rescan().unwrap_or_else(|error| {
            self.note_failure(&error);
            Vec::new()
        })
    }

    /// Says what was done, once it is in force.
    pub(super) fn tell_news(&mut self) {
        if self.kernel.holds() > 0 {
            return;
        }
        for news in self.news.drain(..) {
            log::info!("{news}");
        }
    }

    /// What was told when the session had ended: children are counted, and no more.
    pub(super) fn too_late(&mut self, notice: &Notice) {
        let (parent, child) = match notice {
            Notice::Forked { parent, child } | Notice::Life(LifeEvent::Forked { parent, child }) => {
                (*parent, *child)
            }
            Notice::Life(_) | Notice::Exec { .. } | Notice::Failed => return,
        };
        if self.roster.contains(parent) && !self.roster.has_come(child) {
            self.roster.came(child, Origin::Child);
            self.roster.missed += 1;
        }
    }

    /// A process was made.
    pub(super) fn forked(&mut self, parent: u32, child: u32) -> Result<Vec<End>, SessionError> {
        if self.is_still(child) {
            return Ok(Vec::new());
        }
        if self.roster.contains(parent) {
            return self.join(child, Origin::Child, Some(parent)).map(Vec::from_iter);
        }
        self.consider(child)
    }

    /// Whether a process is a target already, and not another one that has got its id since.
    fn is_still(&mut self, pid: u32) -> bool {
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
            return self.consider(pid);
        };
        let stays = self.tracker.selector.children || self.still_meant(pid, origin);
        if !stays {
            self.leave(pid);
            self.roster_notes.replaced.insert(pid);
            return Ok(Vec::new());
        }
        self.groups.meet(pid, None, &mut self.tracker);
        match self.look(pid) {
            // A program that is no ELF file of ours ends nothing.
            Ok(()) | Err(SessionError::Target(_) | SessionError::Object(ObjectError::NotElf { .. })) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// The kernel side suspended return probes for a program that was executed; it has been looked at.
    pub(super) fn examined(&self) {
        if self.kernel.holds() > 0 {
            self.kernel.release(1);
        }
    }

    fn still_meant(&mut self, pid: u32, origin: Origin) -> bool {
        let by_id = origin == Origin::Matched && self.tracker.selector.is_closed();
        by_id || self.tracker.means(pid)
    }

    /// A process that is no target mapped, forked or executed: it may be one now.
    fn consider(&mut self, pid: u32) -> Result<Vec<End>, SessionError> {
        if self.tracker.selector.is_closed() || pid == std::process::id() || !self.tracker.means(pid) {
            return Ok(Vec::new());
        }
        self.join(pid, Origin::Matched, None).map(Vec::from_iter)
    }

    /// Makes a process a target. `None`: it has ended.
    pub(super) fn join(
        &mut self,
        pid: u32,
        origin: Origin,
        parent: Option<u32>,
    ) -> Result<Option<End>, SessionError> {
        let is_news = !self.roster.has_come(pid);
        self.roster.came(pid, origin);
        let end = Process::open(pid).and_then(|process| process.end_notice());
        let Ok(end) = end else {
            self.groups.meet(pid, parent, &mut self.tracker);
            self.roster.missed += u64::from(is_news);
            return Ok(None);
        };
        let started = start_ticks(pid).unwrap_or_default();
        self.roster.insert(pid, origin, started);
        self.groups.meet(pid, parent, &mut self.tracker);
        match self.look(pid) {
            // Without a program it is between two: what it maps is told as it maps it.
            Ok(()) | Err(SessionError::Target(TargetError::NoProgram { .. })) => Ok(Some(End {
                pid,
                start_ticks: started,
                notice: end,
            })),
            Err(SessionError::Target(_)) => {
                self.roster.missed += u64::from(is_news);
                self.leave(pid);
                Ok(None)
            }
            Err(SessionError::Object(error)) => {
                log::warn!("process {pid} is left out: {error}");
                self.leave(pid);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at what a target maps, and attaches what is wanted of it.
    pub(super) fn look(&mut self, pid: u32) -> Result<(), SessionError> {
        let process = Process::open(pid)?;
        let circumstances = process.circumstances()?;
        if let Some(warning) = process.debugged(&circumstances) {
            log::warn!("{warning}");
        }
        if circumstances.seccomp && self.kernel.reach != Reach::Everyone {
            let seccomp = ProcessFacts {
                seccomp: true,
                ..ProcessFacts::default()
            };
            let learnt = self.setup.catalog.learn(&mut self.setup.plan, seccomp)?;
            self.renew(&learnt)?;
        }
        let ahead = ahead::files(&process, self.setup.catalog.scope().request());
        let files: Vec<MappedFile> = process.mapped_files()?.into_iter().chain(ahead).collect();
        self.adopt(pid, files)?;
        let root = self.roster.origin(pid) == Some(Origin::Matched);
        self.kernel.add_target(pid, root)?;
        Ok(())
    }

    /// Attaches what is wanted of these files of a target.
    fn adopt(&mut self, pid: u32, files: Vec<MappedFile>) -> Result<(), SessionError> {
        let known = |file: &MappedFile| self.setup.catalog.knows(file.id, file.is_main);
        let all_known = files.iter().all(known);
        let ids: Vec<_> = files.iter().map(|file| file.id).collect();
        if !all_known {
            self.grow(files)?;
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
                let reached = (self.kernel.reach == Reach::Process).then_some(pid);
                self.attachments
                    .attach_object(&self.kernel, &self.setup.plan, placement, reached)?;
                attached.push(self.setup.plan.objects[placement.object].name.as_str());
            }
        }
        if !attached.is_empty() {
            self.news
                .push(format!("process {pid}: probed as well: {}", attached.join(", ")));
        }
        Ok(())
    }

    /// Adds what is wanted of files that nobody has looked at to the plan. Meanwhile no return probe is armed: they may
    /// bring what return probes would break, unless they are of the C library.
    fn grow(&mut self, files: Vec<MappedFile>) -> Result<(), SessionError> {
        let may_harm = |file: &MappedFile| {
            let name = file.path.file_name().unwrap_or_default();
            !self.setup.catalog.knows(file.id, file.is_main) && !is_system_library(&name.to_string_lossy())
        };
        self.kernel.suspend_returns(files.iter().any(may_harm));
        let first = self.setup.plan.functions.len();
        let added = self.setup.catalog.add(&mut self.setup.plan, files);
        let grown = added.and_then(|added| {
            self.announce_functions(first);
            self.attachments.grow(&self.setup.plan);
            self.renew(&added)
        });
        self.kernel.suspend_returns(false);
        grown
    }

    fn renew(&mut self, added: &Added) -> Result<(), SessionError> {
        if added.replanned.is_empty() {
            return Ok(());
        }
        self.roster_notes.replanned += added.replanned.len() as u64;
        self.attachments
            .renew(&self.kernel, &self.setup.plan, &added.replanned)?;
        self.news.push(format!(
            "the returns of {} functions are seen differently now: what a target maps could break return probes",
            added.replanned.len()
        ));
        Ok(())
    }

    /// A process mapped a file executable.
    fn mapped(&mut self, pid: u32, start: u64, length: u64) -> Result<(), SessionError> {
        if !self.roster.contains(pid) {
            return Ok(());
        }
        // Its end is told on another way.
        let Ok(process) = Process::open(pid) else {
            return Ok(());
        };
        let Some(file) = process.mapped_file(start, length) else {
            // Unmapped since, or split: what is there now is looked at.
            return self.look_again(pid);
        };
        match self.adopt(pid, vec![file]) {
            Err(SessionError::Target(TargetError::Ended { .. })) => Ok(()),
            result => result,
        }
    }

    fn look_again(&mut self, pid: u32) -> Result<(), SessionError> {
        match self.look(pid) {
            Err(SessionError::Target(_) | SessionError::Object(_)) => Ok(()),
            result => result,
        }
    }

    /// Looks at all processes of the host: the safety net under the kernel's messages.
    pub(super) fn rescan(&mut self) -> Result<Vec<End>, SessionError> {
        for pid in self.roster.pids() {
            self.look_again(pid)?;
        }
        let mut ends = Vec::new();
        for identity in self.tracker.find() {
            if !self.is_still(identity.pid) {
                let origin = if self.tracker.selector.matches(&identity) {
                    Origin::Matched
                } else {
                    Origin::Child
                };
                ends.extend(self.join(identity.pid, origin, Some(identity.parent))?);
            }
        }
        Ok(ends)
    }

    /// A target has ended. What took its id since stays.
    pub(super) fn ended(&mut self, pid: u32, started: u64) {
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
        self.kernel.remove_target(pid);
        let links = self.attachments.forget(pid);
        if !links.is_empty() {
            std::thread::spawn(move || link::detach(links));
        }
    }
}
