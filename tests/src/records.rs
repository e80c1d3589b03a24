//! The rows of a CSV recording.
use std::path::Path;

/// The header that the profiler writes: those of the ancestor first, in its order.
const COLUMNS: [&str; 12] = [
    "index",
    "type",
    "function",
    "lineNo",
    "filename",
    "time_ns",
    "pid",
    "tid",
    "comm",
    "object",
    "depth",
    "duration_ns",
];

/// Where a recording with memory has that: behind the function's name.
const MEMORY: [&str; 2] = ["RSS", "VMS"];

/// One call or return.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "the columns of the recording, documented by the profiler"
)]
pub struct Record {
    pub kind: String,
    pub function: String,
    pub line: Option<u64>,
    pub filename: String,
    pub time_ns: u64,
    pub pid: u32,
    pub tid: u32,
    pub comm: String,
    pub object: String,
    pub depth: u64,
    pub duration_ns: Option<u64>,
    pub rss: Option<u64>,
    pub vms: Option<u64>,
}

impl Record {
    /// Whether it is a call.
    pub fn is_call(&self) -> bool {
        self.kind == "call"
    }

    /// Whether it is a return.
    pub fn is_return(&self) -> bool {
        self.kind == "return"
    }
}

/// A recording.
#[derive(Debug, Default)]
pub struct Recording {
    /// Calls and returns.
    pub records: Vec<Record>,
    /// What could not be kept, as `reason=count`.
    pub lost: Vec<String>,
}

/// Reads the recording at `path`, and checks its header and that its rows are numbered from 0.
pub fn read(path: &Path) -> Recording {
    let mut reader = csv::ReaderBuilder::new()
        .from_path(path)
        .expect("the recording can be opened");
    let header = reader.headers().expect("the recording has a header").clone();
    let mut columns = COLUMNS.to_vec();
    if header.get(3) == Some(MEMORY[0]) {
        columns.splice(3..3, MEMORY);
    }
    assert_eq!(header.iter().collect::<Vec<_>>(), columns);
    let mut recording = Recording::default();
    for (position, row) in reader.records().enumerate() {
        let row = row.expect("every row has every column");
        assert_eq!(row[0].parse(), Ok(position), "rows are numbered without gaps");
        match &row[1] {
            "lost" => recording.lost.push(row[2].to_owned()),
            _ => recording.records.push(parse(&columns, &row)),
        }
    }
    recording
}

fn parse(columns: &[&str], row: &csv::StringRecord) -> Record {
    let cell = |name: &str| {
        columns
            .iter()
            .position(|column| *column == name)
            .map(|at| &row[at])
    };
    let parsed = |name: &str| -> Option<u64> {
        let cell = cell(name).filter(|cell| !cell.is_empty())?;
        let number = cell.parse();
        Some(number.unwrap_or_else(|_| panic!("`{name}` is not a number in {row:?}")))
    };
    let number = |name: &str| parsed(name).unwrap_or_else(|| panic!("`{name}` is empty in {row:?}"));
    let text = |name: &str| cell(name).unwrap_or_default().to_owned();
    Record {
        kind: text("type"),
        function: text("function"),
        line: parsed("lineNo"),
        filename: text("filename"),
        time_ns: number("time_ns"),
        pid: number("pid") as u32,
        tid: number("tid") as u32,
        comm: text("comm"),
        object: text("object"),
        depth: number("depth"),
        duration_ns: parsed("duration_ns"),
        rss: parsed("RSS"),
        vms: parsed("VMS"),
    }
}
