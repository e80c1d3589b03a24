//! Rows about recording every call: what it costs the target, and the reader.

use std::fs;

use super::{
    calls::{ORDER, check_count},
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    target::{Batches, Target, Timing, Work},
    tool::{Report, Tools},
};
use crate::exec::Outcome;

pub(super) const EVENT_PATH: Row = Row {
    key: "event-path",
    what: "a call recorded as CSV / a call counted, one busy thread",
    must_be: 1.15,
    unit: Unit::Ratio,
};
pub(super) const RECORD: Row = Row {
    key: "record",
    what: "user-space time per CSV row",
    must_be: 700.0,
    unit: Unit::Nanoseconds,
};

/// A batch is long enough that the reader works in each of them while the target calls. Processor time counts: it includes
/// what the two do to each other, and leaves out what other programs take.
const BUSY: Batches = Batches {
    calls: 50_000,
    batches: 10,
};

/// Measures both rows.
pub(super) fn measure(tools: &Tools, target: &mut Target, runs: usize) -> Outcome<Vec<Measured>> {
    let file = tools.folder.join("calls.csv");
    let csv = [
        "--recording".to_owned(),
        "csv".to_owned(),
        "-o".to_owned(),
        file.display().to_string(),
    ];
    let options: [&[String]; 2] = [&csv, &[]];
    let [mut recorded, mut counted, mut reader] = [const { Samples::new() }; 3];
    let (mut lost, mut records) = (0, 0);
    let mut commands = [String::new(), String::new()];
    for _ in 0..runs {
        let unprobed = target.run(Work::Push, BUSY)?.cpu_ns;
        let mut best = [f64::INFINITY; 2];
        for side in ORDER {
            let (timing, report) = visit(tools, target, options[side])?;
            best[side] = best[side].min(timing.cpu_ns - unprobed);
            lost += report.lost;
            commands[side] = report.command;
            let events = &report.summary["events"];
            if let Some(count @ 1..) = events["records"].as_u64() {
                records += count;
                reader.push(events["reader_cpu_ns"].as_f64().unwrap_or(f64::NAN) / count as f64);
            }
            // It is large, and it is not there where nothing was recorded.
            let _: std::io::Result<()> = fs::remove_file(&file);
        }
        recorded.push(best[0]);
        counted.push(best[1]);
    }
    let reader_runs = reader.len();
    let side = |name: &str, samples, command: &str| Side {
        name: name.to_owned(),
        unit: Unit::Nanoseconds,
        samples,
        command: command.to_owned(),
    };
    let per_row = Measured {
        row: RECORD,
        figure: reader.median(),
        sides: vec![side("reader", reader, &commands[0])],
        lost,
        notes: Vec::new(),
    };
    let event_path = Measured {
        row: EVENT_PATH,
        figure: recorded.ratios(&counted).median(),
        sides: vec![
            side("recorded", recorded, &commands[0]),
            side("counted", counted, &commands[1]),
        ],
        lost,
        notes: vec![format!(
            "{records} records of {} calls",
            BUSY.turns() * reader_runs as u64
        )],
    };
    Ok(vec![event_path, per_row])
}

fn visit(tools: &Tools, target: &mut Target, arguments: &[String]) -> Outcome<(Timing, Report)> {
    let function = ["--function".to_owned(), "push_first".to_owned()];
    let attached = tools.profile(
        target.pid(),
        function.into_iter().chain(arguments.iter().cloned()),
    )?;
    let timing = target.run(Work::Push, BUSY)?;
    let report = attached.stop()?;
    check_count(&report, BUSY.turns())?;
    Ok((timing, report))
}
