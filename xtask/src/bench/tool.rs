//! What is attached to the target: the profiler, bpftrace, an empty program; and what each says it has counted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    process::{Heard, Process},
    target::{LIBC, Target, Work},
};
use crate::exec::{Failure, Outcome};

/// The programs, and a place for their files.
pub(super) struct Tools {
    pub(super) profiler: PathBuf,
    pub(super) empty_session: PathBuf,
    pub(super) first_symbol: PathBuf,
    pub(super) symbolize: PathBuf,
    pub(super) folder: PathBuf,
}

/// What is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// The profiler; the arguments say how.
    Profiler(&'static [&'static str]),
    /// `bpftrace`, counting calls.
    BpftraceCount,
    /// `bpftrace`, with a histogram of durations.
    BpftraceLatency,
    /// A session program that does nothing.
    EmptySession,
}

/// A tool, attached.
pub(super) struct Attached {
    tool: Tool,
    process: Process,
    summary: PathBuf,
}

/// What a tool said in the end.
pub(super) struct Report {
    /// Calls that it counted; an empty program counts none.
    pub(super) calls: Option<u64>,
    /// What it says it lost.
    pub(super) lost: u64,
    /// The profiler's summary.
    pub(super) summary: Value,
    /// The command as one would type it.
    pub(super) command: String,
}

impl Tool {
    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Profiler(_) => "ours",
            Self::BpftraceCount | Self::BpftraceLatency => "bpftrace",
            Self::EmptySession => "empty",
        }
    }
}

impl Tools {
    /// Attaches a tool to the functions of some work, and waits until it is in place.
    pub(super) fn attach(&self, tool: Tool, target: &Target, work: Work) -> Outcome<Attached> {
        match tool {
            Tool::Profiler(arguments) => {
                let functions = work
                    .functions()
                    .iter()
                    .flat_map(|function| ["--function".to_owned(), pattern(work, function)]);
                let arguments = arguments.iter().map(|argument| (*argument).to_owned());
                self.profile(target.pid(), functions.chain(arguments))
            }
            Tool::BpftraceCount | Tool::BpftraceLatency => {
                let mut command = Command::new("bpftrace");
                command
                    .args(["-B", "line", "-f", "json", "-p", &target.pid().to_string(), "-e"])
                    .arg(script(tool, target.file(work), work));
                let mut process = Process::start(&mut command, Heard::Stdout, "start bpftrace")?;
                // It reads what its programs print only when all of them are attached.
                process.wait_for("ready")?;
                Ok(self.attached(tool, process))
            }
            Tool::EmptySession => {
                let mut command = Command::new(&self.empty_session);
                command.arg(target.pid().to_string()).args(work.functions());
                let mut process = Process::start(&mut command, Heard::Stdout, "hold an empty probe")?;
                process.wait_for("attached")?;
                Ok(self.attached(tool, process))
            }
        }
    }

    /// Attaches the profiler to a process.
    pub(super) fn profile(&self, pid: u32, arguments: impl Iterator<Item = String>) -> Outcome<Attached> {
        let mut command = Command::new(&self.profiler);
        command
            .args(["attach", "-p", &pid.to_string()])
            .args(arguments)
            .args(["--max-overhead", "off", "--summary-json"])
            .arg(self.summary());
        let mut process = Process::start(&mut command, Heard::Stderr, "start the profiler")?;
        process.wait_for("ebpf-prof: attached")?;
        Ok(self.attached(Tool::Profiler(&[]), process))
    }

    fn attached(&self, tool: Tool, process: Process) -> Attached {
        Attached {
            tool,
            process,
            summary: self.summary(),
        }
    }

    fn summary(&self) -> PathBuf {
        self.folder.join("summary.json")
    }
}

impl Attached {
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Detaches, and returns what was counted.
    pub(super) fn stop(self) -> Outcome<Report> {
        let Self {
            tool,
            process,
            summary,
        } = self;
        let command = process.command().to_owned();
        if tool != Tool::EmptySession {
            process.interrupt();
        }
        let lines = process.rest()?;
        let (calls, lost, summary) = match tool {
            Tool::Profiler(_) => {
                let summary = read_summary(&summary)?;
                (Some(calls_of(&summary)), losses_of(&summary), summary)
            }
            Tool::BpftraceCount | Tool::BpftraceLatency => {
                let counted = lines.iter().map(|line| bpftrace_calls(line)).sum();
                let lost = lines.iter().map(|line| bpftrace_lost(line)).sum();
                (Some(counted), lost, Value::Null)
            }
            Tool::EmptySession => (None, 0, Value::Null),
        };
        Ok(Report {
            calls,
            lost,
            summary,
            command,
        })
    }
}

fn pattern(work: Work, function: &str) -> String {
    match work {
        Work::Push | Work::LandingPad | Work::Touch => function.to_owned(),
        Work::MallocFree | Work::Keep => format!("{LIBC}:{function}"),
    }
}

fn script(tool: Tool, file: &Path, work: Work) -> String {
    let at = |kind: &str| -> Vec<String> {
        let functions = work.functions().iter();
        functions
            .map(|function| format!("{kind}:{}:{function}", file.display()))
            .collect()
    };
    let (entries, returns) = (at("uprobe").join(", "), at("uretprobe").join(", "));
    let probes = if tool == Tool::BpftraceLatency {
        format!(
            "{entries} {{ @start[tid] = nsecs; }} {returns} /@start[tid]/ \
             {{ @ns = hist(nsecs - @start[tid]); delete(@start[tid]); }}"
        )
    } else {
        format!("{entries} {{ @calls = count(); }}")
    };
    format!("BEGIN {{ printf(\"ready\\n\"); }} {probes}")
}

fn read_summary(path: &Path) -> Outcome<Value> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        let what = format!("`{}` is not what it should be: {error}", path.display());
        Failure::new(what, "see `session/summary_json.rs`")
    })
}

fn calls_of(summary: &Value) -> u64 {
    let functions = summary["functions"].as_array().into_iter().flatten();
    functions.filter_map(|function| function["calls"].as_u64()).sum()
}

fn losses_of(summary: &Value) -> u64 {
    let losses = summary["loss"].as_object().into_iter().flatten();
    losses.filter_map(|(_reason, count)| count.as_u64()).sum()
}

/// The calls that a line of bpftrace's JSON tells of: a counter, or the buckets of a histogram.
fn bpftrace_calls(line: &str) -> u64 {
    let Ok(line) = serde_json::from_str::<Value>(line) else {
        return 0;
    };
    let data = &line["data"];
    let buckets = data["@ns"].as_array().into_iter().flatten();
    let counter = data["@calls"].as_u64().unwrap_or(0);
    counter + buckets.filter_map(|bucket| bucket["count"].as_u64()).sum::<u64>()
}

fn bpftrace_lost(line: &str) -> u64 {
    let line = serde_json::from_str::<Value>(line).unwrap_or_default();
    line["data"]["events"].as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{bpftrace_calls, bpftrace_lost, calls_of, losses_of};
    use serde_json::json;

    #[test]
    fn calls_are_read_from_counters_and_from_histograms() {
        assert_eq!(bpftrace_calls(r#"{"type": "map", "data": {"@calls": 12}}"#), 12);
        let histogram = r#"{"type": "hist", "data": {"@ns": [{"min": 512, "max": 1023, "count": 5}, {"min": 1024, "max": 2047, "count": 2}]}}"#;
        assert_eq!(bpftrace_calls(histogram), 7);
        assert_eq!(bpftrace_calls("no JSON"), 0);
        assert_eq!(
            bpftrace_lost(r#"{"type": "lost_events", "data": {"events": 3}}"#),
            3
        );
    }

    #[test]
    fn every_function_and_every_reason_is_summed() {
        let summary =
            json!({"functions": [{"calls": 3}, {"calls": 4}], "loss": {"ring_full": 1, "stack_too_deep": 2}});
        assert_eq!((calls_of(&summary), losses_of(&summary)), (7, 3));
    }
}
