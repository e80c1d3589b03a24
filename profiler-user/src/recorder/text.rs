//! Aligned text: column names, a dashed rule, one line per record. The widths are the schema's.
use std::io::Write as _;

use super::{Recorder, RecorderError, RecorderKind, Sink};
use crate::record::{
    Column, Record, Schema, Value,
    escape::{escaped, is_printable_ascii},
};

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
    columns: Vec<Column>,
    digits: itoa::Buffer,
}

impl TextRecorder {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            line: Vec::with_capacity(BUFFER + 4096),
            columns: Vec::new(),
            digits: itoa::Buffer::new(),
        }
    }
}

/// Appends words: what a terminal would obey is spelled out.
#[inline]
fn push_text(line: &mut Vec<u8>, text: &str, width: usize) {
    if is_printable_ascii(text) {
        return push_cell(line, text, text.len(), width);
    }
    let text = escaped(text);
    push_cell(line, &text, text.chars().count(), width);
}

/// Appends a cell of `shown` characters, padded to `width`, and the space behind it.
#[inline]
fn push_cell(line: &mut Vec<u8>, cell: &str, shown: usize, width: usize) {
    line.extend_from_slice(cell.as_bytes());
    line.resize(line.len() + width.saturating_sub(shown) + 1, b' ');
}

/// Ends a line: the last cell is not padded.
fn end_line(line: &mut Vec<u8>) {
    let padding = line.iter().rev().take_while(|byte| **byte == b' ').count();
    line.truncate(line.len() - padding);
    line.push(b'\n');
}

impl Recorder for TextRecorder {
    fn prepare(&mut self, schema: &Schema) -> Result<(), RecorderError> {
        let Self {
            sink: _,
            line,
            columns,
            digits: _,
        } = self;
        *columns = schema.columns.to_vec();
        for column in columns.iter() {
            push_text(line, column.name, column.width);
        }
        end_line(line);
        line.resize(2 * line.len() - 1, b'-');
        line.push(b'\n');
        self.flush()
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), RecorderError> {
        let Self {
            sink: _,
            line,
            columns,
            digits,
        } = self;
        for (column, value) in columns.iter().zip(record.values) {
            match *value {
                // A blank would make the columns behind it look like its own.
                Value::Empty | Value::Text("") => push_cell(line, "-", 1, column.width),
                Value::Text(text) => push_text(line, text, column.width),
                Value::Number(number) => {
                    let number = digits.format(number);
                    push_cell(line, number, number.len(), column.width);
                }
                Value::Signed(number) => {
                    let number = digits.format(number);
                    push_cell(line, number, number.len(), column.width);
                }
            }
        }
        end_line(line);
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
