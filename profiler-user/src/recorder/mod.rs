//! Writers of records. Each format is one file and one row of [`RECORDERS`], which `--recording`, its help and its
//! default file names are made from.
//!
//! [`RecorderKind::open`] comes before anything is attached, so that an output that cannot be written costs the target
//! nothing; [`Recorder::prepare`] writes the header.
mod csv;
mod events;
#[cfg(test)]
mod golden;
mod output;
mod pipeline;
mod text;

use std::io;

pub use csv::CSV;
pub use events::{EventFunctions, EventStyle, EventWriter};
pub use output::{Output, Sink};
pub use pipeline::{EventPipeline, NewNames, PipelineCounts, ReplayError, replay};

use crate::record::{Record, Schema};

/// Writes records of one schema.
pub trait Recorder: Send {
    /// Writes what precedes the records. Called once.
    fn prepare(&mut self, schema: &Schema) -> Result<(), RecorderError>;
    /// Writes one record; it may stay in memory for a while.
    fn record(&mut self, record: &Record<'_>) -> Result<(), RecorderError>;
    /// Hands everything recorded so far to the operating system.
    fn flush(&mut self) -> Result<(), RecorderError>;
    /// Writes what is left and closes the output.
    fn finalize(self: Box<Self>) -> Result<(), RecorderError>;
}

/// Why records could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The output could not be opened.
    #[error("failed to open `{output}` for the records: {source}")]
    Open {
        /// The file, or `standard output`.
        output: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Writing to it failed.
    #[error("failed to write records to `{output}`: {source}")]
    Write {
        /// The file, or `standard output`.
        output: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

impl RecorderError {
    /// The reader of the output went away (`… | head`): the end of the work, not a failure.
    pub fn is_broken_pipe(&self) -> bool {
        let (Self::Open { source, .. } | Self::Write { source, .. }) = self;
        source.kind() == io::ErrorKind::BrokenPipe
    }
}

/// A format of records.
#[derive(Debug)]
pub struct RecorderKind {
    /// What `--recording` calls it.
    pub name: &'static str,
    /// What `--help` says of it.
    pub summary: &'static str,
    /// Where records go without `-o`; none = standard output.
    pub default_file: Option<&'static str>,
    /// The file name extensions that mean this format.
    pub extensions: &'static [&'static str],
    start: fn(Sink) -> Box<dyn Recorder>,
}

impl RecorderKind {
    /// The format that `--recording` calls `name`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        RECORDERS.iter().copied().find(|kind| kind.name == name)
    }

    /// The format that a file's extension means.
    pub fn by_extension(extension: &str) -> Option<&'static Self> {
        RECORDERS.iter().copied().find(|kind| {
            kind.extensions
                .iter()
                .any(|known| known.eq_ignore_ascii_case(extension))
        })
    }

    /// Where its records go unless told otherwise.
    pub fn default_output(&self) -> Output {
        self.default_file
            .map_or(Output::Stdout, |name| Output::File(name.into()))
    }

    /// A recorder that writes to `output`, which is created here, and emptied by [`Recorder::prepare`].
    pub fn open(&self, output: &Output) -> Result<Box<dyn Recorder>, RecorderError> {
        Ok((self.start)(Sink::open(output)?))
    }

    /// A recorder that writes to `sink`.
    pub fn start(&self, sink: Sink) -> Box<dyn Recorder> {
        (self.start)(sink)
    }
}

/// Every format.
pub static RECORDERS: &[&RecorderKind] = &[&text::SCREEN, &text::TEXT, &CSV];

#[cfg(test)]
mod tests {
    use super::{Output, RECORDERS, RecorderError, RecorderKind};
    use crate::record::FunctionRecord;
    use std::collections::HashSet;
    use std::io;

    #[test]
    fn names_and_extensions_are_unique_and_every_format_says_what_it_is() {
        let names: HashSet<_> = RECORDERS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), RECORDERS.len());
        let extensions: Vec<_> = RECORDERS.iter().flat_map(|kind| kind.extensions).collect();
        assert_eq!(extensions.iter().collect::<HashSet<_>>().len(), extensions.len());
        assert!(RECORDERS.iter().all(|kind| !kind.summary.is_empty()));
    }

    #[test]
    fn an_extension_names_its_format() {
        assert_eq!(
            RecorderKind::by_extension("CSV").map(|kind| kind.name),
            Some("csv")
        );
        assert_eq!(
            RecorderKind::by_extension("log").map(|kind| kind.name),
            Some("text")
        );
        assert!(RecorderKind::by_extension("xyz").is_none());
    }

    #[test]
    fn an_output_that_cannot_be_opened_is_named() {
        for kind in RECORDERS {
            let error = kind
                .open(&Output::File("/nonexistent/dir/out".into()))
                .err()
                .unwrap();
            assert!(error.to_string().contains("`/nonexistent/dir/out`"), "{error}");
            assert!(!error.is_broken_pipe());
        }
    }

    #[test]
    fn an_older_file_stays_until_the_header_replaces_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records");
        for kind in RECORDERS {
            std::fs::write(&path, "of an earlier run\n".repeat(100)).unwrap();
            let mut recorder = kind.open(&Output::File(path.clone())).unwrap();
            assert!(
                std::fs::read_to_string(&path)
                    .unwrap()
                    .starts_with("of an earlier run")
            );
            recorder.prepare(&FunctionRecord::SCHEMA).unwrap();
            recorder.finalize().unwrap();
            let written = std::fs::read_to_string(&path).unwrap();
            assert!(
                written.starts_with("index") && !written.contains("earlier"),
                "{written}"
            );
        }
    }

    #[test]
    fn a_full_disk_is_noticed_by_the_header() {
        for kind in RECORDERS {
            let mut recorder = kind.open(&Output::File("/dev/full".into())).unwrap();
            let error = recorder.prepare(&FunctionRecord::SCHEMA).unwrap_err();
            assert!(
                error.to_string().contains("`/dev/full`") && !error.is_broken_pipe(),
                "{error}"
            );
        }
    }

    #[test]
    fn only_a_closed_pipe_is_a_broken_pipe() {
        let write = |kind| RecorderError::Write {
            output: "x".into(),
            source: io::Error::from(kind),
        };
        assert!(write(io::ErrorKind::BrokenPipe).is_broken_pipe());
        assert!(!write(io::ErrorKind::StorageFull).is_broken_pipe());
    }
}
