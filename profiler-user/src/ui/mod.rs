//! What people see: the table of functions, once or refreshed, and the plan.
//!
//! Everything here turns plain data into text; it asks nobody for anything but the size of the terminal.
mod footer;
#[cfg(test)]
mod golden;
mod grid;
pub mod growth_table;
pub mod listing;
pub mod live;
pub mod mem_table;
pub mod mem_view;
pub mod number;
mod page;
pub mod plan_table;
pub mod plan_text;
mod process_memory;
pub mod table;
pub mod terminal;

use std::time::Duration;

use profiler_common::loss::LossReason;

use crate::aggregate::FunctionTotals;

/// One function of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What tells it from the same function's other rows, in the order of [`Summary::group_by`].
    pub group: Vec<String>,
    /// Demangled name.
    pub function: String,
    /// File name of its executable or library.
    pub object: String,
    /// Its counters.
    pub totals: FunctionTotals,
    /// Why its calls are not timed; none = they are.
    pub untimed: Option<String>,
}

/// What the probes themselves cost, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overhead {
    /// Probe hits since the start.
    pub hits: u64,
    /// What one costs, ns.
    pub hit_ns: f64,
    /// Share of one core spent on them, percent.
    pub core_percent: f64,
    /// How much of it lies within a measured duration, ns a call, and how much more where the entry is single-stepped.
    pub in_duration_ns: f64,
    /// See [`Self::in_duration_ns`].
    pub in_duration_stepped_ns: f64,
    /// Where these come from: `measured on this machine`, `a typical value`.
    pub basis: &'static str,
}

/// The state of a session, now or at its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// What is profiled: `process 1234 (nginx)`.
    pub title: String,
    /// How long it has been.
    pub elapsed: Duration,
    /// By what rows of the same function are told apart; none = each function has one row.
    pub group_by: Vec<&'static str>,
    /// The functions, in any order.
    pub rows: Vec<Row>,
    /// What could not be kept.
    pub losses: Vec<(LossReason, u64)>,
    /// What the probes cost.
    pub overhead: Option<Overhead>,
    /// Largest relative error of the percentiles; none = no percentiles were kept.
    pub quantile_error: Option<f64>,
    /// What else must be said: what the governor did, what was attached late.
    pub notes: Vec<String>,
}

impl Summary {
    /// Whether nothing was lost.
    pub fn is_complete(&self) -> bool {
        self.losses.iter().all(|(_, count)| *count == 0)
    }
}

/// By what the table is sorted, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// Calls.
    Calls,
    /// Sum of durations.
    #[default]
    Total,
    /// Sum of durations without the probed functions called.
    SelfTime,
    /// Mean duration.
    Avg,
    /// 99th percentile.
    P99,
    /// The longest call.
    Max,
}

impl SortKey {
    /// Every key, in the order of the columns.
    pub const ALL: [Self; 6] = [
        Self::Calls,
        Self::Total,
        Self::SelfTime,
        Self::Avg,
        Self::P99,
        Self::Max,
    ];

    /// What `--sort` and the header of its column call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Total => "total",
            Self::SelfTime => "self",
            Self::Avg => "avg",
            Self::P99 => "p99",
            Self::Max => "max",
        }
    }

    /// The key that is called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// How a table is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Columns of the terminal; none = as wide as it gets.
    pub width: Option<usize>,
    /// Lines of the terminal; none = as long as it gets.
    pub height: Option<usize>,
    /// Whether there are colours.
    pub style: Style,
    /// By what it is sorted.
    pub sort: SortKey,
    /// How many functions are shown; none = all.
    pub top: Option<usize>,
}

impl View {
    /// Where lines other than those of the table are cut: a frame of fixed height must not wrap; elsewhere the terminal
    /// wraps them, and nothing is hidden.
    pub(crate) fn fit(&self, line: &str) -> String {
        self.height
            .and(self.width)
            .map_or_else(|| line.to_owned(), |width| grid::shortened_at_end(line, width))
    }
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// It is not.
    #[default]
    Plain,
    /// With escape sequences.
    Coloured,
}

impl Style {
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
