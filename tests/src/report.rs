//! What the profiler reports at its end (`--summary-json`).
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use profiler_common::loss::LossReason;
use serde_json::Value;

/// The summary of a session.
#[derive(Debug)]
pub struct Report {
    /// The attach mode that was used.
    pub attach_mode: String,
    /// A row for each probed function.
    pub functions: Vec<FunctionRow>,
    /// What the user should know: warnings, the governor's decisions.
    pub notes: Vec<String>,
    /// All of it.
    pub json: Value,
    loss: Value,
    events: Value,
}

/// What is known of one function.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the summary's own fields, documented by the profiler")]
pub struct FunctionRow {
    pub function: String,
    pub object: String,
    pub file: Option<String>,
    pub line: Option<u64>,
    pub calls: u64,
    pub returns: u64,
    pub total_ns: u64,
    pub self_ns: u64,
    pub min_ns: Option<u64>,
    pub max_ns: Option<u64>,
    pub p50_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub abandoned: u64,
    pub untimed: u64,
    pub in_flight: u64,
    pub returns_form: String,
    /// What tells it from the function's other rows: the attributes of `--by`.
    pub group: BTreeMap<String, String>,
}

/// What rows can be told apart by.
const ATTRIBUTES: [&str; 12] = [
    "pid",
    "inner_pid",
    "tid",
    "comm",
    "exe",
    "user",
    "cgroup",
    "container",
    "image",
    "pod",
    "namespace",
    "unit",
];

impl Report {
    /// Reads the summary at `path`. `None`: there is none.
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok().filter(|text| !text.is_empty())?;
        let summary: Value = serde_json::from_str(&text).expect("the summary is JSON");
        // That of `mem` has none.
        let is_memory = summary["kind"] == "memory" || summary["kind"] == "growth";
        let rows = summary["functions"].as_array().cloned();
        let rows = rows
            .or_else(|| is_memory.then(Vec::new))
            .expect("the summary has a list of functions");
        let notes = summary["notes"]
            .as_array()
            .expect("the summary has a list of notes");
        Some(Self {
            attach_mode: text_of(&summary, "attach_mode"),
            functions: rows.iter().map(FunctionRow::read).collect(),
            notes: notes.iter().map(ToString::to_string).collect(),
            loss: summary["loss"].clone(),
            events: summary["events"].clone(),
            json: summary,
        })
    }

    /// The row of `function`, by its plain name: a C++ function's parameters may follow it.
    pub fn row(&self, function: &str) -> &FunctionRow {
        let rows: Vec<_> = self
            .functions
            .iter()
            .filter(|row| row.is_named(function))
            .collect();
        match rows[..] {
            [row] => row,
            _ => panic!(
                "{} rows are named `{function}`: {:#?}",
                rows.len(),
                self.functions
            ),
        }
    }

    /// The rows of `function` whose `attribute` has this value.
    pub fn rows_where(&self, function: &str, attribute: &str, value: &str) -> Vec<&FunctionRow> {
        let matches = |row: &&FunctionRow| {
            row.is_named(function) && row.group.get(attribute).map(String::as_str) == Some(value)
        };
        self.functions.iter().filter(matches).collect()
    }

    /// Calls of `function` in all its rows.
    pub fn calls_of(&self, function: &str) -> u64 {
        let rows = self.functions.iter().filter(|row| row.is_named(function));
        rows.map(|row| row.calls).sum()
    }

    /// How often something was lost for `reason`.
    pub fn loss(&self, reason: LossReason) -> u64 {
        number_of(&self.loss, reason.key())
    }

    /// Records that were written.
    pub fn records(&self) -> u64 {
        number_of(&self.events, "records")
    }

    /// Fails if anything was lost but for the reasons `allowed`.
    pub fn assert_no_loss_but(&self, allowed: &[LossReason]) {
        for reason in LossReason::ALL.iter().filter(|reason| !allowed.contains(reason)) {
            assert_eq!(self.loss(*reason), 0, "{}: {self:#?}", reason.text());
        }
    }

    /// Fails unless each function's calls are all accounted for, and abandoned calls are stated as loss.
    pub fn assert_adds_up(&self) {
        for row in &self.functions {
            row.assert_adds_up();
        }
        let abandoned: u64 = self.functions.iter().map(|row| row.abandoned).sum();
        assert_eq!(
            abandoned,
            self.loss(LossReason::EntryWithoutReturn),
            "abandoned calls are loss: {self:#?}"
        );
    }
}

impl FunctionRow {
    fn read(row: &Value) -> Self {
        let optional = |key: &str| row[key].as_u64();
        Self {
            function: text_of(row, "function"),
            object: text_of(row, "object"),
            file: row["file"].as_str().map(str::to_owned),
            line: row["line"].as_u64(),
            calls: number_of(row, "calls"),
            returns: number_of(row, "returns"),
            total_ns: number_of(row, "total_ns"),
            self_ns: number_of(row, "self_ns"),
            min_ns: optional("min_ns"),
            max_ns: optional("max_ns"),
            p50_ns: optional("p50_ns"),
            p99_ns: optional("p99_ns"),
            abandoned: number_of(row, "abandoned"),
            untimed: number_of(row, "untimed"),
            in_flight: number_of(row, "in_flight"),
            returns_form: text_of(row, "returns_form"),
            group: ATTRIBUTES
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), row[*name].as_str()?.to_owned())))
                .collect(),
        }
    }

    /// Whether the function has this plain name.
    pub fn is_named(&self, function: &str) -> bool {
        self.function
            .strip_prefix(function)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
    }

    /// Fails unless every call returned, was abandoned, was never timed, or still runs.
    pub fn assert_adds_up(&self) {
        let known = self.returns + self.abandoned + self.untimed + self.in_flight;
        assert_eq!(
            self.calls, known,
            "calls = returns + abandoned + untimed + in flight: {self:?}"
        );
    }
}

fn number_of(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("`{key}` is not a number in {value}"))
}

fn text_of(value: &Value, key: &str) -> String {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("`{key}` is not a text in {value}"))
        .to_owned()
}
