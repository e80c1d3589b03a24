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
use crate::probe::returns::ProcessFacts;
use crate::target::TargetError;
use crate::target::process::{MappedFile, Process};

/// What tells of the end of a process that joined.
pub(super) type End = (u32, OwnedFd);

impl State {
    /// Something happened to a process of the host. Returns what tells of the ends of those that joined.
    pub(super) fn life(&mut self, event: &LifeEvent) -> Result<Vec<End>, SessionError> {
        match *event {
            LifeEvent::Forked { parent, child } => self.forked(parent, child),
            LifeEvent::Executed { pid } => {
                if let (Some(memory), Some(heap)) = (&mut self.memory, &self.kernel.heap) {
                    memory.replaced(pid, heap);
                }
                self.executed(pid)
            }
            LifeEvent::Mapped {
                pid, start, length, ..
            } => {
                if let Some(memory) = &mut self.memory {
                    memory.told(event);
                }
                self.mapped(pid, start, length)?;
                Ok(Vec::new())
            }
            // A descriptor of the process tells it exactly.
            LifeEvent::Ended { pid: _ } => Ok(Vec::new()),
            LifeEvent::Missed(_) => self.rescan(),
        }
    }

    /// Says what was done.
    pub(super) fn tell_news(&mut self) {
        for news in self.news.drain(..) {
            log::info!("{news}");
        }
    }

    /// What was told when the session had ended: children are counted, and no more.
    pub(super) fn too_late(&mut self, notice: &Notice) {
        if let (Some(memory), Notice::Life(event)) = (&mut self.memory, notice) {
            memory.told(event);
        }
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
        if self.roster.contains(child) {
            return Ok(Vec::new());
        }
        if self.roster.contains(parent) {
            return self.join(child, Origin::Child, Some(parent)).map(Vec::from_iter);
        }
        self.consider(child)
    }

    /// A process runs another program now.
    pub(super) fn executed(&mut self, pid: u32) -> Result<Vec<End>, SessionError> {
        let Some(origin) = self.roster.origin(pid) else {
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
        self.roster.insert(pid, origin);
        self.groups.meet(pid, parent, &mut self.tracker);
        match self.look(pid) {
            // Without a program it is between two: what it maps is told as it maps it.
            Ok(()) | Err(SessionError::Target(TargetError::NoProgram { .. })) => Ok(Some((pid, end))),
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
        self.meet_for_memory(pid);
        Ok(())
    }

    /// Looks at who a process is and what it maps, where allocations are followed.
    pub(super) fn meet_for_memory(&mut self, pid: u32) {
        if let Some(memory) = &mut self.memory {
            memory.meet(pid, self.tracker.identity(pid).as_ref());
        }
    }

    /// Attaches what is wanted of these files of a target.
    fn adopt(&mut self, pid: u32, files: Vec<MappedFile>) -> Result<(), SessionError> {
        let known = |file: &MappedFile| self.setup.catalog.knows(file.id, file.is_main);
        let all_known = files.iter().all(known);
        let ids: Vec<_> = files.iter().map(|file| file.id).collect();
        if !all_known {
            self.grow(files)?;
        }
        let objects: Vec<usize> = ids
            .into_iter()
            .filter_map(|id| self.setup.catalog.object(id))
            .collect();
        let mut attached = Vec::new();
        for object in objects {
            let is_new = self
                .roster
                .get_mut(pid)
                .is_some_and(|member| member.objects.insert(object));
            if is_new {
                let reached = (self.kernel.reach == Reach::Process).then_some(pid);
                self.attachments
                    .attach_object(&self.kernel, &self.setup.plan, object, reached)?;
                attached.push(self.setup.plan.objects[object].name.as_str());
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
        let is_harmless = |file: &MappedFile| {
            let name = file.path.file_name().unwrap_or_default();
            is_system_library(&name.to_string_lossy())
        };
        self.kernel.suspend_returns(!files.iter().all(is_harmless));
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
        if let Some(memory) = &mut self.memory {
            memory.mapped(pid);
        }
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
            if !self.roster.contains(identity.pid) {
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

    /// A process is no target any more. Its links go beside the loop, since the kernel takes its time.
    pub(super) fn leave(&mut self, pid: u32) {
        self.roster.remove(pid);
        self.kernel.remove_target(pid);
        if let (Some(memory), Some(heap)) = (&mut self.memory, &mut self.kernel.heap) {
            memory.left(pid, heap);
        }
        let links = self.attachments.forget(pid);
        if !links.is_empty() {
            std::thread::spawn(move || link::detach(links));
        }
    }
}
