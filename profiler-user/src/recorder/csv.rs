//! Comma-separated values, quoted by RFC 4180, one header line, lines that end in LF.
//!
//! The crate `csv` writes the header, and is what the rows are tested against. The rows themselves are put together
//! here: its state between cells costs as much again as all the rest (measured: 270 → 140 ns a row).
use std::io::{self, Write as _};

use super::{Recorder, RecorderError, RecorderKind, Sink};
use crate::record::{Record, Schema, Value, escape::escaped};

/// Bytes that wait in memory: large enough that the system calls do not count.
const BUFFER: usize = 1 << 18;

/// The format of spreadsheets and data frames.
pub static CSV: RecorderKind = RecorderKind {
    name: "csv",
    summary: "comma-separated values with a header line, for spreadsheets and data frames",
    default_file: Some("monitor_records.csv"),
    extensions: &["csv"],
    start: |sink| Box::new(CsvRecorder::new(sink)),
};

struct CsvRecorder {
    sink: Sink,
    rows: Vec<u8>,
    digits: itoa::Buffer,
}

impl CsvRecorder {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            rows: Vec::with_capacity(BUFFER + 4096),
            digits: itoa::Buffer::new(),
        }
    }

    fn failed(&self, source: io::Error) -> RecorderError {
        RecorderError::Write {
            output: self.sink.name().to_owned(),
            source,
        }
    }
}

#[inline]
fn push_text(rows: &mut Vec<u8>, text: &str) {
    // Without an early end, so that the compiler looks at many bytes at a time.
    let special = |byte: &u8| matches!(byte, b'"' | b',' | b'\n' | b'\r');
    if !text
        .as_bytes()
        .iter()
        .fold(false, |found, byte| found | special(byte))
    {
        return rows.extend_from_slice(text.as_bytes());
    }
    rows.push(b'"');
    for (index, piece) in text.split('"').enumerate() {
        if index > 0 {
            rows.extend_from_slice(b"\"\"");
        }
        rows.extend_from_slice(piece.as_bytes());
    }
    rows.push(b'"');
}

impl Recorder for CsvRecorder {
    fn prepare(&mut self, schema: &Schema) -> Result<(), RecorderError> {
        let mut header = csv::Writer::from_writer(&mut self.rows);
        let written = header
            .write_record(schema.columns.iter().map(|column| column.name))
            .and_then(|()| header.flush().map_err(csv::Error::from));
        drop(header);
        written.map_err(|error| self.failed(io::Error::other(error)))?;
        self.flush()
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>) -> Result<(), RecorderError> {
        let Self { sink, rows, digits } = self;
        for value in record.values {
            match *value {
                Value::Empty => {}
                Value::Text(text) if sink.is_terminal() => push_text(rows, &escaped(text)),
                Value::Text(text) => push_text(rows, text),
                Value::Number(number) => rows.extend_from_slice(digits.format(number).as_bytes()),
                Value::Signed(number) => rows.extend_from_slice(digits.format(number).as_bytes()),
            }
            rows.push(b',');
        }
        if let Some(last) = rows.last_mut() {
            *last = b'\n';
        }
        if rows.len() >= BUFFER {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), RecorderError> {
        let written = self.sink.write_all(&self.rows).and_then(|()| self.sink.flush());
        // What could not be written is not tried again: the error ends the recording.
        self.rows.clear();
        written.map_err(|source| self.failed(source))
    }

    fn finalize(mut self: Box<Self>) -> Result<(), RecorderError> {
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::push_text;

    #[test]
    fn cells_are_quoted_as_the_csv_crate_quotes_them() {
        for text in [
            "",
            "a",
            "a,b",
            "a\"b",
            "\"",
            "\"\"",
            "a\nb",
            "a\rb",
            " a ",
            "operator,(a, \"b\")",
            "größe",
            "-",
        ] {
            let mut ours = vec![];
            push_text(&mut ours, text);
            let mut writer = csv::Writer::from_writer(vec![]);
            // Two cells: a row of one empty cell is a special case.
            writer.write_record([text, "x"]).unwrap();
            let theirs = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            assert_eq!(format!("{},x\n", String::from_utf8(ours).unwrap()), theirs);
        }
    }
}
