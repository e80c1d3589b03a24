//! Rows about recording every call: what it costs the target, and the reader.

use std::fs;

use super::{
    calls::check_count,
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

/// Long enough that the reader works while the target calls. The processor time of all batches counts: it includes what
/// the two do to each other, and leaves out what other programs take.
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
    let mut counted = Samples::default();
    let mut recorded = Samples::default();
    let mut reader = Samples::default();
    let (mut lost, mut records) = (0, 0);
    let mut commands = (String::new(), String::new());
    for _ in 0..runs {
        let unprobed = target.run(Work::Push, BUSY)?.cpu_ns;
        let (timing, report) = visit(tools, target, &[])?;
        counted.push(timing.cpu_ns - unprobed);
        commands.0 = report.command;
        let (timing, report) = visit(tools, target, &csv)?;
        recorded.push(timing.cpu_ns - unprobed);
        commands.1 = report.command;
        lost += report.lost;
        let events = &report.summary["events"];
        let number = |name: &str| events[name].as_f64().unwrap_or(f64::NAN);
        reader.push(number("reader_cpu_ns") / number("records"));
        records += events["records"].as_u64().unwrap_or(0);
        // It is large, and it may not be there where everything was lost.
        let _: std::io::Result<()> = fs::remove_file(&file);
    }
    let side = |name: &str, samples, command: &str| Side {
        name: name.to_owned(),
        unit: Unit::Nanoseconds,
        samples,
        command: command.to_owned(),
    };
    let per_row = Measured {
        row: RECORD,
        figure: reader.median(),
        sides: vec![side("reader", reader, &commands.1)],
        lost,
        notes: Vec::new(),
    };
    let event_path = Measured {
        row: EVENT_PATH,
        figure: recorded.ratios(&counted).median(),
        sides: vec![
            side("recorded", recorded, &commands.1),
            side("counted", counted, &commands.0),
        ],
        lost,
        notes: vec![format!(
            "{records} records of {} calls",
            BUSY.turns() * runs as u64
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
