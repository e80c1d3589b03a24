//! Where records go: a file or standard output, with the name that errors give it.
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use super::RecorderError;

/// What the user named as the place for records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output (`-`).
    Stdout,
    /// A file: created if need be, emptied by the first write.
    File(PathBuf),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// An open output. It has no buffer: recorders hand it large pieces.
pub struct Sink {
    writer: Box<dyn Write + Send>,
    /// What the first write empties: until then, what an earlier run wrote is still there.
    stale: Option<File>,
    name: String,
    terminal: bool,
}

impl Sink {
    /// Opens `output`.
    pub fn open(output: &Output) -> Result<Self, RecorderError> {
        let opened = match output {
            // Not `io::stdout()`: that one looks for line ends in all that passes.
            Output::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            Output::File(path) => OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path),
        };
        opened
            .and_then(|file| {
                let stale = match output {
                    Output::File(_) if file.metadata()?.is_file() => Some(file.try_clone()?),
                    Output::File(_) | Output::Stdout => None,
                };
                let terminal = file.is_terminal();
                Ok(Self {
                    writer: Box::new(file),
                    stale,
                    name: output.to_string(),
                    terminal,
                })
            })
            .map_err(|source| RecorderError::Open {
                output: output.to_string(),
                source,
            })
    }

    /// An output that is already open, under the name that errors give it.
    pub fn new(writer: impl Write + Send + 'static, name: impl Into<String>) -> Self {
        Self {
            writer: Box::new(writer),
            stale: None,
            name: name.into(),
            terminal: false,
        }
    }

    /// People read it directly: control characters must not reach it.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The name that errors give it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = self.stale.take() {
            file.set_len(0)?;
        }
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! An output that tests can look into.
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};

    /// Bytes shared with the recorder that writes them.
    #[derive(Clone, Default)]
    pub(crate) struct SharedBytes(Arc<Mutex<Vec<u8>>>);

    impl SharedBytes {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
        }
    }

    impl Write for SharedBytes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
