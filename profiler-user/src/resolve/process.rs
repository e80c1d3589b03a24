//! What records say of the process that they come from, beside its id: `--with`.
use std::collections::HashMap;
use std::fmt;

use crate::record::{Column, Unit};
use crate::target::identity::{Attribute, Directory};

/// Processes that are remembered.
const KEPT: usize = 16_384;

type Values = Box<[Box<str>]>;
type Reader = Box<dyn FnMut(u32) -> Option<Values> + Send>;

/// The columns of a process, and what they say of each.
///
/// A process that runs another program is another one: what it was holds until then.
pub struct Processes {
    columns: Vec<Column>,
    reader: Reader,
    known: HashMap<u32, Process>,
    parents: HashMap<u32, u32>,
    unknown: Values,
}

struct Process {
    values: Values,
    since_ns: u64,
    previous: Option<Values>,
}

impl Processes {
    /// Says nothing.
    pub fn nothing() -> Self {
        Self::with(&[], Box::new(|_| None))
    }

    /// What `/proc` and the container runtimes of this machine say. Process and thread id are columns of their own anyway.
    pub fn of_this_machine(attributes: &[Attribute]) -> Self {
        let attributes: Vec<Attribute> = attributes
            .iter()
            .copied()
            .filter(|attribute| !matches!(attribute, Attribute::Pid | Attribute::Tid))
            .collect();
        let mut directory = Directory::new();
        let wanted = attributes.clone();
        let read = move |pid| {
            let identity = directory.identity(pid).ok()?;
            let value = |attribute: &Attribute| identity.value(*attribute).into_owned().into_boxed_str();
            Some(wanted.iter().map(value).collect())
        };
        Self::with(&attributes, Box::new(read))
    }

    fn with(attributes: &[Attribute], reader: Reader) -> Self {
        let column = |attribute: &Attribute| Column {
            // `comm` is the thread's.
            name: if *attribute == Attribute::Comm {
                "process"
            } else {
                attribute.name()
            },
            unit: Unit::None,
            width: 12,
            doc: attribute.doc(),
        };
        Self {
            columns: attributes.iter().map(column).collect(),
            reader,
            known: HashMap::new(),
            parents: HashMap::new(),
            unknown: vec![Box::from(""); attributes.len()].into(),
        }
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Process `pid` was made by `parent`. What was known of an earlier one with this id is forgotten.
    pub fn forked(&mut self, parent: u32, pid: u32) {
        if self.columns.is_empty() {
            return;
        }
        self.bound();
        self.known.remove(&pid);
        self.parents.insert(pid, parent);
    }

    /// Process `pid` runs another program since `time_ns`.
    pub fn executed(&mut self, time_ns: u64, pid: u32) {
        if self.columns.is_empty() {
            return;
        }
        let before = self.known.remove(&pid).map(|process| process.values);
        if let Some(values) = self.read(pid) {
            self.known.insert(
                pid,
                Process {
                    values,
                    since_ns: time_ns,
                    previous: before,
                },
            );
        }
    }

    /// What the columns say of process `pid` at `time_ns`.
    pub fn values(&mut self, time_ns: u64, pid: u32) -> &[Box<str>] {
        if self.columns.is_empty() {
            return &[];
        }
        if !self.known.contains_key(&pid) {
            let values = self.read(pid).unwrap_or_else(|| self.unknown.clone());
            self.bound();
            self.known.insert(
                pid,
                Process {
                    values,
                    since_ns: 0,
                    previous: None,
                },
            );
        }
        match self.known.get(&pid) {
            Some(Process {
                values: _,
                since_ns,
                previous: Some(previous),
            }) if time_ns < *since_ns => previous,
            Some(process) => &process.values,
            None => &self.unknown,
        }
    }

    /// What can be found out now. A process that is gone was like its parent.
    fn read(&mut self, pid: u32) -> Option<Values> {
        (self.reader)(pid).or_else(|| {
            let parent = self.parents.get(&pid)?;
            self.known.get(parent).map(|process| process.values.clone())
        })
    }

    fn bound(&mut self) {
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        if self.parents.len() >= KEPT {
            self.parents.clear();
        }
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Processes, Values};
    use crate::target::identity::Attribute;

    fn values(text: &str) -> Values {
        vec![Box::from(text)].into()
    }

    fn processes(mut exe: impl FnMut(u32) -> Option<&'static str> + Send + 'static) -> Processes {
        Processes::with(&[Attribute::Exe], Box::new(move |pid| exe(pid).map(values)))
    }

    #[test]
    fn an_event_from_before_an_execution_keeps_what_the_process_was() {
        let mut looks = 0;
        let mut processes = processes(move |_| {
            looks += 1;
            Some(if looks == 1 { "/bin/sh" } else { "/bin/true" })
        });
        assert_eq!(*processes.values(10, 7)[0], *"/bin/sh");
        processes.executed(20, 7);
        assert_eq!(*processes.values(15, 7)[0], *"/bin/sh");
        assert_eq!(*processes.values(21, 7)[0], *"/bin/true");
    }

    #[test]
    fn a_child_that_is_gone_was_like_its_parent() {
        let mut processes = processes(|pid| (pid == 7).then_some("/bin/sh"));
        assert_eq!(*processes.values(1, 7)[0], *"/bin/sh");
        processes.forked(7, 8);
        assert_eq!(*processes.values(2, 8)[0], *"/bin/sh");
        assert_eq!(*processes.values(2, 9)[0], *"");
    }

    #[test]
    fn an_id_that_is_used_again_is_another_process() {
        let mut looks = 0;
        let mut processes = processes(move |_| {
            looks += 1;
            Some(if looks == 1 { "/bin/a" } else { "/bin/b" })
        });
        assert_eq!(*processes.values(1, 7)[0], *"/bin/a");
        processes.forked(1, 7);
        assert_eq!(*processes.values(2, 7)[0], *"/bin/b");
    }
}
