//! Comma-separated values, quoted by RFC 4180, one header line, lines that end in LF.
use std::io;

use super::{Recorder, RecorderError, RecorderKind, Sink};
use crate::record::{Record, Schema, Value, escape::escaped};

/// Bytes that wait in memory: large enough that the system calls do not count.
const BUFFER: usize = 1 << 18;

pub(super) static CSV: RecorderKind = RecorderKind {
    name: "csv",
    summary: "comma-separated values with a header line, for spreadsheets and data frames",
    default_file: Some("monitor_records.csv"),
    extensions: &["csv"],
    start: |sink| Box::new(CsvRecorder::new(sink)),
};

struct CsvRecorder {
    writer: csv::Writer<Sink>,
    digits: itoa::Buffer,
    name: String,
    /// The file is shown as it is written: what a terminal would obey is spelled out.
    escape: bool,
}

impl CsvRecorder {
    fn new(sink: Sink) -> Self {
        let name = sink.name().to_owned();
        let escape = sink.is_terminal();
        let writer = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(sink);
        Self { writer, digits: itoa::Buffer::new(), name, escape }
    }

    fn write_row(&mut self, record: &Record<'_>) -> csv::Result<()> {
        for value in record.values {
            match *value {
                Value::Empty => self.writer.write_field([])?,
                Value::Text(text) if self.escape => self.writer.write_field(escaped(text).as_bytes())?,
                Value::Text(text) => self.writer.write_field(text)?,
                Value::Number(number) => self.writer.write_field(self.digits.format(number))?,
            }
        }
        self.writer.write_record(None::<&[u8]>)
    }
}

fn failed(name: &str, error: csv::Error) -> RecorderError {
    let text = error.to_string();
    let source = match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        _ => io::Error::other(text),
    };
    RecorderError::Write { output: name.to_owned(), source }
}

impl Recorder for CsvRecorder {
    fn prepare(&mut self, schema: &Schema) -> Result<(), RecorderError> {
        let names = schema.columns.iter().map(|column| column.name);
        self.writer.write_record(names).map_err(|error| failed(&self.name, error))?;
        self.flush()
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), RecorderError> {
        self.write_row(record).map_err(|error| failed(&self.name, error))
    }

    fn flush(&mut self) -> Result<(), RecorderError> {
        self.writer.flush().map_err(|source| RecorderError::Write { output: self.name.clone(), source })
    }

    fn finalize(mut self: Box<Self>) -> Result<(), RecorderError> {
        self.flush()
    }
}
