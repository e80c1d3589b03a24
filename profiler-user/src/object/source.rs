//! The bytes of a file, read piece by piece.
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use object::read::ReadCache;

use crate::rooted;

/// Where a file's bytes come from.
#[derive(Debug)]
pub(super) enum Source {
    Memory(Vec<u8>),
    File(File),
}

impl Source {
    /// Opens a file that somebody else may have named: never waits for a pipe's other end, and takes plain files only.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        rooted::open_plain(path).map(Self::File)
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).ok()?;
                buffer.copy_from_slice(bytes.get(start..start.checked_add(buffer.len())?)?);
                Some(())
            }
            Self::File(file) => file.read_exact_at(buffer, offset).ok(),
        }
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.metadata().map_or(0, |metadata| metadata.len()),
        }
    }

    /// Allocates no more than the file can fill.
    pub(super) fn read(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        if offset.checked_add(length)? > self.length() {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.read_at(offset, &mut bytes)?;
        Some(bytes)
    }
}

/// A view of a file, for the crate `object`. Each has a position of its own: threads may look at one file at once, whose
/// own position they would share.
#[derive(Debug)]
pub(super) struct View<'a> {
    file: &'a File,
    position: u64,
}

/// A view of the file that keeps what was read until it goes.
pub(super) fn view(file: &File) -> ReadCache<View<'_>> {
    ReadCache::new(View { file, position: 0 })
}

impl Read for View<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for View<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.file.metadata()?.len().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
