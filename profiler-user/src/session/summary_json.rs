//! The counters of a session as JSON (`--summary-json`).
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use profiler_common::loss::LossReason;
use serde_json::{Value, json};

use super::SessionError;
use super::groups::Groups;
use super::summary::Counted;
use crate::aggregate::FunctionTotals;
use crate::aggregate::histogram::Histogram;
use crate::kernel::AttachMode;
use crate::object::debug::SourceLine;
use crate::probe::plan::{Plan, PlannedFunction, Returns};
use crate::recorder::PipelineCounts;
use crate::resolve::Lines;

/// A file that will hold the summary: opened before anything is attached.
pub struct SummaryFile {
    path: PathBuf,
    file: File,
}

/// How long the parts of a session took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Attached.
    pub elapsed: Duration,
    /// From the start to the last link.
    pub startup: Duration,
    /// Making the links.
    pub attach: Duration,
    /// Taking them away.
    pub detach: Duration,
}

/// What is written.
pub struct SummaryData<'a> {
    /// How long it took.
    pub times: Times,
    /// How probes were attached.
    pub mode: AttachMode,
    /// The plan.
    pub plan: &'a Plan,
    /// The source lines of the functions, as far as they were read in time.
    pub lines: &'a Lines,
    /// What tells counters apart.
    pub(super) groups: &'a Groups,
    /// By function and group: its counters.
    pub(super) counted: &'a [Counted],
    /// Reads a histogram.
    pub(super) histogram: &'a mut dyn FnMut(&Counted) -> Histogram,
    /// What was lost, by reason.
    pub losses: &'a [(LossReason, u64)],
    /// What was recorded.
    pub recorded: PipelineCounts,
    /// CPU time of the thread that recorded it.
    pub reader_cpu: Duration,
    /// What else must be said.
    pub notes: &'a [String],
}

impl SummaryFile {
    /// Opens the file.
    pub fn create(path: PathBuf) -> Result<Self, SessionError> {
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(SessionError::Summary { path, source }),
        }
    }

    /// Writes the summary.
    pub fn write(self, data: &mut SummaryData<'_>) -> Result<(), SessionError> {
        let Self { path, file } = self;
        let mut writer = BufWriter::new(file);
        let written = serde_json::to_writer_pretty(&mut writer, &document(data)).map_err(Into::into);
        written
            .and_then(|()| writer.write_all(b"\n"))
            .and_then(|()| writer.flush())
            .map_err(|source| SessionError::Summary { path, source })
    }
}

fn document(data: &mut SummaryData<'_>) -> Value {
    let SummaryData {
        times,
        mode,
        plan,
        lines,
        groups,
        counted,
        histogram,
        losses,
        recorded,
        reader_cpu,
        notes,
    } = data;
    // Where groups are told apart, functions that a group did not call are no news.
    let shown = |it: &&Counted| groups.attributes().is_empty() || it.totals.calls > 0;
    let with_histogram = |it: &Counted| {
        let mut totals = it.totals.clone();
        if totals.returns > 0 {
            totals.histogram = histogram(it);
        }
        let index = it.function.0 as usize;
        let mut value = function(plan, (&plan.functions[index], lines.get(index)), &totals);
        let group = groups.attributes().iter().zip(groups.values(it.group));
        for (attribute, text) in group {
            value[attribute.name()] = json!(text);
        }
        value
    };
    let functions: Vec<Value> = counted.iter().filter(shown).map(with_histogram).collect();
    let loss: serde_json::Map<String, Value> = losses
        .iter()
        .map(|(reason, count)| (reason.key().to_owned(), json!(count)))
        .collect();
    json!({
        "elapsed_ns": nanoseconds(times.elapsed),
        "startup_ns": nanoseconds(times.startup),
        "attach_ns": nanoseconds(times.attach),
        "detach_ns": nanoseconds(times.detach),
        "attach_mode": mode.name(),
        "functions": functions,
        "loss": loss,
        "events": {
            "records": recorded.records,
            "undecodable": recorded.undecodable(),
            "unnamed": recorded.unnamed,
            "reader_cpu_ns": nanoseconds(*reader_cpu),
        },
        "notes": notes,
    })
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}

fn function(
    plan: &Plan,
    (planned, line): (&PlannedFunction, Option<&SourceLine>),
    totals: &FunctionTotals,
) -> Value {
    json!({
        "function": planned.name,
        "aliases": planned.aliases,
        "object": plan.objects[planned.object].name,
        "file": line.map(|line| &*line.file),
        "line": line.map(|line| line.line),
        "calls": totals.calls,
        "returns": totals.returns,
        "total_ns": totals.total_ns,
        "self_ns": totals.self_ns,
        "min_ns": totals.extremes_ns.map(|(min, _)| min),
        "max_ns": totals.extremes_ns.map(|(_, max)| max),
        "p50_ns": totals.quantile_ns(0.5),
        "p90_ns": totals.quantile_ns(0.9),
        "p99_ns": totals.quantile_ns(0.99),
        "p999_ns": totals.quantile_ns(0.999),
        "abandoned": totals.abandoned,
        "untimed": totals.untimed,
        "in_flight": totals.in_flight(),
        "returns_form": form(&planned.returns),
    })
}

fn form(returns: &Returns) -> &'static str {
    match returns {
        Returns::ReturnProbe(_) => "return probe",
        Returns::ExitSites(..) => "exit sites",
        Returns::EntryOnly(_) => "entry only",
    }
}
