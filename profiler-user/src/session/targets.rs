//! From a selector to the processes of now, and what they are called.
use super::SessionError;
use crate::target::TargetError;
use crate::target::identity::Directory;
use crate::target::process::Process;
use crate::target::selector::Selector;

/// Processes that are written out; of the others only the number is told.
const SHOWN: usize = 5;

/// What is profiled.
pub(super) struct Targets {
    /// The processes.
    pub(super) processes: Vec<Process>,
    /// What they are called: `process 12 (nginx)`, `container web-1 (2 processes: 12 nginx, 13 nginx)`.
    pub(super) title: String,
}

impl Targets {
    /// The processes that are meant now. Those that are named by their ids must be there.
    pub(super) fn find(selector: &Selector) -> Result<Self, SessionError> {
        if selector.is_fixed() {
            let named = selector.pids.iter().map(|pid| Process::open(*pid));
            return Ok(Self::of(named.collect::<Result<_, _>>()?));
        }
        let found = selector.resolve(&mut Directory::new())?;
        let open = found
            .into_iter()
            .filter_map(|identity| Process::open(identity.pid).ok());
        // What ends between one look and the next is no failure where others are left.
        let processes: Vec<Process> = open.filter(|process| process.mapped_files().is_ok()).collect();
        if processes.is_empty() {
            return Err(TargetError::NothingMatches {
                selector: selector.to_string(),
                list: selector.list(),
            }
            .into());
        }
        let title = format!(
            "{selector} ({})",
            described(&processes, |pid, comm| format!("{pid} {comm}"))
        );
        Ok(Self { processes, title })
    }

    /// Processes that are called by their ids and names.
    pub(super) fn of(processes: Vec<Process>) -> Self {
        let title = described(&processes, |pid, comm| format!("{pid} ({comm})"));
        Self { processes, title }
    }
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
    use super::Targets;
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
        assert_eq!(Targets::of(processes(1)).title, "process 1 (nginx)");
        assert_eq!(
            Targets::of(processes(2)).title,
            "2 processes: 1 (nginx), 2 (nginx)"
        );
        assert_eq!(
            Targets::of(processes(12)).title,
            "12 processes: 1 (nginx), 2 (nginx), 3 (nginx), 4 (nginx), 5 (nginx), …"
        );
    }

    #[test]
    fn what_matches_nothing_is_told_with_where_to_look() {
        let selector = crate::target::selector::Selector {
            containers: vec!["no-such-container".parse().unwrap()],
            ..Default::default()
        };
        let error = Targets::find(&selector).err().unwrap().to_string();
        assert_eq!(
            error,
            "no process matches container no-such-container: `ebpf-prof list containers` shows what there is"
        );
    }
}
