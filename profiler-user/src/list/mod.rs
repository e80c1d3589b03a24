//! What there is to profile: processes, containers, files, functions; for people as a table, for programs as JSON.
mod containers;
mod functions;
mod objects;
mod processes;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use serde_json::Value;
use thiserror::Error;

use crate::cli::list::{ListConfig, ListFormat, Listed};
use crate::object::ObjectError;
use crate::probe::pattern::PatternError;
use crate::target::TargetError;
use crate::target::glob::GlobError;
use crate::target::identity::{Directory, Identity};
use crate::target::selector::Selector;
use crate::ui::listing::{self, ListColumn, ListShape};
use crate::ui::{View, terminal};

/// Nothing can be listed.
#[derive(Debug, Error)]
pub enum ListError {
    /// The processes could not be looked into.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A file could not be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A pattern is malformed: the command line is wrong.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A glob is malformed: the command line is wrong.
    #[error("pattern: {0}")]
    Glob(#[from] GlobError),
    /// It could not be printed.
    #[error("failed to print: {0}")]
    Print(#[source] io::Error),
}

impl ListError {
    /// Whether the command line is at fault: exit status 2.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Pattern(_) | Self::Glob(_) => true,
            Self::Target(_) | Self::Object(_) | Self::Print(_) => false,
        }
    }
}

/// One line: what people see of it, in the order of the columns, and all of it.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    cells: Vec<String>,
    json: Value,
}

/// A list.
struct List {
    columns: &'static [ListColumn],
    entries: Vec<Entry>,
}

/// Prints what was asked for. A reader that has gone is no failure.
pub fn print(config: &ListConfig, out: &mut impl Write) -> Result<(), ListError> {
    let list = match config.what {
        Listed::Processes => processes::list(config)?,
        Listed::Containers => containers::list(config)?,
        Listed::Objects => objects::list(config)?,
        Listed::Functions => functions::list(config)?,
    };
    let written = match config.format {
        ListFormat::Json => write_json(&list, out),
        ListFormat::Table(wanted) => {
            let stdout = io::stdout();
            let view = View {
                width: terminal::size(&stdout).map(|size| size.columns),
                style: terminal::style(&stdout, wanted),
                ..View::default()
            };
            let rows: Vec<Vec<String>> = list.entries.into_iter().map(|entry| entry.cells).collect();
            out.write_all(listing::render(list.columns, &rows, &view).as_bytes())
        }
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ListError::Print(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An array with a line for each entry.
fn write_json(list: &List, out: &mut impl Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    out.write_all(b"[")?;
    for (index, entry) in list.entries.iter().enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut out, &entry.json)?;
    }
    out.write_all(b"\n]\n")?;
    out.flush()
}

const fn column(header: &'static str, shape: ListShape, drop: u8) -> ListColumn {
    ListColumn { header, shape, drop }
}

/// The processes that are asked for; all if nothing is said.
fn chosen(selector: &Selector) -> Result<Vec<Identity>, ListError> {
    let mut directory = Directory::new();
    if selector.is_empty() {
        let all = Selector {
            all: true,
            ..Selector::default()
        };
        return Ok(all.find(&mut directory));
    }
    Ok(selector.resolve(&mut directory)?)
}
