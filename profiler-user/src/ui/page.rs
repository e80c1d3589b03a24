//! A page about memory: a title, totals, a table, what was lost, notes.
use std::fmt::Write as _;

use profiler_common::loss::LossReason;

use super::View;
use super::grid::{self, GridColumn};
use super::number::thousands;
use crate::record::escape::escaped;

/// A page that is being written.
pub(super) struct Page<'a> {
    view: &'a View,
    text: String,
}

impl<'a> Page<'a> {
    /// One with a title.
    pub(super) fn new(title: &str, view: &'a View) -> Self {
        let mut page = Self {
            view,
            text: String::new(),
        };
        page.write(&view.style.bold(&view.fit(title)));
        page
    }

    fn write(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    /// A line.
    pub(super) fn line(&mut self, content: &str) {
        self.write(&self.view.fit(content));
    }

    /// A line of less importance.
    pub(super) fn dim(&mut self, content: &str) {
        self.write(&self.view.style.dim(&self.view.fit(content)));
    }

    /// A table of the first of so many rows; `nothing` where there are none.
    pub(super) fn table(
        &mut self,
        columns: &[GridColumn],
        cells: &[Vec<String>],
        (all, nothing): (usize, &str),
    ) {
        if cells.is_empty() {
            self.line(nothing);
            return;
        }
        for (index, content) in grid::lines(columns, cells, self.view.width).iter().enumerate() {
            if index == 0 {
                self.dim(content);
            } else {
                self.line(content);
            }
        }
        if all > cells.len() {
            self.dim(&format!("and {} more", thousands((all - cells.len()) as u64)));
        }
    }

    /// What was lost.
    pub(super) fn losses(&mut self, losses: &[(LossReason, u64)]) {
        let lost: Vec<_> = losses.iter().filter(|(_, count)| *count > 0).collect();
        if lost.is_empty() {
            self.dim("lost: nothing");
        }
        for (reason, count) in lost {
            let content = format!("lost: {} {}", thousands(*count), reason.text());
            self.write(&self.view.style.warning(&self.view.fit(&content)));
        }
    }

    /// What else must be said.
    pub(super) fn notes<'n>(&mut self, notes: impl IntoIterator<Item = &'n String>) {
        for note in notes {
            self.dim(&format!("note: {}", escaped(note)));
        }
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}
