//! What the memory of the process costs in a record: a call recorded with it beside one recorded without.

use std::fs;

use super::{
    calls::{ORDER, check_count},
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    target::{Batches, Target, Work},
    tool::Tools,
};
use crate::exec::Outcome;

pub(super) const RECORD_MEMORY: Row = Row {
    key: "record-rss",
    what: "RSS and VMS in a record, beyond a record without",
    must_be: 150.0,
    unit: Unit::Nanoseconds,
};

/// A batch is shorter than a time slice, so that the fastest of many was not interrupted; the ring holds all of them.
const SHORT: Batches = Batches {
    calls: 1_000,
    batches: 200,
};
/// A call makes two of them.
const RECORDS_A_CALL: f64 = 2.0;

/// Measures the row.
pub(super) fn measure(tools: &Tools, target: &mut Target, runs: usize) -> Outcome<Measured> {
    let file = tools.folder.join("memory.csv");
    let [mut with, mut without, mut differences] = [const { Samples::new() }; 3];
    let mut lost = 0;
    let mut commands = [String::new(), String::new()];
    for _ in 0..runs {
        let mut best = [f64::INFINITY; 2];
        for side in ORDER {
            let monitor = ["function-memory", "functions"][side];
            let options = ["--function", "push_first", "--monitor", monitor, "-o"];
            let options = options.into_iter().map(str::to_owned);
            let attached = tools.profile(target.pid(), options.chain([file.display().to_string()]))?;
            let timing = target.run(Work::Push, SHORT)?;
            let report = attached.stop()?;
            check_count(&report, SHORT.turns())?;
            best[side] = best[side].min(timing.wall_ns);
            lost += report.lost;
            commands[side] = report.command;
            // It is large.
            let _: std::io::Result<()> = fs::remove_file(&file);
        }
        with.push(best[0]);
        without.push(best[1]);
        differences.push((best[0] - best[1]) / RECORDS_A_CALL);
    }
    let [with_command, without_command] = commands;
    let side = |name: &str, samples, command| Side {
        name: name.to_owned(),
        unit: Unit::Nanoseconds,
        samples,
        command,
    };
    Ok(Measured {
        row: RECORD_MEMORY,
        figure: differences.median(),
        sides: vec![
            side("a call with memory", with, with_command),
            side("without", without, without_command),
        ],
        lost,
        notes: Vec::new(),
    })
}
