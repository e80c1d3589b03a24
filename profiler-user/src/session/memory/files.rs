//! Results in files: CSV and folded stacks.
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use super::failed;
use crate::aggregate::memory::{MemoryCounters, MemorySummary};
use crate::cli::mem::{MemFormat, MemOutput};
use crate::record::escape::escaped;
use crate::session::SessionError;
use crate::ui::mem_view::{MemBy, MemShown, MemView};

/// A file that is open and empty.
pub(super) struct OutputFile {
    pub(super) format: MemFormat,
    path: PathBuf,
    file: File,
}

impl OutputFile {
    pub(super) fn create(output: &MemOutput) -> Result<Self, SessionError> {
        let MemOutput { format, path } = output.clone();
        let file = File::create(&path).map_err(failed(&path))?;
        Ok(Self { format, path, file })
    }

    pub(super) fn write(mut self, text: &str) -> Result<(), SessionError> {
        self.file.write_all(text.as_bytes()).map_err(failed(&self.path))
    }
}

/// A line for each line of the result, and, in front, what else must be said.
pub(super) fn csv(summary: &MemorySummary, by: MemBy) -> Result<String, SessionError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fixed = [
        by.name(),
        "object",
        "allocator",
        "family",
        "pid",
        "tid",
        "caller",
        "file",
        "line",
        "stack",
    ];
    let header = fixed.iter().copied().chain(MemoryCounters::NAMES);
    let wrong = |error: csv::Error| SessionError::Summary {
        path: PathBuf::new(),
        source: error.into(),
    };
    writer.write_record(header).map_err(wrong)?;
    for row in &summary.rows {
        let number = |number: Option<u32>| number.map_or(String::new(), |number| number.to_string());
        let mut cells = vec![
            row.what.clone(),
            row.object.clone(),
            row.allocator.clone(),
            row.family.name().to_owned(),
            number(row.pid),
            number(row.tid),
            row.caller.map_or(String::new(), |caller| format!("{caller:#x}")),
            row.line.as_ref().map_or(String::new(), |(file, _)| file.clone()),
            row.line
                .as_ref()
                .map_or(String::new(), |(_, line)| line.to_string()),
            row.stack.join(";"),
        ];
        cells.extend(row.counters.numbers().map(|number| number.to_string()));
        writer.write_record(cells).map_err(wrong)?;
    }
    let bytes = writer.into_inner().map_err(|error| SessionError::Summary {
        path: PathBuf::new(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `outermost;…;caller;allocator number`, with the number that the view is about.
pub(super) fn folded(summary: &MemorySummary, shown: &MemShown) -> String {
    let mut text = String::new();
    for row in &summary.rows {
        let number = match shown.view {
            MemView::Live => row.counters.live_bytes,
            MemView::Leaks => row.counters.old_bytes,
            MemView::Peak => row.counters.at_peak_bytes,
            MemView::Temporary => row.counters.temporary,
            MemView::Hot | MemView::Sizes => row.counters.allocations,
        };
        if number == 0 {
            continue;
        }
        let frames = if row.stack.is_empty() {
            vec![row.what.as_str()]
        } else {
            row.stack.iter().rev().map(String::as_str).collect()
        };
        let frames: Vec<String> = frames
            .iter()
            .map(|frame| escaped(frame).replace(';', ":"))
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{};{} {number}", frames.join(";"), escaped(&row.allocator));
    }
    text
}
