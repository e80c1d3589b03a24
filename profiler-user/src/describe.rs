//! Tables of the documentation, made from the registries: what the README shows between its markers.
use std::fmt::Write as _;

use profiler_common::alloc::Family;
use profiler_common::loss::LossReason;

use crate::kernel::AttachMode;
use crate::monitor::{MONITORS, Monitor};
use crate::probe::allocators;
use crate::probe::plan::{EntryOnlyReason, ExitSitesReason, ReturnProbeReason};
use crate::record::Column;
use crate::recorder::RECORDERS;
use crate::target::identity::Attribute;
use crate::ui::{SortKey, plan_text};

/// A table of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The formats of records.
    Recorders,
    /// What can be recorded of each call.
    Monitors,
    /// The columns of a call's record.
    Columns,
    /// The ways of attaching.
    Modes,
    /// The reasons for loss.
    Losses,
    /// How returns are seen, and why.
    Returns,
    /// The columns by which the table can be sorted.
    Sort,
    /// What processes are told apart by.
    Attributes,
    /// The families of allocators.
    Allocators,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 9] = [
        Self::Recorders,
        Self::Monitors,
        Self::Columns,
        Self::Modes,
        Self::Losses,
        Self::Returns,
        Self::Sort,
        Self::Attributes,
        Self::Allocators,
    ];

    /// Its name in the README's markers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recorders => "recorders",
            Self::Monitors => "monitors",
            Self::Columns => "columns",
            Self::Modes => "modes",
            Self::Losses => "losses",
            Self::Returns => "returns",
            Self::Sort => "sort",
            Self::Attributes => "attributes",
            Self::Allocators => "allocators",
        }
    }

    /// The table of this name; the command line lets no other name through.
    pub fn by_name(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|table| table.name() == name)
            .unwrap_or(Self::Recorders)
    }

    fn render(self) -> String {
        match self {
            Self::Recorders => recorders(),
            Self::Monitors => monitors(),
            Self::Columns => columns(),
            Self::Modes => modes(),
            Self::Losses => losses(),
            Self::Returns => returns(),
            Self::Sort => sort(),
            Self::Attributes => attributes(),
            Self::Allocators => allocators(),
        }
    }
}

/// A table in Markdown, or the names of all.
pub fn text(table: Option<Table>) -> String {
    table.map_or_else(
        || Table::ALL.map(|table| format!("{}\n", table.name())).concat(),
        Table::render,
    )
}

fn markdown(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", header.join(" | "), " --- |".repeat(header.len()));
    for row in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn allocators() -> String {
    let rows = Family::ALL.map(|family| {
        let functions = allocators::table_sizes()[family as usize];
        vec![
            code(family.name()),
            family.summary().to_owned(),
            functions.to_string(),
        ]
    });
    markdown(&["`--family`", "what it has", "functions known"], rows)
}

fn recorders() -> String {
    let rows = RECORDERS.iter().map(|kind| {
        vec![
            code(kind.name),
            kind.summary.to_owned(),
            kind.default_file.map_or("standard output".to_owned(), code),
        ]
    });
    markdown(&["`--recording`", "what it writes", "without `-o`"], rows)
}

fn monitors() -> String {
    let rows = MONITORS.iter().map(|monitor| {
        let more = own_columns(monitor);
        let more: Vec<String> = more.iter().map(|column| code(column.name)).collect();
        vec![code(monitor.name), monitor.summary.to_owned(), more.join(", ")]
    });
    markdown(&["`--monitor`", "what it records", "columns of its own"], rows)
}

/// The columns that a monitor has and the usual one has not.
fn own_columns(monitor: &Monitor) -> Vec<Column> {
    let usual = Monitor::usual().form.schema();
    let mut columns = monitor.form.schema().columns.into_owned();
    columns.retain(|column| !usual.columns.contains(column));
    columns
}

fn columns() -> String {
    let row = |column: &Column, monitor: Option<&Monitor>| {
        let meaning = column.doc.trim();
        let meaning = monitor.map_or(meaning.to_owned(), |monitor| {
            format!("With `--monitor {}`: {meaning}", monitor.name)
        });
        vec![code(column.name), meaning]
    };
    let usual = Monitor::usual().form.schema();
    let mut rows: Vec<_> = usual.columns.iter().map(|column| row(column, None)).collect();
    for monitor in MONITORS {
        rows.extend(
            own_columns(monitor)
                .iter()
                .map(|column| row(column, Some(monitor))),
        );
    }
    markdown(&["column", "meaning"], rows)
}

fn attributes() -> String {
    let rows = Attribute::ALL.map(|attribute| vec![code(attribute.name()), attribute.doc().to_owned()]);
    markdown(&["`--by`, `--with`", "what it is"], rows)
}

fn modes() -> String {
    let what = |mode| match mode {
        AttachMode::Session => "one program sees entry and return, one link holds thousands of probes",
        AttachMode::Multi => "one link for entries, one for returns",
        AttachMode::PerfEvent => "a perf event for each probe: for some dozens of functions, slow to detach",
    };
    let rows = AttachMode::ALL
        .into_iter()
        .map(|mode| vec![code(mode.name()), mode.since().to_owned(), what(mode).to_owned()]);
    markdown(&["`--attach-mode`", "kernel", "how"], rows)
}

fn losses() -> String {
    let rows = LossReason::ALL
        .iter()
        .map(|reason| vec![code(reason.key()), reason.text().to_owned()]);
    markdown(&["in files", "what is counted"], rows)
}

fn returns() -> String {
    const PROBES: [ReturnProbeReason; 4] = [
        ReturnProbeReason::NoMachinery,
        ReturnProbeReason::Leaf,
        ReturnProbeReason::HarmlessCallees,
        ReturnProbeReason::HarmlessLibrary,
    ];
    const SITES: [ExitSitesReason; 7] = [
        ExitSitesReason::Unwinding,
        ExitSitesReason::StackSwitch,
        ExitSitesReason::Go,
        ExitSitesReason::StackScan,
        ExitSitesReason::Seccomp,
        ExitSitesReason::Cancellation,
        ExitSitesReason::ReturnAddress,
    ];
    const ENTRIES: [EntryOnlyReason; 9] = [
        EntryOnlyReason::Undecodable,
        EntryOnlyReason::NoSize,
        EntryOnlyReason::IndirectJump,
        EntryOnlyReason::NeverReturns,
        EntryOnlyReason::Architecture,
        EntryOnlyReason::SharedExit,
        EntryOnlyReason::Goroutine,
        EntryOnlyReason::MovingStack,
        EntryOnlyReason::ForeignStack,
    ];
    let row = |form: &str, reason: &str| vec![form.to_owned(), reason.to_owned()];
    let probes = PROBES.map(|reason| row("return probe", plan_text::return_probe_reason(reason)));
    let sites = SITES.map(|reason| row("exit sites", plan_text::exit_sites_reason(reason)));
    let entries = ENTRIES.map(|reason| row("not seen", plan_text::entry_only_reason(reason)));
    markdown(
        &["returns", "because"],
        probes.into_iter().chain(sites).chain(entries),
    )
}

fn sort() -> String {
    let names = SortKey::ALL.map(|key| code(key.name()));
    format!("`--sort` {}\n", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{Table, text};

    #[test]
    fn every_table_has_a_name_of_its_own_and_rows() {
        for table in Table::ALL {
            assert_eq!(Table::by_name(table.name()), table);
            assert!(!text(Some(table)).trim().is_empty());
        }
        assert_eq!(text(None).lines().count(), Table::ALL.len());
    }
}
