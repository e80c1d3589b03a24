//! Rows about a large library: how soon one of its functions is found, and what that needs.

use std::{path::Path, process::Command};

use super::{
    library,
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    tool::Tools,
};
use crate::exec::{Failure, Outcome, answer};

pub(super) const FIRST_SYMBOL: Row = Row {
    key: "first-symbol",
    what: "time to first symbol of a 150 MB library without debug info",
    must_be: 1000.0,
    unit: Unit::Milliseconds,
};
pub(super) const SYMBOL_MEMORY: Row = Row {
    key: "symbol-memory",
    what: "peak memory for the first symbol of a 150 MB library",
    must_be: 200.0,
    unit: Unit::Mebibytes,
};

/// What the program `first_symbol` prints.
struct Found {
    milliseconds: f64,
    peak: f64,
    after: f64,
}

/// Measures both rows.
pub(super) fn measure(tools: &Tools, program: &Path, runs: usize) -> Outcome<Vec<Measured>> {
    let path = tools.folder.join("liblarge.so");
    library::write(&path).map_err(|error| Failure::file("write", &path, &error))?;
    let [mut time, mut peak, mut after] = [const { Samples::new() }; 3];
    let mut said = String::new();
    for _ in 0..runs {
        let output = answer(Command::new(program).arg(&path).arg(library::LAST)).unwrap_or_default();
        let Some(found) = Found::read(&output) else {
            return Err(Failure::new(
                format!("`{}` was not found in the library", library::LAST),
                format!(
                    "run `{} {} '{}'`",
                    program.display(),
                    path.display(),
                    library::LAST
                ),
            ));
        };
        time.push(found.milliseconds);
        peak.push(found.peak);
        after.push(found.after);
        output.trim().clone_into(&mut said);
    }
    // It is large, and made anew within a second.
    let _: std::io::Result<()> = std::fs::remove_file(&path);
    let side = |name: &str, unit, samples| Side {
        name: name.to_owned(),
        unit,
        samples,
        command: format!("first_symbol liblarge.so '{}'", library::LAST),
    };
    let note = said
        .split_once(": ")
        .map_or(String::new(), |(_, said)| said.to_owned());
    Ok(vec![
        Measured {
            row: FIRST_SYMBOL,
            figure: time.median(),
            sides: vec![side("open and find", Unit::Milliseconds, time)],
            lost: 0,
            notes: vec![note],
        },
        Measured {
            row: SYMBOL_MEMORY,
            figure: peak.median(),
            sides: vec![
                side("peak", Unit::Mebibytes, peak),
                side("after", Unit::Mebibytes, after),
            ],
            lost: 0,
            notes: Vec::new(),
        },
    ])
}

impl Found {
    fn read(output: &str) -> Option<Self> {
        let (figures, _) = output.split_once(": ")?;
        let mut numbers = figures
            .split(", ")
            .map(|figure| figure.split(' ').next()?.parse::<f64>().ok());
        let milliseconds = numbers.next()??;
        let (_before, peak, after) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(Self {
            milliseconds,
            peak: peak / 1024.0,
            after: after / 1024.0,
        })
    }
}
