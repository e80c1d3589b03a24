//! Who else pays: links that reach every process also plant breakpoints in processes that are no targets.
use std::collections::{BTreeMap, BTreeSet};
use std::thread::JoinHandle;

use crate::kernel::Reach;
use crate::probe::plan::Plan;
use crate::target::process::{self, FileId};

/// Counts them on a thread of its own: there may be thousands of processes to look at.
pub(super) struct Census {
    counting: Option<JoinHandle<BTreeMap<String, usize>>>,
    note: Option<String>,
}

impl Census {
    /// Counts the processes beside `targets` that map files of the plan, where links reach them.
    pub(super) fn begin(plan: &Plan, reach: Reach, targets: &[u32]) -> Self {
        let concerned = match reach {
            Reach::Targets { .. } => true,
            // Nobody is beside it; or it was asked for that all pay.
            Reach::Process | Reach::Everyone => false,
        };
        let files: BTreeMap<String, FileId> = plan
            .objects
            .iter()
            .filter_map(|object| Some((object.name.clone(), FileId::of(&object.attach_path).ok()?)))
            .collect();
        let mut known: BTreeSet<u32> = targets.iter().copied().collect();
        known.insert(std::process::id());
        let counting = concerned.then(|| std::thread::spawn(move || process::mapping(&files, &known)));
        Self { counting, note: None }
    }

    /// What must be said, once it is known.
    pub(super) fn note(&mut self) -> Option<&str> {
        if self.counting.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(Ok(found)) = self.counting.take().map(JoinHandle::join)
        {
            self.note = text(&found);
        }
        self.note.as_deref()
    }
}

fn text(found: &BTreeMap<String, usize>) -> Option<String> {
    let files: Vec<String> = found
        .iter()
        .map(|(name, processes)| match processes {
            1 => format!("{name} (1 process)"),
            processes => format!("{name} ({processes} processes)"),
        })
        .collect();
    (!files.is_empty()).then(|| {
        format!(
            "others that map the probed files pay for each hit as well, about half a microsecond, and are not counted: {} \
             (--isolate spares them)",
            files.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn who_else_pays_is_said_and_nobody_is_no_news() {
        assert_eq!(text(&[].into()), None);
        let found = [("libc.so.6".to_owned(), 87), ("prog".to_owned(), 1)].into();
        let text = text(&found).unwrap();
        assert!(
            text.contains("libc.so.6 (87 processes), prog (1 process)"),
            "{text}"
        );
    }
}
