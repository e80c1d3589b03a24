//! The counters of a session as JSON (`--summary-json`).
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use profiler_common::loss::LossReason;
use serde_json::{Value, json};

use super::SessionError;
use crate::aggregate::FunctionTotals;
use crate::kernel::AttachMode;
use crate::probe::plan::{Plan, PlannedFunction, Returns};
use crate::recorder::PipelineCounts;

/// A file that will hold the summary: opened before anything is attached.
pub struct SummaryFile {
    path: PathBuf,
    file: File,
}

/// What is written.
pub struct SummaryData<'a> {
    /// How long it took.
    pub elapsed: Duration,
    /// How probes were attached.
    pub mode: AttachMode,
    /// The plan.
    pub plan: &'a Plan,
    /// By function: its counters, with the histogram.
    pub totals: &'a [FunctionTotals],
    /// What was lost, by reason.
    pub losses: &'a [(LossReason, u64)],
    /// What was recorded.
    pub recorded: PipelineCounts,
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
    pub fn write(self, data: &SummaryData<'_>) -> Result<(), SessionError> {
        let Self { path, file } = self;
        let mut writer = BufWriter::new(file);
        let written = serde_json::to_writer_pretty(&mut writer, &document(data)).map_err(Into::into);
        written
            .and_then(|()| writer.write_all(b"\n"))
            .and_then(|()| writer.flush())
            .map_err(|source| SessionError::Summary { path, source })
    }
}

fn document(data: &SummaryData<'_>) -> Value {
    let SummaryData {
        elapsed,
        mode,
        plan,
        totals,
        losses,
        recorded,
        notes,
    } = data;
    let functions: Vec<Value> = plan
        .functions
        .iter()
        .zip(*totals)
        .map(|(planned, totals)| function(plan, planned, totals))
        .collect();
    let loss: serde_json::Map<String, Value> = losses
        .iter()
        .map(|(reason, count)| (reason.key().to_owned(), json!(count)))
        .collect();
    json!({
        "elapsed_ns": elapsed.as_nanos() as u64,
        "attach_mode": mode.name(),
        "functions": functions,
        "loss": loss,
        "events": {
            "records": recorded.records,
            "undecodable": recorded.undecodable(),
            "unnamed": recorded.unnamed,
        },
        "notes": notes,
    })
}

fn function(plan: &Plan, planned: &PlannedFunction, totals: &FunctionTotals) -> Value {
    json!({
        "function": planned.name,
        "aliases": planned.aliases,
        "object": plan.objects[planned.object].name,
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
