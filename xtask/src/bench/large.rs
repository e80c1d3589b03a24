//! Rows about many functions: Node.js, a large program with a symbol table.

use std::{fs, path::PathBuf, process::Command};

use super::{
    process::{Heard, Process},
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    tool::{Attached, Tools},
};
use crate::exec::{Failure, Outcome, answer};

pub(super) const ATTACH: Row = Row {
    key: "attach",
    what: "attach 20,000 functions and detach them",
    must_be: 1000.0,
    unit: Unit::Milliseconds,
};
pub(super) const MEMORY: Row = Row {
    key: "memory",
    what: "resident memory with 20,000 functions probed",
    must_be: 120.0,
    unit: Unit::Mebibytes,
};

/// So many functions at least.
const FUNCTIONS: u64 = 20_000;
/// A longer name is not looked for.
const LONGEST_NAME: u32 = 160;
/// It idles, and works for half a second where it is told to.
const SCRIPT: &str = "\
    const work = () => { const end = Date.now() + 500; let text = ''; \
      while (Date.now() < end) { const list = []; for (let i = 0; i < 200; i++) list.push({i, s: String(i * 7)}); \
        text = JSON.stringify(list.sort((a, b) => b.s < a.s ? 1 : -1)); JSON.parse(text); text.replace(/[0-9]+/g, 'x'); \
        Buffer.from(text).toString('base64'); } }; \
    process.stdin.on('data', () => { work(); console.log('done'); }); console.log('ready');";

/// Measures both rows.
pub(super) fn measure(tools: &Tools, runs: usize) -> Outcome<Vec<Measured>> {
    let mut node = Process::start(
        Command::new("node").args(["-e", SCRIPT]),
        Heard::Stdout,
        "start Node.js",
    )?;
    node.wait_for("ready")?;
    let pattern = pattern(tools, node.id())?;
    let mut times = Times::default();
    let mut memory = Memory::default();
    for _ in 0..runs {
        times.measure(tools, node.id(), &pattern)?;
        memory.measure(tools, &mut node, &pattern)?;
    }
    Ok(vec![times.row(), memory.row()])
}

/// What attaching and detaching takes while the target idles, ms.
#[derive(Default)]
struct Times {
    attach: Samples,
    detach: Samples,
    both: Samples,
    startup: Samples,
    functions: usize,
    command: String,
}

impl Times {
    fn measure(&mut self, tools: &Tools, pid: u32, pattern: &str) -> Outcome<()> {
        let report = attach(tools, pid, pattern)?.stop()?;
        let milliseconds = |name: &str| report.summary[name].as_f64().unwrap_or(f64::NAN) / 1e6;
        let (attach, detach) = (milliseconds("attach_ns"), milliseconds("detach_ns"));
        self.attach.push(attach);
        self.detach.push(detach);
        self.both.push(attach + detach);
        self.startup.push(milliseconds("startup_ns"));
        self.functions = report.summary["functions"].as_array().map_or(0, Vec::len);
        self.command = report.command;
        Ok(())
    }

    fn row(self) -> Measured {
        let Self {
            attach,
            detach,
            both,
            startup,
            functions,
            command,
        } = self;
        let side = |name: &str, samples| Side {
            name: name.to_owned(),
            unit: Unit::Milliseconds,
            samples,
            command: command.clone(),
        };
        Measured {
            row: ATTACH,
            figure: both.median(),
            sides: vec![
                side("attach", attach),
                side("detach", detach),
                side("from start to attached", startup),
            ],
            lost: 0,
            notes: vec![format!("{functions} functions, returns included")],
        }
    }
}

/// The profiler's memory after its target has worked, MiB.
#[derive(Default)]
struct Memory {
    idle: Samples,
    resident: Samples,
    peak: Samples,
    lost: u64,
    command: String,
}

impl Memory {
    fn measure(&mut self, tools: &Tools, node: &mut Process, pattern: &str) -> Outcome<()> {
        let attached = attach(tools, node.id(), pattern)?;
        self.idle.push(mebibytes(attached.id(), "VmRSS:")?);
        node.tell("work")?;
        node.wait_for("done")?;
        self.resident.push(mebibytes(attached.id(), "VmRSS:")?);
        self.peak.push(mebibytes(attached.id(), "VmHWM:")?);
        let report = attached.stop()?;
        self.lost += report.lost;
        self.command = report.command;
        Ok(())
    }

    fn row(self) -> Measured {
        let Self {
            idle,
            resident,
            peak,
            lost,
            command,
        } = self;
        let side = |name: &str, samples| Side {
            name: name.to_owned(),
            unit: Unit::Mebibytes,
            samples,
            command: command.clone(),
        };
        Measured {
            row: MEMORY,
            figure: resident.median(),
            sides: vec![
                side("after work", resident),
                side("idle", idle),
                side("peak", peak),
            ],
            lost: 0,
            notes: vec![format!(
                "{lost} calls or returns were not paired while the target worked"
            )],
        }
    }
}

fn attach(tools: &Tools, pid: u32, pattern: &str) -> Outcome<Attached> {
    tools.profile(pid, ["--function".to_owned(), pattern.to_owned()].into_iter())
}

/// A line of `/proc/PID/status`, in MiB.
fn mebibytes(pid: u32, field: &str) -> Outcome<f64> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let text = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<f64>().ok());
    Ok(kibibytes.unwrap_or(f64::NAN) / 1024.0)
}

/// The pattern of the shortest names that makes enough functions: a glob would have to know this version's names.
fn pattern(tools: &Tools, pid: u32) -> Outcome<String> {
    let (mut too_few, mut enough) = (0, LONGEST_NAME);
    while enough - too_few > 1 {
        let length = u32::midpoint(too_few, enough);
        if count(tools, pid, length) >= FUNCTIONS {
            enough = length;
        } else {
            too_few = length;
        }
    }
    if enough < LONGEST_NAME {
        return Ok(names_up_to(enough));
    }
    Err(Failure::new(
        format!("`node` has fewer than {FUNCTIONS} functions with names"),
        "leave these rows out: `--rows`",
    ))
}

fn names_up_to(length: u32) -> String {
    format!("/^.{{1,{length}}}$/")
}

/// How many functions would be probed; 0 where the pattern matches none.
fn count(tools: &Tools, pid: u32, length: u32) -> u64 {
    let mut command = Command::new(&tools.profiler);
    command.args(["attach", "--dry-run", "-p", &pid.to_string(), "--function"]);
    let plan = answer(command.arg(names_up_to(length))).unwrap_or_default();
    let line = plan.lines().find_map(|line| line.strip_prefix("functions:"));
    let number = line
        .and_then(|line| line.split_ascii_whitespace().next())
        .unwrap_or_default();
    number.replace(',', "").parse().unwrap_or(0)
}
