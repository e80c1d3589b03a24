//! Rows about the price of a call: ours beside another tool's, on the same function of the same process.

use super::{
    report::{Measured, Row, Side, Unit},
    statistics::Samples,
    target::{Batches, Target, Work},
    tool::{Report, Tool, Tools},
};
use crate::exec::{Failure, Outcome};

const COUNT: Tool = Tool::Profiler(&["--returns", "none"]);
const ACCOUNT: Tool = Tool::Profiler(&[]);

/// Ours and theirs.
pub(super) struct Comparison {
    pub(super) row: Row,
    work: Work,
    ours: Tool,
    theirs: Tool,
}

const fn ratio(key: &'static str, what: &'static str, must_be: f64) -> Row {
    Row {
        key,
        what,
        must_be,
        unit: Unit::Ratio,
    }
}

/// The rows.
pub(super) const COMPARISONS: &[Comparison] = &[
    Comparison {
        row: ratio("count-push", "count calls, `push` first: ours / bpftrace", 1.0),
        work: Work::Push,
        ours: COUNT,
        theirs: Tool::BpftraceCount,
    },
    Comparison {
        row: ratio("count-malloc-free", "count malloc and free: ours / bpftrace", 0.2),
        work: Work::MallocFree,
        ours: COUNT,
        theirs: Tool::BpftraceCount,
    },
    Comparison {
        row: ratio(
            "latency-push",
            "latency histogram, `push` first: ours / bpftrace",
            0.75,
        ),
        work: Work::Push,
        ours: ACCOUNT,
        theirs: Tool::BpftraceLatency,
    },
    Comparison {
        row: ratio(
            "latency-landing-pad",
            "latency histogram, `endbr64; push` first: ours / bpftrace",
            0.15,
        ),
        work: Work::LandingPad,
        ours: ACCOUNT,
        theirs: Tool::BpftraceLatency,
    },
    Comparison {
        row: ratio("accounting", "full accounting / empty session program", 1.3),
        work: Work::Push,
        ours: ACCOUNT,
        theirs: Tool::EmptySession,
    },
];

/// A batch takes about this long: shorter than a time slice, so that the fastest of many was not interrupted.
const BATCH_NS: f64 = 1_500_000.0;
const BATCHES: u64 = 150;
/// Calls before a tool is measured.
const WARM_UP: Batches = Batches {
    calls: 100,
    batches: 20,
};
/// Without any probe.
const UNPROBED: Batches = Batches {
    calls: 20_000,
    batches: 50,
};

impl Comparison {
    /// Measures both in turn, each twice in a run: ours, theirs, theirs, ours. The faster visit counts, and a change of
    /// the processor's clock during the run meets both.
    pub(super) fn measure(&self, tools: &Tools, target: &mut Target, runs: usize) -> Outcome<Measured> {
        let (mut unprobed, mut ours, mut theirs) =
            (Samples::default(), Samples::default(), Samples::default());
        let mut lost = 0;
        let mut commands = (String::new(), String::new());
        for _ in 0..runs {
            let bare = target.run(self.work, UNPROBED)?.best_ns;
            let mut visit = |tool| visit(tools, target, self.work, tool);
            let our_first = visit(self.ours)?;
            let their_visit = visit(self.theirs)?.and(&visit(self.theirs)?);
            let our_visit = our_first.and(&visit(self.ours)?);
            unprobed.push(bare);
            ours.push(our_visit.best_ns - bare);
            theirs.push(their_visit.best_ns - bare);
            lost += our_visit.lost + their_visit.lost;
            commands = (our_visit.command, their_visit.command);
        }
        let side = |name: &str, samples, command| Side {
            name: name.to_owned(),
            unit: Unit::Nanoseconds,
            samples,
            command,
        };
        Ok(Measured {
            row: self.row,
            figure: ours.ratios(&theirs).median(),
            sides: vec![
                side("ours", ours, commands.0),
                side(self.theirs.name(), theirs, commands.1),
                side("unprobed", unprobed, String::new()),
            ],
            lost,
            notes: Vec::new(),
        })
    }
}

/// What a call took with a tool attached.
struct Visit {
    best_ns: f64,
    lost: u64,
    command: String,
}

impl Visit {
    /// Two visits of one side.
    fn and(self, other: &Self) -> Self {
        Self {
            best_ns: self.best_ns.min(other.best_ns),
            lost: self.lost + other.lost,
            command: self.command,
        }
    }
}

/// Attaches, measures, detaches, and sees to it that every call was counted.
fn visit(tools: &Tools, target: &mut Target, work: Work, tool: Tool) -> Outcome<Visit> {
    let attached = tools.attach(tool, target, work)?;
    let first = target.run(work, WARM_UP)?;
    let batches = Batches {
        calls: (BATCH_NS / first.best_ns).clamp(20.0, 20_000.0) as u64,
        batches: BATCHES,
    };
    let timing = target.run(work, batches)?;
    let report = attached.stop()?;
    let turns = WARM_UP.turns() + batches.turns();
    check_count(&report, turns * work.functions().len() as u64)?;
    Ok(Visit {
        best_ns: timing.best_ns,
        lost: report.lost,
        command: report.command,
    })
}

/// A tool that misses calls is not cheap but broken.
pub(super) fn check_count(report: &Report, made: u64) -> Outcome<()> {
    match report.calls {
        Some(counted) if counted != made => Err(Failure::new(
            format!(
                "{made} calls were made, and `{}` counted {counted}",
                report.command
            ),
            "see which of the two is wrong before any figure is believed",
        )),
        Some(_) | None => Ok(()),
    }
}
