//! Results in files: CSV and folded stacks.
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use profiler_common::loss::LossReason;

use super::failed;
use crate::aggregate::memory::{MemoryCounters, MemorySummary};
use crate::cli::mem_config::{MemFormat, MemOutput};
use crate::record::escape::escaped;
use crate::session::SessionError;
use crate::ui::mem_table;
use crate::ui::mem_view::{MemBy, MemShown, MemView};

/// A file that is open and empty.
pub(in crate::session) struct OutputFile {
    pub(in crate::session) format: MemFormat,
    path: PathBuf,
    file: File,
}

impl OutputFile {
    pub(in crate::session) fn create(output: &MemOutput) -> Result<Self, SessionError> {
        let MemOutput { format, path } = output.clone();
        let file = File::create(&path).map_err(failed(&path))?;
        Ok(Self { format, path, file })
    }

    pub(in crate::session) fn write(mut self, text: &str) -> Result<(), SessionError> {
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
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    remark(&mut text, &summary.losses, &mem_table::notes(summary));
    Ok(text)
}

/// What must be said behind the lines of a CSV.
pub(in crate::session) fn remark(text: &mut String, losses: &[(LossReason, u64)], notes: &[String]) {
    for (reason, count) in losses.iter().filter(|(_, count)| *count > 0) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# lost {} {count}", reason.key());
    }
    for note in notes {
        let _ = writeln!(text, "# {}", escaped(note));
    }
}

/// A stack as folded ones are written, the outermost frame first; where there is none, what stands for it.
pub(in crate::session) fn folded_frames(stack: &[String], without: &str) -> String {
    let frames = if stack.is_empty() {
        vec![without]
    } else {
        stack.iter().rev().map(String::as_str).collect()
    };
    let frames: Vec<String> = frames
        .iter()
        .map(|frame| escaped(frame).replace(';', ":"))
        .collect();
    frames.join(";")
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
        let frames = folded_frames(&row.stack, &row.what);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{frames};{} {number}", escaped(&row.allocator));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use profiler_common::alloc::Family;
    use profiler_common::loss::LossReason;

    use super::{csv, folded};
    use crate::aggregate::memory::{MemoryCounters, MemoryRow, MemorySummary};
    use crate::object::names::NameStyle;
    use crate::ui::mem_view::{MemBy, MemShown, MemSort, MemView};

    fn summary() -> MemorySummary {
        MemorySummary {
            rows: vec![MemoryRow {
                what: "f(a;b)+0x2".to_owned(),
                allocator: "malloc".to_owned(),
                family: Family::Heap,
                stack: vec!["f(a;b)+0x2".to_owned(), "main+0x1".to_owned()],
                counters: MemoryCounters {
                    live_bytes: 7,
                    ..MemoryCounters::default()
                },
                ..MemoryRow::default()
            }],
            losses: vec![(LossReason::LiveFull, 3)],
            notes: vec!["said".to_owned()],
            ..MemorySummary::default()
        }
    }

    #[test]
    fn a_csv_says_what_was_lost_behind_its_lines() {
        let text = csv(&summary(), MemBy::Site).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("site,object,allocator,family,pid,tid,caller,file,line,stack,allocations,")
        );
        assert!(lines[1].starts_with("f(a;b)+0x2,,malloc,heap,"), "{}", lines[1]);
        assert_eq!(lines[2..], ["# lost live_full 3", "# said"]);
    }

    #[test]
    fn folded_stacks_begin_with_the_outermost_frame_and_have_no_semicolons_of_their_own() {
        let shown = |view| MemShown {
            view,
            by: MemBy::Site,
            sort: MemSort::Live,
            top: None,
            min_age: Duration::ZERO,
            names: NameStyle::Demangled,
        };
        let text = folded(&summary(), &shown(MemView::Live));
        assert_eq!(text, "main+0x1;f(a:b)+0x2;malloc 7\n");
        assert_eq!(folded(&summary(), &shown(MemView::Peak)), "");
    }
}
