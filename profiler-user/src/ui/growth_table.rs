//! The table of what made resident memory grow.
use super::View;
use super::grid::{GridColumn, Shape};
use super::mem_table::{bytes, signed};
use super::number::{self, thousands};
use super::page::Page;
use crate::aggregate::growth::{GrowthRow, GrowthSummary, ResidentProcess};
use crate::record::escape::escaped;
use crate::ui::mem_view::{GrowthShown, MemBy};

/// Lines around the table that it leaves room for.
const OTHER_LINES: usize = 7;
/// Processes that are written out.
const SHOWN: usize = 4;

/// The whole text: totals, lines, what was lost, notes.
pub fn render(summary: &GrowthSummary, shown: &GrowthShown, view: &View) -> String {
    let elapsed = number::duration(summary.elapsed.as_nanos() as u64);
    let title = format!("{} · resident memory · {elapsed}", escaped(&summary.title));
    let mut page = Page::new(&title, view);
    page.line(&totals(summary));
    if let Some(processes) = processes(&summary.processes) {
        page.line(&processes);
    }
    let room = view.height.map(|height| height.saturating_sub(OTHER_LINES));
    let most = shown.top.unwrap_or(usize::MAX).min(room.unwrap_or(usize::MAX));
    let rows = summary.rows.iter().take(most);
    let cells: Vec<Vec<String>> = rows
        .map(|row| cells(row, shown.by, summary.sees_faults))
        .collect();
    let nothing = "no resident memory has changed since the attach";
    page.table(&columns(shown.by), &cells, (summary.rows.len(), nothing));
    page.losses(&summary.losses);
    page.notes(&notes(summary));
    page.finish()
}

/// What must be said of a result beside its lines and its losses.
pub fn notes(summary: &GrowthSummary) -> Vec<String> {
    let mut notes = Vec::new();
    if !summary.sees_faults {
        notes.push("page faults cannot be counted on this machine".to_owned());
    }
    notes.extend(summary.notes.iter().cloned());
    notes
}

fn totals(summary: &GrowthSummary) -> String {
    let total = summary.total();
    let [file, anonymous, shared] = [0, 1, 2].map(|kind| signed(total.net(kind), &bytes));
    let faults = if summary.sees_faults {
        format!("; {} page faults", thousands(total.faults))
    } else {
        String::new()
    };
    format!(
        "{}: {anonymous} anonymous, {file} file, {shared} shared{faults}",
        signed(total.total(), &bytes)
    )
}

/// What the processes have now.
fn processes(all: &[ResidentProcess]) -> Option<String> {
    let shown: Vec<String> = all
        .iter()
        .take(SHOWN)
        .map(|process| {
            let total: u64 = process.bytes.iter().sum();
            format!("{} {} has {}", process.pid, escaped(&process.comm), bytes(total))
        })
        .collect();
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    (!shown.is_empty()).then(|| format!("resident now: {}{more}", shown.join(", ")))
}

fn columns(by: MemBy) -> Vec<GridColumn> {
    let column = |header: &str, shape, drop| GridColumn {
        header: header.to_owned(),
        shape,
        drop,
    };
    let mut columns = vec![column(by.name(), Shape::Name(16), 0)];
    if by == MemBy::Site {
        columns.push(column("within", Shape::Name(12), 1));
        columns.push(column("object", Shape::Name(8), 3));
    }
    columns.extend([
        column("RSS", Shape::Number, 0),
        column("anonymous", Shape::Number, 2),
        column("file", Shape::Number, 4),
        column("shared", Shape::Number, 6),
        column("given back", Shape::Number, 5),
        column("faults", Shape::Number, 7),
    ]);
    columns
}

fn cells(row: &GrowthRow, by: MemBy, sees_faults: bool) -> Vec<String> {
    let counters = &row.counters;
    let net = |kind| signed(counters.net(kind), &bytes);
    let mut cells = vec![escaped(&row.what).into_owned()];
    if by == MemBy::Site {
        cells.push(escaped(&row.function).into_owned());
        cells.push(escaped(&row.object).into_owned());
    }
    cells.extend([
        signed(counters.total(), &bytes),
        net(1),
        net(0),
        net(2),
        bytes(counters.shrunk.iter().sum()),
        if sees_faults {
            thousands(counters.faults)
        } else {
            String::new()
        },
    ]);
    cells
}

#[cfg(test)]
mod tests {
    use super::{notes, render};
    use crate::aggregate::growth::{GrowthCounters, GrowthRow, GrowthSummary, ResidentProcess};
    use crate::object::names::NameStyle;
    use crate::ui::View;
    use crate::ui::mem_view::{GrowthShown, MemBy};

    fn summary() -> GrowthSummary {
        GrowthSummary {
            title: "process 7 (it)".to_owned(),
            rows: vec![GrowthRow {
                what: "fill+0x10".to_owned(),
                function: "load".to_owned(),
                object: "it".to_owned(),
                counters: GrowthCounters {
                    grown: [4096, 1 << 20, 0],
                    shrunk: [0, 4096, 0],
                    changes: 3,
                    faults: 257,
                },
                ..GrowthRow::default()
            }],
            processes: vec![ResidentProcess {
                pid: 7,
                comm: "it".to_owned(),
                bytes: [4096, 1 << 20, 0],
            }],
            sees_faults: true,
            ..GrowthSummary::default()
        }
    }

    fn shown() -> GrowthShown {
        GrowthShown {
            by: MemBy::Site,
            top: None,
            names: NameStyle::Demangled,
        }
    }

    #[test]
    fn a_line_has_what_was_gained_by_kind_and_what_was_given_back() {
        let text = render(&summary(), &shown(), &View::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "+1.00 MiB: +1.00 MiB anonymous, +4.00 KiB file, 0 shared; 257 page faults"
        );
        assert_eq!(lines[2], "resident now: 7 it has 1.00 MiB");
        let words: Vec<&str> = lines[4].split_whitespace().collect();
        assert_eq!(words[..4], ["fill+0x10", "load", "it", "+1.00"]);
        assert_eq!(lines[5], "lost: nothing");
    }

    #[test]
    fn faults_that_cannot_be_seen_are_not_shown_as_none() {
        let blind = GrowthSummary {
            sees_faults: false,
            ..summary()
        };
        let text = render(&blind, &shown(), &View::default());
        assert!(!text.contains("257"), "{text}");
        assert_eq!(notes(&blind), ["page faults cannot be counted on this machine"]);
    }
}
