//! What following resident memory costs, for each page that a program touches.

use std::process::Command;

use super::{
    calls::ORDER,
    process::{Heard, Process},
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    target::{Batches, Target, Work},
    tool::Tools,
};
use crate::exec::{Failure, Outcome};

pub(super) const PAGES: Row = Row {
    key: "mem-rss",
    what: "follow resident memory, per page: ours / bpftrace counting page faults by place",
    must_be: f64::INFINITY,
    unit: Unit::Ratio,
};

const TOUCHED: Batches = Batches {
    calls: 2_000,
    batches: 50,
};

fn ours(tools: &Tools, pid: &str) -> Outcome<Process> {
    let mut command = Command::new(&tools.profiler);
    command
        .args(["mem", "-p", pid, "--rss", "--summary-json"])
        .arg(tools.folder.join("growth.json"));
    let mut process = Process::start(&mut command, Heard::Stderr, "start the profiler")?;
    process.wait_for("ebpf-prof: attached")?;
    Ok(process)
}

fn bpftrace(pid: &str) -> Outcome<Process> {
    // The tracepoint is found by its file; that it is mounted already is no failure.
    let mounted = Command::new("mount")
        .args(["-t", "tracefs", "tracefs", "/sys/kernel/tracing"])
        .output();
    drop(mounted);
    let script = format!(
        "BEGIN {{ printf(\"ready\\n\"); }} \
         tracepoint:exceptions:page_fault_user /pid == {pid}/ {{ @faults[ustack(1)] = count(); }}"
    );
    let mut command = Command::new("bpftrace");
    command.args(["-B", "line", "-p", pid, "-e", &script]);
    let mut process = Process::start(&mut command, Heard::Stdout, "start bpftrace")?;
    process.wait_for("ready")?;
    Ok(process)
}

/// Fails unless every page was seen to come and to go; says what was lost.
fn check(tools: &Tools) -> Outcome<u64> {
    let path = tools.folder.join("growth.json");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let number = |name: &str| summary["total"][name].as_u64().unwrap_or(0);
    // The first change of all is not among them.
    let expected = (TOUCHED.turns() - 1) * 4096;
    let least = number("anonymous_grown_bytes").min(number("anonymous_shrunk_bytes"));
    if least < expected {
        let what = format!("{expected} bytes came and went, and were counted as {least}");
        return Err(Failure::new(what, "that is a bug"));
    }
    let losses = summary["loss"].as_object().into_iter().flatten();
    let losses = losses.filter(|(reason, _)| *reason != "first_change");
    Ok(losses.filter_map(|(_reason, count)| count.as_u64()).sum())
}

/// Measures the row.
pub(super) fn measure(tools: &Tools, target: &mut Target, runs: usize) -> Outcome<Measured> {
    let mut samples = [const { Samples::new() }; 2];
    let mut alone = Samples::new();
    let mut commands = [const { String::new() }; 2];
    let mut lost = 0;
    let pid = target.pid().to_string();
    for _ in 0..runs {
        let bare = target.run(Work::Touch, TOUCHED)?.wall_ns;
        let mut best = [f64::INFINITY; 2];
        for side in ORDER {
            let process = if side == 0 {
                ours(tools, &pid)?
            } else {
                bpftrace(&pid)?
            };
            let timing = target.run(Work::Touch, TOUCHED)?;
            process.command().clone_into(&mut commands[side]);
            process.interrupt();
            let _: Vec<String> = process.rest()?;
            best[side] = best[side].min(timing.wall_ns - bare);
            if side == 0 {
                lost += check(tools)?;
            }
        }
        alone.push(bare);
        for (samples, best) in samples.iter_mut().zip(best) {
            samples.push(best);
        }
    }
    let [ours, theirs] = samples;
    let [our_command, their_command] = commands;
    let side = |name: &str, samples, command| Side {
        name: name.to_owned(),
        unit: Unit::Nanoseconds,
        samples,
        command,
    };
    Ok(Measured {
        row: PAGES,
        figure: ours.ratios(&theirs).median(),
        lost,
        notes: vec![format!("a page alone takes {:.0} ns", alone.median())],
        sides: vec![
            side("ours, anonymous, file and shared apart", ours, our_command),
            side("bpftrace, faults alone", theirs, their_command),
        ],
    })
}
