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
    let header = reader.headers().expect("the recording has a header");
    assert_eq!(header.iter().collect::<Vec<_>>(), COLUMNS);
    let mut recording = Recording::default();
    for (position, row) in reader.records().enumerate() {
        let row = row.expect("every row has every column");
        assert_eq!(row[0].parse(), Ok(position), "rows are numbered without gaps");
        match &row[1] {
            "lost" => recording.lost.push(row[2].to_owned()),
            _ => recording.records.push(parse(&row)),
        }
    }
    recording
}

fn parse(row: &csv::StringRecord) -> Record {
    let number = |column: usize| -> u64 {
        row[column]
            .parse()
            .unwrap_or_else(|_| panic!("`{}` is not a number in {row:?}", COLUMNS[column]))
    };
    Record {
        kind: row[1].to_owned(),
        function: row[2].to_owned(),
        line: (!row[3].is_empty()).then(|| number(3)),
        filename: row[4].to_owned(),
        time_ns: number(5),
        pid: number(6) as u32,
        tid: number(7) as u32,
        comm: row[8].to_owned(),
        object: row[9].to_owned(),
        depth: number(10),
        duration_ns: if row[11].is_empty() {
            None
        } else {
            Some(number(11))
        },
    }
}
