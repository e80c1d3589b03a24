//! The counters of a session as JSON (`--summary-json`).
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use profiler_common::cookie::FunctionId;
use profiler_common::loss::LossReason;
use serde_json::{Value, json};

use super::SessionError;
use crate::aggregate::FunctionTotals;
use crate::aggregate::histogram::Histogram;
use crate::kernel::AttachMode;
use crate::object::debug::SourceLine;
use crate::probe::plan::{Plan, PlannedFunction, Returns};
use crate::recorder::PipelineCounts;
use crate::resolve::FunctionLines;

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
    /// The source lines of the functions, if they were read in time.
    pub lines: Option<&'a FunctionLines>,
    /// By function: its counters.
    pub totals: &'a [FunctionTotals],
    /// Reads a function's histogram.
    pub histogram: &'a mut dyn FnMut(FunctionId) -> Histogram,
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
        totals,
        histogram,
        losses,
        recorded,
        reader_cpu,
        notes,
    } = data;
    let with_histogram = |(planned, totals): (&PlannedFunction, &FunctionTotals)| {
        let mut totals = totals.clone();
        if totals.returns > 0 {
            totals.histogram = histogram(planned.id);
        }
        let line = lines.and_then(|lines| lines.get(planned.id.0 as usize));
        function(plan, (planned, line), &totals)
    };
    let functions: Vec<Value> = plan.functions.iter().zip(*totals).map(with_histogram).collect();
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
