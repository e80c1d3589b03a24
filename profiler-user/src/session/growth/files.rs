//! Results in files: CSV, JSON and folded stacks.
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::aggregate::growth::{GrowthCounters, GrowthRow, GrowthSummary};
use crate::kernel::AttachMode;
use crate::session::SessionError;
use crate::session::memory::files::{folded_frames, remark};
use crate::ui::growth_table;
use crate::ui::mem_view::{GrowthShown, MemBy};

/// The columns in front of the numbers, but for the first.
const COLUMNS: [&str; 8] = ["function", "object", "pid", "tid", "ip", "file", "line", "stack"];

fn wrong(source: impl Into<io::Error>) -> SessionError {
    SessionError::Summary {
        path: PathBuf::new(),
        source: source.into(),
    }
}

/// A line for each line of the result, and, behind, what else must be said.
pub(super) fn csv(summary: &GrowthSummary, by: MemBy) -> Result<String, SessionError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let first = if by == MemBy::Function { "name" } else { by.name() };
    let header = std::iter::once(first).chain(COLUMNS).chain(GrowthCounters::NAMES);
    writer.write_record(header).map_err(wrong)?;
    for row in &summary.rows {
        let number = |number: Option<u32>| number.map_or(String::new(), |number| number.to_string());
        let (file, line) = row.line.clone().unzip();
        let cells = [
            row.what.clone(),
            row.function.clone(),
            row.object.clone(),
            number(row.pid),
            number(row.tid),
            row.ip.map_or(String::new(), |ip| format!("{ip:#x}")),
            file.unwrap_or_default(),
            number(line),
            row.stack.join(";"),
        ];
        let numbers = numbers(row, summary.sees_faults);
        let numbers = numbers.map(|number| number.map_or(String::new(), |number| number.to_string()));
        writer
            .write_record(cells.into_iter().chain(numbers))
            .map_err(wrong)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| wrong(io::Error::other(error.to_string())))?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    remark(&mut text, &summary.losses, &growth_table::notes(summary));
    Ok(text)
}

/// The numbers; none = it is not known on this machine.
fn numbers(row: &GrowthRow, sees_faults: bool) -> [Option<i64>; GrowthCounters::NAMES.len()] {
    let mut numbers = row.counters.numbers().map(Some);
    if let (false, Some(faults)) = (sees_faults, numbers.last_mut()) {
        *faults = None;
    }
    numbers
}

/// Everything.
pub(super) fn json(
    summary: &GrowthSummary,
    (shown, mode): (&GrowthShown, AttachMode),
) -> Result<String, SessionError> {
    let counters = |row: &GrowthRow| -> Map<String, Value> {
        let numbers = numbers(row, summary.sees_faults);
        let pairs = GrowthCounters::NAMES.iter().zip(numbers);
        pairs
            .map(|(name, number)| ((*name).to_owned(), json!(number)))
            .collect()
    };
    let row = |row: &GrowthRow| {
        let mut value = json!({
            "what": row.what,
            "function": row.function,
            "object": row.object,
            "pid": row.pid,
            "tid": row.tid,
            "ip": row.ip,
            "file": row.line.as_ref().map(|(file, _)| file),
            "line": row.line.as_ref().map(|(_, line)| line),
            "stack": row.stack,
        });
        if let Value::Object(fields) = &mut value {
            fields.extend(counters(row));
        }
        value
    };
    let total = GrowthRow {
        counters: summary.total(),
        ..GrowthRow::default()
    };
    let loss: Map<String, Value> = summary
        .losses
        .iter()
        .map(|(reason, count)| (reason.key().to_owned(), json!(count)))
        .collect();
    let processes = summary.processes.iter().map(|process| {
        let [file, anonymous, shared] = process.bytes;
        json!({
            "pid": process.pid,
            "comm": process.comm,
            "RSS": process.bytes.iter().sum::<u64>(),
            "anonymous_bytes": anonymous,
            "file_bytes": file,
            "shared_bytes": shared,
        })
    });
    let document = json!({
        "kind": "growth",
        "title": summary.title,
        "elapsed_ns": summary.elapsed.as_nanos() as u64,
        "attach_mode": mode.name(),
        "by": shown.by.name(),
        "total": counters(&total),
        "rows": summary.rows.iter().map(row).collect::<Vec<_>>(),
        "processes": processes.collect::<Vec<_>>(),
        "loss": loss,
        "notes": growth_table::notes(summary),
    });
    let mut text = serde_json::to_string_pretty(&document).map_err(wrong)?;
    text.push('\n');
    Ok(text)
}

/// `outermost;…;place bytes`: what has grown, of places that have.
pub(super) fn folded(summary: &GrowthSummary) -> String {
    let mut text = String::new();
    for row in &summary.rows {
        let grown = row.counters.total();
        if grown <= 0 {
            continue;
        }
        let frames = folded_frames(&row.stack, &row.what);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{frames} {grown}");
    }
    text
}

#[cfg(test)]
mod tests {
    use profiler_common::loss::LossReason;

    use super::{csv, folded};
    use crate::aggregate::growth::{GrowthCounters, GrowthRow, GrowthSummary};
    use crate::ui::mem_view::MemBy;

    fn summary() -> GrowthSummary {
        let row = |what: &str, grown, shrunk| GrowthRow {
            what: what.to_owned(),
            stack: vec![what.to_owned(), "main+0x1".to_owned()],
            counters: GrowthCounters {
                grown: [0, grown, 0],
                shrunk: [0, shrunk, 0],
                changes: 2,
                faults: 1,
            },
            ..GrowthRow::default()
        };
        GrowthSummary {
            rows: vec![row("f(a;b)+0x2", 8192, 4096), row("g+0x1", 0, 4096)],
            losses: vec![(LossReason::FirstChange, 1)],
            ..GrowthSummary::default()
        }
    }

    #[test]
    fn a_csv_leaves_faults_empty_where_they_cannot_be_seen_and_says_what_was_lost() {
        let text = csv(&summary(), MemBy::Site).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("site,function,object,pid,tid,ip,file,line,stack,RSS,"));
        assert!(
            lines[1].ends_with(",4096,4096,0,0,8192,0,0,4096,0,0,2,"),
            "{}",
            lines[1]
        );
        assert!(text.contains("# lost first_change 1"));
        let seen = GrowthSummary {
            sees_faults: true,
            ..summary()
        };
        let text = csv(&seen, MemBy::Site).unwrap();
        assert!(text.lines().nth(1).unwrap().ends_with(",2,1"));
    }

    #[test]
    fn folded_stacks_have_what_has_grown_and_nothing_else() {
        assert_eq!(folded(&summary()), "main+0x1;f(a:b)+0x2 4096\n");
    }
}
