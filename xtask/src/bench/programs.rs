//! Rows about real programs that allocate much: how long they take while somebody follows their allocations.

use std::{fs, process::Command, time::Instant};

use serde_json::Value;

use super::{
    memleak,
    process::{Heard, Process},
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    tool::Tools,
};
use crate::exec::{Failure, Outcome};

const fn row(key: &'static str, what: &'static str, must_be: f64) -> Row {
    Row {
        key,
        what,
        must_be,
        unit: Unit::Ratio,
    }
}

/// A figure without a goal.
const ANY: f64 = f64::INFINITY;

/// A program that says `ready`, reads its work from its standard input, and says `done`.
pub(super) struct Program {
    command: &'static [&'static str],
    /// The first line makes it say that it is ready.
    work: &'static [&'static str],
    /// Ours against heaptrack, and against memleak.
    rows: [Row; 2],
}

pub(super) const PROGRAMS: [Program; 2] = [
    Program {
        command: &["sqlite3", ":memory:"],
        work: &[
            ".system echo ready",
            "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL, note TEXT);
             CREATE INDEX by_name ON item(name);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
             INSERT INTO item SELECT i, printf('item %08d', (i * 7919) % 50000), i * 1.25, hex(randomblob(20)) FROM n;
             SELECT count(*) FROM item;
             .print done
             .quit",
        ],
        rows: [
            row(
                "mem-sqlite-heaptrack",
                "sqlite3 loads 50,000 rows: ours / heaptrack",
                ANY,
            ),
            row(
                "mem-sqlite-memleak",
                "sqlite3 loads 50,000 rows: ours / memleak",
                1.0,
            ),
        ],
    },
    Program {
        command: &["/usr/bin/python3", "-c", PYTHON],
        work: &["", "go"],
        rows: [
            row(
                "mem-python-heaptrack",
                "python3 writes and reads JSON: ours / heaptrack",
                ANY,
            ),
            row(
                "mem-python-memleak",
                "python3 writes and reads JSON: ours / memleak",
                1.0,
            ),
        ],
    },
];

const PYTHON: &str = "
import json, sys
sys.stdin.readline()
print('ready', flush=True)
sys.stdin.readline()
data = [{'id': i, 'name': f'item {i}', 'tags': ['a' * 600, str(i)], 'price': i * 1.25} for i in range(20000)]
for _ in range(3):
    data = json.loads(json.dumps(data))
print('done', flush=True)
";

/// Who follows the allocations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follower {
    Nobody,
    /// By caller.
    Ours,
    /// By stack, as the others do.
    OursByStack,
    Heaptrack,
    Memleak,
}

const FOLLOWERS: [Follower; 5] = [
    Follower::Nobody,
    Follower::Ours,
    Follower::OursByStack,
    Follower::Heaptrack,
    Follower::Memleak,
];

impl Follower {
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "alone",
            Self::Ours => "ours by caller",
            Self::OursByStack => "ours by stack",
            Self::Heaptrack => "heaptrack",
            Self::Memleak => "memleak",
        }
    }
}

impl Program {
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Measures the rows of this program.
    pub(super) fn measure(&self, tools: &Tools, runs: usize) -> Outcome<Vec<Measured>> {
        let mut samples = [const { Samples::new() }; FOLLOWERS.len()];
        let mut lost = 0;
        for _ in 0..runs {
            for (follower, samples) in FOLLOWERS.into_iter().zip(&mut samples) {
                let (took, missed) = self.run(tools, follower)?;
                samples.push(took);
                lost += missed;
            }
        }
        let [alone, _, ours, heaptrack, memleak] = &samples;
        let slow_down = |samples: &Samples| samples.ratios(alone).median();
        let notes = vec![format!(
            "times as long as alone: {}",
            FOLLOWERS
                .iter()
                .zip(&samples)
                .skip(1)
                .map(|(follower, samples)| format!("{} {:.2}", follower.name(), slow_down(samples)))
                .collect::<Vec<_>>()
                .join(", ")
        )];
        let figures = [heaptrack, memleak].map(|theirs| ours.ratios(theirs).median());
        let measured = self.rows.into_iter().zip(figures).map(|(row, figure)| Measured {
            row,
            figure,
            lost,
            notes: notes.clone(),
            sides: FOLLOWERS
                .iter()
                .zip(&samples)
                .map(|(follower, samples)| Side {
                    name: follower.name().to_owned(),
                    unit: Unit::Milliseconds,
                    samples: samples.clone(),
                    command: self.command.join(" "),
                })
                .collect(),
        });
        Ok(measured.collect())
    }

    /// One run: how long the work took, ms, and what we lost.
    fn run(&self, tools: &Tools, follower: Follower) -> Outcome<(f64, u64)> {
        let mut program = self.start(tools, follower)?;
        let pid = program.id();
        let watcher = match follower {
            Follower::Nobody | Follower::Heaptrack => None,
            Follower::Ours => Some(follow(tools, pid, &[])?),
            Follower::OursByStack => Some(follow(tools, pid, &["--stack", "fp"])?),
            Follower::Memleak => Some(memleak::start(pid)?),
        };
        let started = Instant::now();
        for line in self.work[1..].iter().flat_map(|work| work.lines()) {
            program.tell(line.trim())?;
        }
        program.wait_for("done")?;
        let took = started.elapsed().as_secs_f64() * 1e3;
        let _: Vec<String> = program.rest()?;
        let Some(watcher) = watcher else {
            return Ok((took, 0));
        };
        match follower {
            Follower::Ours | Follower::OursByStack => {
                let _: Vec<String> = watcher.rest()?;
                Ok((took, losses(tools)?))
            }
            // It is killed when it is dropped.
            Follower::Nobody | Follower::Heaptrack | Follower::Memleak => Ok((took, 0)),
        }
    }

    /// Starts it, and waits until it is ready.
    fn start(&self, tools: &Tools, follower: Follower) -> Outcome<Process> {
        let mut words = self.command.iter();
        let mut command = if follower == Follower::Heaptrack {
            let mut heaptrack = Command::new("heaptrack");
            heaptrack.arg("-o").arg(tools.folder.join("heaptrack"));
            heaptrack
        } else {
            Command::new(words.next().copied().unwrap_or_default())
        };
        command.args(words);
        let mut program = Process::start(&mut command, Heard::Stdout, "start a program")?;
        program.tell(self.work[0])?;
        program.wait_for("ready")?;
        Ok(program)
    }
}

/// Attaches us.
fn follow(tools: &Tools, pid: u32, options: &[&str]) -> Outcome<Process> {
    let mut command = Command::new(&tools.profiler);
    command
        .args(["mem", "-p", &pid.to_string()])
        .args(options)
        .arg("--summary-json")
        .arg(tools.folder.join("program.json"));
    let mut process = Process::start(&mut command, Heard::Stderr, "start the profiler")?;
    process.wait_for("ebpf-prof: attached")?;
    Ok(process)
}

/// What we lost. Fails where we saw nothing.
fn losses(tools: &Tools) -> Outcome<u64> {
    let path = tools.folder.join("program.json");
    let text = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    let summary: Value = serde_json::from_str(&text).unwrap_or_default();
    if summary["families"]["heap"]["allocations"].as_u64().unwrap_or(0) < 50_000 {
        let what = format!("`{}` has hardly any allocation", path.display());
        return Err(Failure::new(what, "that is a bug: the programs make many"));
    }
    let losses = summary["loss"].as_object().into_iter().flatten();
    Ok(losses.filter_map(|(_reason, count)| count.as_u64()).sum())
}
