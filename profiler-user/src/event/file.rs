//! Recorded messages: what came through the rings, as it came, with the names that its numbers stand for.
//!
//! All numbers are little-endian.
//! ```text
//! magic "EBPFPROF" · version u32 · number of functions u32
//! per function:  length u32 · name · length u32 · object's file name      (UTF-8)
//! per message:   stream u8 ([`Stream`]) · zero u8 · length u16 · the message
//! ```
//! The file ends behind a message. A file whose writer was killed ends inside one: what precedes it is good.
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::{FunctionNames, Stream};

const MAGIC: [u8; 8] = *b"EBPFPROF";
const VERSION: u32 = 1;
/// No name is longer; a length beyond it is damage, and must not ask for memory.
const LONGEST_NAME: u32 = 1 << 20;

/// Why recorded messages could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EventFileError {
    /// The operating system refused.
    #[error("failed to access the recorded events `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// It is another kind of file.
    #[error("`{}` holds no recorded events", path.display())]
    NotEvents {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version.
    #[error("`{}` holds recorded events of version {version}; this program reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it names.
        version: u32,
    },
    /// It ends too early.
    #[error("`{}` ends in the middle of {inside}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is incomplete.
        inside: &'static str,
    },
    /// Something in it cannot be.
    #[error("`{}` is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A message or name is too large for the format.
    #[error("a {what} of {size} bytes does not fit the recorded events `{}`", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: usize,
    },
}

/// Writes recorded messages.
pub struct EventFileWriter<W: Write = BufWriter<File>> {
    writer: W,
    path: PathBuf,
}

impl EventFileWriter {
    /// Creates, or empties, the file `path`.
    pub fn create(path: &Path, names: &FunctionNames) -> Result<Self, EventFileError> {
        let file = File::create(path).map_err(|source| io_error(path, source))?;
        Self::new(BufWriter::with_capacity(1 << 18, file), path, names)
    }
}

impl<W: Write> EventFileWriter<W> {
    /// Writes to `writer`; `path` is what errors call it.
    pub fn new(writer: W, path: &Path, names: &FunctionNames) -> Result<Self, EventFileError> {
        let mut file = Self {
            writer,
            path: path.to_owned(),
        };
        file.write(&MAGIC)?;
        file.write(&VERSION.to_le_bytes())?;
        file.write(&(names.len() as u32).to_le_bytes())?;
        for name in names {
            file.write_text(&name.function)?;
            file.write_text(&name.object)?;
        }
        Ok(file)
    }

    /// Adds a message.
    pub fn message(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), EventFileError> {
        let too_large = |_| EventFileError::TooLarge {
            path: self.path.clone(),
            what: "message",
            size: bytes.len(),
        };
        let [low, high] = u16::try_from(bytes.len()).map_err(too_large)?.to_le_bytes();
        self.write(&[stream as u8, 0, low, high])?;
        self.write(bytes)
    }

    /// Writes what is left, and gives the writer back.
    pub fn finish(mut self) -> Result<W, EventFileError> {
        self.writer
            .flush()
            .map_err(|source| io_error(&self.path, source))?;
        Ok(self.writer)
    }

    fn write_text(&mut self, text: &str) -> Result<(), EventFileError> {
        let size = text.len();
        match u32::try_from(size) {
            Ok(length) if length <= LONGEST_NAME => self.write(&length.to_le_bytes())?,
            _ => {
                return Err(EventFileError::TooLarge {
                    path: self.path.clone(),
                    what: "name",
                    size,
                });
            }
        }
        self.write(text.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), EventFileError> {
        self.writer
            .write_all(bytes)
            .map_err(|source| io_error(&self.path, source))
    }
}

/// Reads recorded messages.
#[derive(Debug)]
pub struct EventFileReader<R: Read = BufReader<File>> {
    reader: R,
    path: PathBuf,
    names: FunctionNames,
    message: Vec<u8>,
}

impl EventFileReader {
    /// Opens the file `path`.
    pub fn open(path: &Path) -> Result<Self, EventFileError> {
        let file = File::open(path).map_err(|source| io_error(path, source))?;
        Self::new(BufReader::with_capacity(1 << 18, file), path)
    }
}

impl<R: Read> EventFileReader<R> {
    /// Reads from `reader`; `path` is what errors call it.
    pub fn new(reader: R, path: &Path) -> Result<Self, EventFileError> {
        let mut file = Self {
            reader,
            path: path.to_owned(),
            names: FunctionNames::new(),
            message: vec![],
        };
        let mut magic = [0; MAGIC.len()];
        if file.fill(&mut magic)? < magic.len() || magic != MAGIC {
            return Err(EventFileError::NotEvents {
                path: path.to_owned(),
            });
        }
        let version = file.number("its header")?;
        if version != VERSION {
            return Err(EventFileError::Version {
                path: path.to_owned(),
                version,
            });
        }
        for _ in 0..file.number("its header")? {
            let function = file.text()?;
            let object = file.text()?;
            file.names.push(function, &object);
        }
        Ok(file)
    }

    /// What the functions' numbers stand for.
    pub fn names(&self) -> &FunctionNames {
        &self.names
    }

    /// The next message; none at the end.
    pub fn next_message(&mut self) -> Result<Option<(Stream, &[u8])>, EventFileError> {
        let mut header = [0; 4];
        match self.fill(&mut header)? {
            0 => return Ok(None),
            4 => {}
            _ => return Err(self.truncated("a message")),
        }
        let [stream, _, low, high] = header;
        let Some(stream) = Stream::from_bits(stream) else {
            return Err(EventFileError::Damaged {
                path: self.path.clone(),
                what: "a message of no known stream",
            });
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        let mut message = std::mem::take(&mut self.message);
        message.resize(length, 0);
        let filled = self.fill(&mut message)?;
        self.message = message;
        if filled < length {
            return Err(self.truncated("a message"));
        }
        Ok(Some((stream, &self.message)))
    }

    fn number(&mut self, inside: &'static str) -> Result<u32, EventFileError> {
        let mut bytes = [0; 4];
        if self.fill(&mut bytes)? < bytes.len() {
            return Err(self.truncated(inside));
        }
        Ok(u32::from_le_bytes(bytes))
    }

    fn text(&mut self) -> Result<String, EventFileError> {
        let length = self.number("its names")?;
        if length > LONGEST_NAME {
            return Err(EventFileError::Damaged {
                path: self.path.clone(),
                what: "a name of more than a megabyte",
            });
        }
        let mut bytes = vec![0; length as usize];
        if self.fill(&mut bytes)? < bytes.len() {
            return Err(self.truncated("its names"));
        }
        let damaged = |_| EventFileError::Damaged {
            path: self.path.clone(),
            what: "a name that is not UTF-8",
        };
        String::from_utf8(bytes).map_err(damaged)
    }

    /// Fills `bytes` as far as the file goes; says how far that is.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize, EventFileError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(io_error(&self.path, source)),
            }
        }
        Ok(filled)
    }

    fn truncated(&self, inside: &'static str) -> EventFileError {
        EventFileError::Truncated {
            path: self.path.clone(),
            inside,
        }
    }
}

fn io_error(path: &Path, source: io::Error) -> EventFileError {
    EventFileError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::{EventFileError, EventFileReader, EventFileWriter, FunctionNames, Stream};
    use std::path::Path;

    fn names() -> FunctionNames {
        let mut names = FunctionNames::new();
        names.push("main", "demo");
        names.push("std::map<int, größe>::at", "demo");
        names.push("malloc", "libc.so.6");
        names
    }

    fn file() -> Vec<u8> {
        let mut writer = EventFileWriter::new(Vec::new(), Path::new("a.events"), &names()).unwrap();
        writer.message(Stream::Functions, &[1; 32]).unwrap();
        writer.message(Stream::Processes, &[2; 40]).unwrap();
        writer.message(Stream::Functions, &[]).unwrap();
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<(Stream, Vec<u8>)>, EventFileError> {
        let mut reader = EventFileReader::new(bytes, Path::new("a.events"))?;
        let mut messages = vec![];
        while let Some((stream, message)) = reader.next_message()? {
            messages.push((stream, message.to_vec()));
        }
        Ok(messages)
    }

    #[test]
    fn names_and_messages_come_back_as_they_were() {
        let bytes = file();
        assert_eq!(
            *EventFileReader::new(&bytes[..], Path::new("a.events"))
                .unwrap()
                .names(),
            names()
        );
        let expected = [
            (Stream::Functions, vec![1; 32]),
            (Stream::Processes, vec![2; 40]),
            (Stream::Functions, vec![]),
        ];
        assert_eq!(read(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_ends_behind_a_message() {
        let bytes = file();
        let ends = [
            bytes.len() - 4 - 44 - 36,
            bytes.len() - 4 - 44,
            bytes.len() - 4,
            bytes.len(),
        ];
        for length in 0..=bytes.len() {
            assert_eq!(
                read(&bytes[..length]).is_ok(),
                ends.contains(&length),
                "cut at {length}"
            );
        }
    }

    #[test]
    fn damage_never_panics() {
        let bytes = file();
        for position in 0..bytes.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[position] = value;
                let _ = read(&damaged);
            }
        }
    }

    #[test]
    fn other_files_and_versions_are_told_apart() {
        assert!(matches!(
            read(b"\x7fELF\x02\x01\x01"),
            Err(EventFileError::NotEvents { .. })
        ));
        let mut newer = file();
        newer[8] = 2;
        let error = read(&newer).unwrap_err();
        assert!(matches!(error, EventFileError::Version { version: 2, .. }));
        assert!(error.to_string().contains("`a.events`"));
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused() {
        let mut writer = EventFileWriter::new(Vec::new(), Path::new("a.events"), &names()).unwrap();
        let error = writer.message(Stream::Functions, &vec![0; 70_000]).unwrap_err();
        assert!(matches!(error, EventFileError::TooLarge { size: 70_000, .. }));
    }
}
