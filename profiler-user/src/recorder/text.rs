//! Aligned text: column names, a dashed rule, one line per record. The widths are the schema's.
use std::io::Write as _;

use super::{Recorder, RecorderError, RecorderKind, Sink};
use crate::record::{Column, Record, Schema, Value, escape::escaped};

/// Bytes that wait in memory.
const BUFFER: usize = 1 << 18;

pub(super) static SCREEN: RecorderKind = RecorderKind {
    name: "screen",
    summary: "aligned text on standard output",
    default_file: None,
    extensions: &[],
    start: |sink| Box::new(TextRecorder::new(sink)),
};

pub(super) static TEXT: RecorderKind = RecorderKind {
    name: "text",
    summary: "aligned text in a file",
    default_file: Some("monitor_records.log"),
    extensions: &["log", "txt"],
    start: |sink| Box::new(TextRecorder::new(sink)),
};

struct TextRecorder {
    sink: Sink,
    line: Vec<u8>,
    columns: &'static [Column],
    digits: itoa::Buffer,
}

impl TextRecorder {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            line: Vec::with_capacity(BUFFER + 4096),
            columns: &[],
            digits: itoa::Buffer::new(),
        }
    }
}

/// Appends `text`, padded to `width`; cells are separated by one space, and the last one is not padded.
fn push_cell(line: &mut Vec<u8>, text: &str, width: usize, last: bool) {
    line.extend_from_slice(text.as_bytes());
    if last {
        return line.push(b'\n');
    }
    let shown = if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    };
    line.resize(line.len() + width.saturating_sub(shown) + 1, b' ');
}

impl Recorder for TextRecorder {
    fn prepare(&mut self, schema: &Schema) -> Result<(), RecorderError> {
        self.columns = schema.columns;
        let last = schema.columns.len().saturating_sub(1);
        for (index, column) in schema.columns.iter().enumerate() {
            push_cell(&mut self.line, column.name, column.width, index == last);
        }
        let width = self.line.len().saturating_sub(1);
        self.line.resize(self.line.len() + width, b'-');
        self.line.push(b'\n');
        self.flush()
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), RecorderError> {
        let Self {
            sink: _,
            line,
            columns,
            digits,
        } = self;
        let last = columns.len().saturating_sub(1);
        for (index, (column, value)) in columns.iter().zip(record.values).enumerate() {
            match *value {
                // A blank would make the columns behind it look like its own.
                Value::Empty => push_cell(line, "-", column.width, index == last),
                Value::Text(text) => push_cell(line, &escaped(text), column.width, index == last),
                Value::Number(number) => push_cell(line, digits.format(number), column.width, index == last),
            }
        }
        if line.len() >= BUFFER {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), RecorderError> {
        let written = self.sink.write_all(&self.line).and_then(|()| self.sink.flush());
        // What could not be written is not tried again: the error ends the recording.
        self.line.clear();
        written.map_err(|source| RecorderError::Write {
            output: self.sink.name().to_owned(),
            source,
        })
    }

    fn finalize(mut self: Box<Self>) -> Result<(), RecorderError> {
        self.flush()
    }
}
