//! Files that processes execute, and the processes' roots that their paths are meant in.
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::rooted::{self, Root};

/// Which file, whatever its path: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Major and minor number of the device, inode: as the kernel's messages have it.
    pub fn numbers(self) -> (u32, u32, u64) {
        (libc::major(self.device), libc::minor(self.device), self.inode)
    }

    /// The file behind `path`.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// The same, of a plain file; an error for anything else. The file is not opened.
    pub(super) fn of_plain(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// An open file.
    pub fn of_file(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// A file that a process has mapped executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// Which file.
    pub id: FileId,
    /// A path that names the very file that is mapped, whatever the mount namespace, deleted or not.
    pub attach_path: PathBuf,
    /// The path in the process's own view.
    pub path: PathBuf,
    /// It is the program itself.
    pub is_main: bool,
    /// A process that sees it.
    pub(super) pid: u32,
    /// Keeps `attach_path` good, where that is the path of a descriptor.
    pub(super) held: Option<Held>,
}

/// A descriptor that names a file.
#[derive(Clone, Debug)]
pub(super) struct Held(Arc<File>);

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Held {}

/// The root that a process has, whatever lies below it.
pub(super) fn root_of(pid: u32) -> Root {
    Root::new(PathBuf::from(format!("/proc/{pid}/root")))
}

impl MappedFile {
    /// The plain file at a path below the root of a process.
    pub(super) fn below_root(pid: u32, path: &Path) -> io::Result<Self> {
        let file = root_of(pid).find_plain(path)?;
        Ok(Self {
            id: FileId::of_file(&file)?,
            attach_path: rooted::path_of(&file),
            path: path.to_owned(),
            is_main: false,
            pid,
            held: Some(Held(Arc::new(file))),
        })
    }

    /// The root of the file system in which the process sees it.
    pub fn root(&self) -> Option<PathBuf> {
        Some(PathBuf::from(format!("/proc/{}/root", self.pid)))
    }
}
