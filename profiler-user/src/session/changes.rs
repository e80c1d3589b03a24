//! Changes of what is profiled while it runs: functions and processes are added and taken off, as a file or a pipe says.
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::str::FromStr;

use profiler_common::cookie::FunctionId;
use tokio::sync::mpsc::UnboundedSender;

use super::SessionError;
use super::catalog::Catalog;
use super::follow::End;
use super::reader::Notice;
use super::roster::Origin;
use super::state::State;
use crate::kernel::Reach;
use crate::object::ObjectFile;
use crate::probe::pattern::{Pattern, PatternError};
use crate::probe::plan::{EntryOnlyReason, Plan, PlannedFunction, Returns};
use crate::probe::planner::{self, MappedObject};

/// One change.
#[derive(Clone, Debug)]
pub enum Change {
    /// These functions are probed, too, in all targets.
    AddFunctions(Pattern),
    /// These functions are probed no more; what was counted stays.
    RemoveFunctions(Pattern),
    /// This process is a target, too.
    AddProcess(u32),
    /// This process is no target any more.
    RemoveProcess(u32),
}

/// Why a line is no change.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is none of the four forms.
    #[error("`{line}` is no change: write `add` or `remove`, then `function PATTERN` or `process PID`")]
    Unknown {
        /// The line.
        line: String,
    },
    /// It names functions in a way that cannot be.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl FromStr for Change {
    type Err = ChangeError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let unknown = || ChangeError::Unknown {
            line: line.to_owned(),
        };
        let (verb, rest) = line.trim().split_once(char::is_whitespace).ok_or_else(unknown)?;
        let rest = rest.trim_start().split_once(char::is_whitespace);
        let (what, named) = rest.ok_or_else(unknown)?;
        let named = named.trim_start();
        match (verb, what) {
            ("add", "function") => Ok(Self::AddFunctions(named.parse()?)),
            ("remove", "function") => Ok(Self::RemoveFunctions(named.parse()?)),
            ("add", "process") => named.parse().map(Self::AddProcess).map_err(|_number| unknown()),
            ("remove", "process") => named
                .parse()
                .map(Self::RemoveProcess)
                .map_err(|_number| unknown()),
            _ => Err(unknown()),
        }
    }
}

/// Opens what changes are read from. A pipe is held open on both sides: one writer after the other may come.
pub(super) fn open(path: &Path) -> Result<File, SessionError> {
    let failed = |source| SessionError::Changes {
        path: path.to_owned(),
        source,
    };
    let is_pipe = std::fs::metadata(path).map_err(failed)?.file_type().is_fifo();
    File::options()
        .read(true)
        .write(is_pipe)
        .open(path)
        .map_err(failed)
}

/// Reads changes, line by line, on a thread of its own, as long as there are any. Nobody waits for it: it ends with the
/// program.
pub(super) fn read(file: File, notices: UnboundedSender<Notice>) -> Result<(), SessionError> {
    let reading = move || {
        for line in BufReader::new(file).lines() {
            let line = match line {
                Ok(line) if line.trim().is_empty() => continue,
                Ok(line) => line,
                Err(error) => {
                    log::warn!("no more changes are read: {error}");
                    return;
                }
            };
            match line.parse() {
                Ok(change) => {
                    // The session may be gone already.
                    drop(notices.send(Notice::Change(change)));
                }
                Err(error) => log::warn!("{error}"),
            }
        }
    };
    let thread = std::thread::Builder::new().name("changes".to_owned());
    let started = thread.spawn(reading);
    started.map(drop).map_err(|source| SessionError::System {
        what: "start the thread that reads changes",
        source,
    })
}

impl State {
    /// Changes what is profiled. Returns what tells of the end of a process that joined.
    pub(super) fn change(&mut self, change: Change) -> Result<Vec<End>, SessionError> {
        let at = self.elapsed().as_secs_f64();
        let (done, ends) = match change {
            Change::AddFunctions(pattern) => {
                let added = self.add_functions(&pattern)?;
                (
                    format!("{added} functions of `{pattern}` are probed as well"),
                    Vec::new(),
                )
            }
            Change::RemoveFunctions(pattern) => {
                let removed = self.remove_functions(&pattern)?;
                let text = format!("{removed} functions of `{pattern}` are probed no more");
                (text, Vec::new())
            }
            Change::AddProcess(pid) => self.add_process(pid),
            Change::RemoveProcess(pid) => (self.remove_process(pid), Vec::new()),
        };
        let note = format!("changed after {at:.1} s: {done}");
        self.notes.push(note.clone());
        self.news.push(note);
        Ok(ends)
    }

    fn add_process(&mut self, pid: u32) -> (String, Vec<End>) {
        if self.is_still(pid) {
            return (format!("process {pid} was a target already"), Vec::new());
        }
        if pid == std::process::id() {
            return ("the profiler itself is no target".to_owned(), Vec::new());
        }
        self.barred.remove(&pid);
        match self.join(pid, Origin::Matched, None) {
            Some(end) => (format!("process {pid} is a target as well"), vec![end]),
            None => (
                format!("process {pid} cannot be a target: it has ended, or runs no program"),
                Vec::new(),
            ),
        }
    }

    fn remove_process(&mut self, pid: u32) -> String {
        if self.kernel.reach == Reach::Everyone {
            return format!("process {pid} stays a target: all are, with `-a`");
        }
        if !self.roster.contains(pid) {
            return format!("process {pid} was no target");
        }
        self.leave(pid);
        self.barred.insert(pid);
        format!("process {pid} is no target any more")
    }

    /// Probes more functions, and says how many.
    fn add_functions(&mut self, pattern: &Pattern) -> Result<usize, SessionError> {
        let first = self.setup.plan.functions.len();
        self.setup.catalog.ask(pattern.clone());
        let again = self.setup.catalog.wanted_again(&self.setup.plan, pattern)?;
        let again = self
            .attachments
            .reattach(&self.kernel, &self.setup.plan, &again)?;
        for pid in self.roster.pids() {
            self.look_again(pid)?;
        }
        self.attach_grown()?;
        Ok(again + self.setup.plan.functions.len() - first)
    }

    /// Attaches what joined the plan of objects that are attached already.
    fn attach_grown(&mut self) -> Result<(), SessionError> {
        for (pid, placement) in self.roster.placements() {
            let reached = self.reached(pid);
            self.attachments
                .attach_object(&self.kernel, &self.setup.plan, placement, reached)?;
        }
        Ok(())
    }

    /// Takes functions off, also those that come later, and says how many were probed.
    fn remove_functions(&mut self, pattern: &Pattern) -> Result<usize, SessionError> {
        self.setup.catalog.refuse(pattern.clone());
        let mut functions = self.setup.catalog.matching(&self.setup.plan, pattern)?;
        functions.retain(|function| !self.attachments.is_detached(*function));
        self.attachments
            .detach(&self.kernel, &self.setup.plan, &functions)?;
        Ok(functions.len())
    }
}

impl Catalog {
    /// The functions of the plan that a pattern names.
    pub fn matching(&self, plan: &Plan, pattern: &Pattern) -> Result<Vec<FunctionId>, SessionError> {
        let mut matching = Vec::new();
        for (number, planned) in plan.objects.iter().enumerate() {
            if !pattern.matches_object(&planned.name, &planned.path) {
                continue;
            }
            let search = self.search(&planned.name, &planned.path, (None, false));
            let object = MappedObject {
                attach_path: planned.attach_path.clone(),
                path: planned.path.clone(),
                name: planned.name.clone(),
                is_main: false,
                file: ObjectFile::open_with(&planned.attach_path, planned.name.clone(), search)?,
            };
            let addresses = planner::named_addresses(&object, pattern);
            let named = |function: &&PlannedFunction| {
                let is_place = function.returns == Returns::EntryOnly(EntryOnlyReason::Inlined);
                function.object == number
                    && (addresses.contains(&function.address) && !is_place
                        || is_place && pattern.matches_text(&function.name))
            };
            matching.extend(plan.functions.iter().filter(named).map(|function| function.id));
        }
        Ok(matching)
    }

    /// The functions of the plan that a pattern names, without those that are refused by another.
    pub fn wanted_again(&self, plan: &Plan, pattern: &Pattern) -> Result<Vec<FunctionId>, SessionError> {
        let mut wanted = self.matching(plan, pattern)?;
        for refused in &self.scope.request().exclude {
            let refused = self.matching(plan, refused)?;
            wanted.retain(|function| !refused.contains(function));
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::Change;

    #[test]
    fn a_line_adds_or_removes_functions_or_a_process() {
        let of = |line: &str| line.parse::<Change>();
        assert!(
            matches!(of("add function libc.so.6:str*"), Ok(Change::AddFunctions(pattern)) if pattern.to_string() == "libc.so.6:str*")
        );
        assert!(
            matches!(of(" remove  function  operator new "), Ok(Change::RemoveFunctions(pattern)) if pattern.to_string() == "operator new")
        );
        assert!(matches!(of("add process 12"), Ok(Change::AddProcess(12))));
        assert!(matches!(of("remove process 12"), Ok(Change::RemoveProcess(12))));
        for wrong in [
            "",
            "add",
            "add function",
            "add process x",
            "drop function f",
            "add function /(/",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
