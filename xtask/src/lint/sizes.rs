//! The size budget: a file that outgrows it holds more than one thing.

use std::fs;

use crate::{
    exec::{Failure, Outcome, note},
    workspace,
};

/// More lines than this are remarked on.
const BUDGET: usize = 400;
/// More than this fail.
const LIMIT: usize = 600;

pub(super) fn check() -> Outcome<()> {
    let mut too_long = Vec::new();
    for path in workspace::files("rs")? {
        let text = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let lines = text.lines().count();
        if lines > BUDGET {
            note(&format!(
                "{lines} lines, budget {BUDGET}, limit {LIMIT}: {}",
                path.display()
            ));
        }
        if lines > LIMIT {
            too_long.push(path.display().to_string());
        }
    }
    if too_long.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("more than {LIMIT} lines: {}", too_long.join(", ")),
        "split along what each part owns",
    ))
}
