//! What was measured, as a table and as JSON.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};

use super::{machine::Machine, statistics::Samples};
use crate::exec::{Failure, Outcome};

/// A promise: the figure is at most `must_be`. Infinity promises nothing but that nothing is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// What `--rows` looks for.
    pub(super) key: &'static str,
    pub(super) what: &'static str,
    pub(super) must_be: f64,
    pub(super) unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Ours through theirs.
    Ratio,
    Nanoseconds,
    Milliseconds,
    Mebibytes,
    /// Of one core.
    Percent,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Ratio => "",
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::Percent => "%",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            Self::Percent => format!("{value:.2} %"),
            Self::Nanoseconds | Self::Milliseconds | Self::Mebibytes => {
                format!("{value:.0} {}", self.name())
            }
        }
    }
}

/// One side of a row: what was measured, run by run.
pub(super) struct Side {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) samples: Samples,
    /// What was run, where one command says it.
    pub(super) command: String,
}

/// A row, measured.
pub(super) struct Measured {
    pub(super) row: Row,
    pub(super) figure: f64,
    /// Ours first.
    pub(super) sides: Vec<Side>,
    /// What the tools say they lost, over all runs.
    pub(super) lost: u64,
    pub(super) notes: Vec<String>,
}

impl Measured {
    /// Whether the promise is kept. A figure that was had by losing something keeps none.
    pub(super) fn is_met(&self) -> bool {
        self.figure <= self.row.must_be && self.lost == 0
    }

    fn json(&self) -> Value {
        let sides: Vec<Value> = self
            .sides
            .iter()
            .map(|side| {
                let mut value = side.samples.json();
                value["name"] = json!(side.name);
                value["unit"] = json!(side.unit.name());
                value["command"] = json!(side.command);
                value
            })
            .collect();
        json!({
            "row": self.row.key,
            "what": self.row.what,
            "figure": self.figure,
            "unit": self.row.unit.name(),
            "must_be_at_most": self.row.must_be,
            "met": self.is_met(),
            "lost": self.lost,
            "sides": sides,
            "notes": self.notes,
        })
    }
}

const HEADINGS: [&str; 6] = [
    "row",
    "figure",
    "must be",
    "met",
    "lost",
    "measured: median (min–max)",
];

/// The table as text.
pub(super) fn table(rows: &[Measured], machine: &Machine, runs: usize) -> String {
    let cells: Vec<[String; 6]> = rows.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = cells.iter().map(|row| row[column].chars().count());
        cells.chain([HEADINGS[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut text = format!("{machine}\nmedians of {runs} runs, the sides of a row in turn\n\n");
    for row in [HEADINGS.map(str::to_owned)].iter().chain(&cells) {
        let line =
            row.iter()
                .zip(&widths)
                .enumerate()
                .fold(String::new(), |mut line, (column, (cell, width))| {
                    // Writing to a string does not fail.
                    let _: std::fmt::Result = match column {
                        1 | 2 | 4 => write!(line, "{cell:>width$}  "),
                        _ => write!(line, "{cell:<width$}  "),
                    };
                    line
                });
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for measured in rows {
        for note in &measured.notes {
            let _: std::fmt::Result = writeln!(text, "{}: {note}", measured.row.key);
        }
    }
    text
}

fn cells(measured: &Measured) -> [String; 6] {
    let Measured {
        row,
        figure,
        sides,
        lost,
        notes: _,
    } = measured;
    let sides: Vec<String> = sides.iter().map(side).collect();
    [
        row.what.to_owned(),
        row.unit.show(*figure),
        if row.must_be.is_finite() {
            format!("≤ {}", row.unit.show(row.must_be))
        } else {
            "–".to_owned()
        },
        if measured.is_met() { "yes" } else { "NO" }.to_owned(),
        lost.to_string(),
        sides.join(", "),
    ]
}

fn side(side: &Side) -> String {
    let Side {
        name,
        unit,
        samples,
        command: _,
    } = side;
    format!(
        "{name} {} ({:.0}–{:.0})",
        unit.show(samples.median()),
        samples.min(),
        samples.max()
    )
}

/// Writes everything that was measured.
pub(super) fn write_json(path: &Path, rows: &[Measured], machine: &Machine, runs: usize) -> Outcome<()> {
    let rows: Vec<Value> = rows.iter().map(Measured::json).collect();
    let document = json!({"machine": machine.json(), "runs": runs, "rows": rows});
    let text = format!("{document:#}\n");
    fs::write(path, text).map_err(|error| Failure::file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::{Measured, Row, Samples, Unit};

    #[test]
    fn what_was_had_by_losing_events_is_not_met() {
        let row = Row {
            key: "row",
            what: "a row",
            must_be: 1.0,
            unit: Unit::Ratio,
        };
        let measured = |figure, lost| Measured {
            row,
            figure,
            sides: Vec::new(),
            lost,
            notes: Vec::new(),
        };
        assert!(measured(1.0, 0).is_met());
        assert!(!measured(1.1, 0).is_met());
        assert!(!measured(0.5, 1).is_met());
        assert!(Samples::default().median() < measured(1.0, 0).figure);
    }
}
