//! From a selector to the processes of now, and what they are called.
use super::SessionError;
use crate::kernel::{AttachMode, Reach, capability};
use crate::target::TargetError;
use crate::target::identity::Directory;
use crate::target::process::Process;
use crate::target::selector::Selector;

/// Processes that are written out; of the others only the number is told.
const SHOWN: usize = 5;

/// What is profiled.
pub(super) struct Targets {
    /// What was looked for.
    pub(super) selector: Selector,
    /// The processes of now.
    pub(super) processes: Vec<Process>,
    /// What they are called: `process 12 (nginx)`, `container web-1 (2 processes: 12 nginx, 13 nginx)`.
    pub(super) title: String,
    /// A command that was started for it.
    pub(super) is_command: bool,
    /// Who they are, as far as it was found out.
    pub(super) directory: Directory,
}

impl Targets {
    /// The processes that are meant now. Those that are named by their ids must be there; `wait`: there may be none yet.
    pub(super) fn find(selector: &Selector, wait: bool) -> Result<Self, SessionError> {
        let mut directory = Directory::new();
        if selector.is_fixed() {
            let named = selector.pids.iter().map(|pid| Process::open(*pid));
            let processes: Vec<Process> = named.collect::<Result<_, _>>()?;
            return Ok(Self {
                selector: selector.clone(),
                title: title(&processes),
                processes,
                is_command: false,
                directory,
            });
        }
        let found = match selector.resolve(&mut directory) {
            Err(TargetError::NothingMatches { .. }) if wait => Vec::new(),
            found => found?,
        };
        let open = found
            .into_iter()
            .filter_map(|identity| Process::open(identity.pid).ok());
        // What ends between one look and the next is no failure where others are left.
        let processes: Vec<Process> = open.filter(|process| process.mapped_files().is_ok()).collect();
        if processes.is_empty() && !wait {
            return Err(TargetError::NothingMatches {
                selector: selector.to_string(),
                list: selector.list(),
            }
            .into());
        }
        let title = match processes.len() {
            0 => format!("{selector} (no process yet)"),
            _ => format!(
                "{selector} ({})",
                described(&processes, |pid, comm| format!("{pid} {comm}"))
            ),
        };
        Ok(Self {
            selector: selector.clone(),
            processes,
            title,
            is_command: false,
            directory,
        })
    }

    /// A command that was started, with the children that it makes, or with all that these execute, too.
    pub(super) fn of_command(process: Process, children: bool) -> Self {
        let selector = Selector {
            pids: vec![process.pid],
            children,
            ..Selector::default()
        };
        let processes = vec![process];
        Self {
            selector,
            title: title(&processes),
            processes,
            is_command: true,
            directory: Directory::new(),
        }
    }

    /// The command that was started for it, which has not executed its program yet.
    pub(super) fn command(&self) -> Option<u32> {
        let started = self.processes.first().filter(|_| self.is_command);
        started.map(|process| process.pid)
    }

    /// Whom links can reach: all at once where no call of a child may be missed.
    pub(super) fn reach(&self, mode: AttachMode, isolate: bool) -> Reach {
        let everyone = self.selector
            == Selector {
                all: true,
                ..Selector::default()
            };
        // Only a session's program can leave the return address of a process that is no target alone.
        // And the kernel side knows processes by the host's ids.
        if mode != AttachMode::Session || isolate || !capability::sees_host_pids() {
            Reach::Process
        } else if everyone {
            Reach::Everyone
        } else if self.is_command || self.selector.children {
            Reach::Targets {
                keep_on_exec: self.selector.children,
            }
        } else {
            Reach::Process
        }
    }
}

/// Processes that are called by their ids and names.
fn title(processes: &[Process]) -> String {
    described(processes, |pid, comm| format!("{pid} ({comm})"))
}

fn described(processes: &[Process], name: impl Fn(u32, &str) -> String) -> String {
    let mut names: Vec<String> = processes
        .iter()
        .take(SHOWN)
        .map(|process| name(process.pid, &process.comm))
        .collect();
    if processes.len() > SHOWN {
        names.push("…".to_owned());
    }
    let names = names.join(", ");
    match processes.len() {
        1 => format!("process {names}"),
        number => format!("{number} processes: {names}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Targets, title};
    use crate::target::process::Process;

    fn processes(number: u32) -> Vec<Process> {
        let process = |pid| Process {
            pid,
            comm: "nginx".to_owned(),
        };
        (1..=number).map(process).collect()
    }

    #[test]
    fn few_processes_are_all_named_and_many_are_counted() {
        assert_eq!(title(&processes(1)), "process 1 (nginx)");
        assert_eq!(title(&processes(2)), "2 processes: 1 (nginx), 2 (nginx)");
        assert_eq!(
            title(&processes(12)),
            "12 processes: 1 (nginx), 2 (nginx), 3 (nginx), 4 (nginx), 5 (nginx), …"
        );
    }

    #[test]
    fn what_matches_nothing_is_told_with_where_to_look() {
        let selector = crate::target::selector::Selector {
            containers: vec!["no-such-container".parse().unwrap()],
            ..Default::default()
        };
        let error = Targets::find(&selector, false).err().unwrap().to_string();
        assert_eq!(
            error,
            "no process matches container no-such-container: `ebpf-prof list containers` shows what there is"
        );
    }
}
