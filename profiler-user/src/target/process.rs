//! A process, as `/proc` shows it: which files it executes, and what stands in a profiler's way.
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::TargetError;
pub use super::mapped::{FileId, MappedFile};

/// What stands in a profiler's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// A debugger's process id.
    pub tracer: Option<u32>,
    /// It runs under seccomp.
    pub seccomp: bool,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id, as this process sees it.
    pub pid: u32,
    /// Its name.
    pub comm: String,
}

impl Process {
    /// The process of this id.
    pub fn open(pid: u32) -> Result<Self, TargetError> {
        let status = match read(pid, "status") {
            Ok(status) => status,
            Err(TargetError::Ended { .. }) => return Err(TargetError::NoSuchProcess { pid }),
            Err(error) => return Err(error),
        };
        if let Some(tgid) = field(&status, "Tgid:").and_then(|tgid| tgid.parse().ok())
            && tgid != pid
        {
            return Err(TargetError::Thread { tid: pid, pid: tgid });
        }
        let comm = field(&status, "Name:").unwrap_or_default().to_owned();
        Ok(Self { pid, comm })
    }

    /// What stands in a profiler's way.
    pub fn circumstances(&self) -> Result<Circumstances, TargetError> {
        let status = read(self.pid, "status")?;
        Ok(circumstances_in(&status))
    }

    /// Whether it is there no more.
    pub fn has_ended(&self) -> bool {
        !is_alive(self.pid)
    }

    /// A warning where somebody else debugs it.
    pub fn debugged(&self, circumstances: &Circumstances) -> Option<String> {
        let tracer = circumstances
            .tracer
            .filter(|tracer| *tracer != std::process::id())?;
        Some(format!(
            "process {} is being debugged (TracerPid {tracer}): its breakpoints and ours share bytes, results may differ",
            self.pid
        ))
    }

    /// The file of one of its executable mappings; none where it is there no more, or has no file.
    pub fn mapped_file(&self, start: u64, length: u64) -> Option<MappedFile> {
        let range = format!("{start:x}-{:x}", start.checked_add(length)?);
        let attach_path = PathBuf::from(format!("/proc/{}/map_files/{range}", self.pid));
        let id = FileId::of_plain(&attach_path).ok()?;
        let path = std::fs::read_link(&attach_path).ok()?;
        let path = path
            .to_str()
            .and_then(|path| path.strip_suffix(" (deleted)"))
            .map_or_else(|| path.clone(), PathBuf::from);
        let main = FileId::of(&PathBuf::from(format!("/proc/{}/exe", self.pid))).ok();
        Some(MappedFile {
            id,
            attach_path,
            path,
            is_main: main == Some(id),
            pid: self.pid,
            held: None,
        })
    }

    /// A file by its path in the process's own view, mapped or not.
    pub fn file_at(&self, path: &Path) -> Option<MappedFile> {
        MappedFile::below_root(self.pid, path).ok()
    }

    /// The folders in which its dynamic linker looks first: `LD_LIBRARY_PATH` as it was started with, and the folder of
    /// its program.
    pub fn library_folders(&self) -> Vec<PathBuf> {
        let environment = read(self.pid, "environ").unwrap_or_default();
        let path = environment
            .split('\0')
            .find_map(|variable| variable.strip_prefix("LD_LIBRARY_PATH="));
        let mut folders: Vec<PathBuf> = path
            .into_iter()
            .flat_map(|path| path.split(':'))
            .filter(|folder| folder.starts_with('/'))
            .map(PathBuf::from)
            .collect();
        let program = std::fs::read_link(format!("/proc/{}/exe", self.pid)).ok();
        folders.extend(program.and_then(|program| program.parent().map(Path::to_owned)));
        folders
    }

    /// The files that it has mapped executable, each once, the program first.
    pub fn mapped_files(&self) -> Result<Vec<MappedFile>, TargetError> {
        let pid = self.pid;
        let maps = read(pid, "maps")?;
        let main = FileId::of(&PathBuf::from(format!("/proc/{pid}/exe"))).ok();
        let mut seen = HashSet::new();
        let mut files: Vec<MappedFile> = maps
            .lines()
            .filter_map(|line| mapped_file(pid, line, main))
            .filter(|file| seen.insert(file.id))
            .collect();
        files.sort_by_key(|file| !file.is_main);
        if files.is_empty() {
            return Err(TargetError::NoProgram {
                pid,
                comm: self.comm.clone(),
            });
        }
        Ok(files)
    }

    /// A descriptor that becomes readable when the process ends.
    pub fn end_notice(&self) -> Result<OwnedFd, TargetError> {
        let Self { pid, comm: _ } = *self;
        // SAFETY: plain numbers; the kernel returns a new descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
        if fd < 0 {
            return Err(TargetError::Ended { pid });
        }
        // SAFETY: the descriptor is new and ours.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
    }
}

/// When a process started, in clock ticks since the boot: tells it from another one with the same id.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = read(pid, "stat").ok()?;
    // Field 22; the name may hold anything but is in parentheses, and the third field follows it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Waits for what [`Process::end_notice`] tells, within the event loop.
pub fn watch_end(notice: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor moves into the registration, which keeps it open and is all that uses it.
    Ok(unsafe { AsyncFd::register_with_interest(notice, Interest::READABLE) }?)
}

/// Whether a child that we have not waited for is no zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold anything but is in parentheses.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// The ids of all processes.
pub(super) fn ids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// How many processes, beside some, map each of these files executable. By file name.
pub fn mapping(files: &BTreeMap<String, FileId>, beside: &BTreeSet<u32>) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for pid in ids().into_iter().filter(|pid| !beside.contains(pid)) {
        let maps = read(pid, "maps").unwrap_or_default();
        let mut seen = BTreeSet::new();
        for line in maps.lines() {
            let name = line.rsplit('/').next().unwrap_or_default();
            let Some((name, id)) = files.get_key_value(name) else {
                continue;
            };
            let maps_it = mapped_file(pid, line, None).is_some_and(|file| file.id == *id);
            if maps_it && seen.insert(name) {
                *found.entry(name.clone()).or_default() += 1;
            }
        }
    }
    found
}

/// The text of `/proc/PID/FILE`.
pub(super) fn read(pid: u32, file: &'static str) -> Result<String, TargetError> {
    match std::fs::read(format!("/proc/{pid}/{file}")) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            Err(TargetError::Ended { pid })
        }
        Err(source) => Err(TargetError::Read { pid, file, source }),
    }
}

/// The value behind a name in `/proc/PID/status`.
pub(super) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn circumstances_in(status: &str) -> Circumstances {
    let number = |name| {
        field(status, name)
            .and_then(|value| value.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let tracer = number("TracerPid:");
    Circumstances {
        tracer: (tracer != 0).then_some(tracer),
        seccomp: number("Seccomp:") != 0,
    }
}

/// The file of a line of `maps`, if it is executable and has one.
fn mapped_file(pid: u32, line: &str, main: Option<FileId>) -> Option<MappedFile> {
    let Mapping {
        range,
        path,
        is_deleted,
    } = executable_mapping(line)?;
    let through_map = PathBuf::from(format!("/proc/{pid}/map_files/{range}"));
    // `map_files` needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE, and names deleted files too.
    let file = match FileId::of_plain(&through_map) {
        Ok(id) => MappedFile {
            id,
            attach_path: through_map,
            path: PathBuf::from(path),
            is_main: false,
            pid,
            held: None,
        },
        // Another file may have taken the place of one that was deleted.
        Err(_) if is_deleted => return None,
        Err(_) => MappedFile::below_root(pid, Path::new(path)).ok()?,
    };
    Some(MappedFile {
        is_main: main == Some(file.id),
        ..file
    })
}

struct Mapping<'a> {
    range: &'a str,
    path: &'a str,
    is_deleted: bool,
}

/// `start-end perms offset device inode path`; the path may hold spaces.
fn executable_mapping(line: &str) -> Option<Mapping<'_>> {
    let mut rest = line;
    let mut next = || {
        let (word, behind) = rest.trim_start().split_once(' ')?;
        rest = behind;
        Some(word)
    };
    let (range, mode) = (next()?, next()?);
    let (_offset, _device, inode) = (next()?, next()?, next()?);
    let path = rest.trim_start();
    let deleted = path.strip_suffix(" (deleted)");
    let has_file = inode != "0" && path.starts_with('/');
    (mode.as_bytes().get(2) == Some(&b'x') && has_file).then_some(Mapping {
        range,
        path: deleted.unwrap_or(path),
        is_deleted: deleted.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, FileId, Process, circumstances_in, executable_mapping};
    use crate::target::TargetError;

    #[test]
    fn only_executable_mappings_of_files_count_and_paths_may_hold_spaces() {
        let path = |line| executable_mapping(line).map(|mapping| (mapping.range, mapping.path));
        let line = "7f00-7f10 r-xp 00001000 fe:00 123      /opt/my lib/a b.so";
        assert_eq!(path(line), Some(("7f00-7f10", "/opt/my lib/a b.so")));
        let deleted = "7f00-7f10 r-xp 00001000 fe:00 123      /opt/x (deleted)";
        assert_eq!(path(deleted), Some(("7f00-7f10", "/opt/x")));
        let is_deleted = |line| executable_mapping(line).map(|mapping| mapping.is_deleted);
        assert_eq!((is_deleted(line), is_deleted(deleted)), (Some(false), Some(true)));
        for line in [
            "7f00-7f10 r--p 00001000 fe:00 123      /opt/x",
            "7ffc-7ffd r-xp 00000000 00:00 0        [vdso]",
            "7ffc-7ffd r-xp 00000000 00:00 0 ",
            "",
            "7ffc",
        ] {
            assert_eq!(path(line), None, "{line}");
        }
    }

    #[test]
    fn a_debugger_and_seccomp_are_seen() {
        let status = "Name:\tx\nTracerPid:\t42\nSeccomp:\t2\n";
        assert_eq!(
            circumstances_in(status),
            Circumstances {
                tracer: Some(42),
                seccomp: true
            }
        );
        assert_eq!(
            circumstances_in("TracerPid:\t0\nSeccomp:\t0\n"),
            Circumstances::default()
        );
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Process::open(u32::MAX >> 1).unwrap_err();
        assert!(matches!(error, TargetError::NoSuchProcess { .. }), "{error}");
    }

    #[test]
    fn a_file_by_its_path_is_a_plain_file_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("plain"), "x").unwrap();
        std::os::unix::fs::symlink(path("plain"), path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("device")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status();
        assert!(made.unwrap().success());
        let process = Process::open(std::process::id()).unwrap();
        let id = FileId::of(&path("plain")).unwrap();
        for name in ["plain", "link"] {
            let file = process.file_at(&path(name)).unwrap();
            assert_eq!((file.id, &file.path), (id, &path(name)));
            assert_eq!(file.root(), Some(format!("/proc/{}/root", process.pid).into()));
        }
        // It stays the same file, whatever comes to lie at the path.
        let file = process.file_at(&path("link")).unwrap();
        std::fs::rename(path("plain"), path("moved")).unwrap();
        std::fs::write(path("plain"), "y").unwrap();
        assert_eq!(FileId::of(&file.attach_path).unwrap(), id);
        for name in ["device", "pipe", "none", ""] {
            assert_eq!(process.file_at(&path(name)), None, "{name}");
        }
    }

    #[test]
    fn the_program_comes_first_among_the_files_of_this_process() {
        let process = Process::open(std::process::id()).unwrap();
        let files = process.mapped_files().unwrap();
        assert!(files[0].is_main);
        assert!(files.iter().skip(1).all(|file| !file.is_main));
    }
}
