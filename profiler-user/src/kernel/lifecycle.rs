//! What happens to processes, told by the kernel: forks, executions, executable mappings, ends.
//!
//! A perf event that counts nothing on each CPU, with a ring of its own (`include/uapi/linux/perf_event.h`). Unlike
//! tracepoints of system calls it costs nothing where nothing happens, and needs no tracing file system. Rings of different
//! CPUs have no common order: what is made of these messages must not depend on it.
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::load::possible_cpus;
use super::ring::Waker;
use super::syscall;

/// Bytes of one ring: some hundreds of messages.
const RING: usize = 1 << 17;
const PAGE: usize = 4096;
/// Where `struct perf_event_mmap_page` has the ring's head and tail.
const HEAD: usize = 1024;
const TAIL: usize = 1032;
/// Bytes of a record's header, and record types.
const HEADER: usize = 8;
const LOST: u32 = 2;
const COMM: u32 = 3;
const EXIT: u32 = 4;
const FORK: u32 = 7;
const MMAP2: u32 = 10;
/// A name that changed because a program was executed.
const COMM_EXEC: u16 = 1 << 13;
/// Where a mapping's record has the path.
const MMAP2_PATH: usize = 72;

/// Something happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifeEvent {
    /// `parent` made the process `child`.
    Forked {
        /// Who forked.
        parent: u32,
        /// The new process.
        child: u32,
    },
    /// The process runs another program now. Its files follow as mappings.
    Executed {
        /// The process.
        pid: u32,
    },
    /// A process mapped a file executable.
    Mapped(Mapping),
    /// A process's first thread ended: the process has, or soon will.
    Ended {
        /// The process.
        pid: u32,
    },
    /// So many messages found no room: whoever needs them all must look for himself.
    Missed(u64),
}

/// A file that was mapped executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The process.
    pub pid: u32,
    /// Where.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// Which file, as the kernel says it here: on some file systems not what `stat` says.
    pub file: MappedInode,
    /// Where in the file it begins.
    pub offset: u64,
    /// The file, as the process sees it.
    pub path: PathBuf,
    /// Return probes were suspended for it, until it has been looked at.
    pub suspends: bool,
}

/// A file: major and minor number of the device, inode.
pub type MappedInode = (u32, u32, u64);

/// The messages of all CPUs.
#[derive(Debug)]
pub struct Lifecycle {
    rings: Vec<CpuRing>,
}

impl Lifecycle {
    /// Begins to listen. Fails where perf events are not allowed.
    pub fn listen() -> io::Result<Self> {
        let mut rings = Vec::new();
        for cpu in 0..possible_cpus() {
            match syscall::open_lifecycle(cpu) {
                Ok(event) => rings.push(CpuRing::new(event)?),
                // The CPU is not there now.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { rings })
    }

    /// Waits for messages, for the waker, or for the end of `timeout`.
    pub fn wait(&self, waker: &Waker, timeout: Duration) {
        let poll = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds: Vec<libc::pollfd> = self
            .rings
            .iter()
            .map(|ring| poll(ring.event.as_raw_fd()))
            .collect();
        fds.push(poll(waker.as_raw_fd()));
        // SAFETY: the array outlives the call. An error means a shorter wait.
        unsafe {
            libc::poll(
                fds.as_mut_ptr(),
                fds.len() as libc::nfds_t,
                timeout.as_millis() as libc::c_int,
            )
        };
    }

    /// Takes all that waits.
    pub fn drain(&mut self, mut tell: impl FnMut(LifeEvent)) {
        for ring in &mut self.rings {
            ring.drain(&mut tell);
        }
    }
}

/// The messages of one CPU.
#[derive(Debug)]
struct CpuRing {
    event: OwnedFd,
    base: NonNull<u8>,
    record: Vec<u8>,
}

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for CpuRing {}

impl CpuRing {
    fn new(event: OwnedFd) -> io::Result<Self> {
        // SAFETY: a new shared mapping of a perf event, one page and a power of two of pages long.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE + RING,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            event,
            base,
            record: Vec::new(),
        })
    }

    fn position(&self, at: usize) -> &AtomicU64 {
        // SAFETY: an aligned word of the mapping's first page, which the kernel accesses atomically.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(at).cast()) }
    }

    fn copy(&mut self, from: u64, length: usize) {
        self.record.clear();
        for offset in 0..length as u64 {
            let at = PAGE + ((from + offset) as usize & (RING - 1));
            // SAFETY: within the mapping; the kernel writes no byte between tail and head.
            self.record.push(unsafe { self.base.as_ptr().add(at).read() });
        }
    }

    fn drain(&mut self, tell: &mut impl FnMut(LifeEvent)) {
        let head = self.position(HEAD).load(Ordering::Acquire);
        let mut tail = self.position(TAIL).load(Ordering::Relaxed);
        while head.wrapping_sub(tail) >= HEADER as u64 {
            self.copy(tail, HEADER);
            let size = u16::from_ne_bytes([self.record[6], self.record[7]]);
            if usize::from(size) < HEADER {
                tail = head;
                break;
            }
            self.copy(tail, size.into());
            tail += u64::from(size);
            if let Some(event) = decode(&self.record) {
                tell(event);
            }
        }
        self.position(TAIL).store(tail, Ordering::Release);
    }
}

impl Drop for CpuRing {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and nobody else has it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), PAGE + RING) };
    }
}

fn decode(record: &[u8]) -> Option<LifeEvent> {
    let word = |at: usize| {
        let bytes = record.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let long = |at: usize| {
        let bytes = record.get(at..at + 8)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    };
    let misc = u16::from_ne_bytes([*record.get(4)?, *record.get(5)?]);
    let pid = word(HEADER)?;
    match word(0)? {
        FORK => {
            let (parent, tid) = (word(12)?, word(16)?);
            // A new thread belongs to its parent's process.
            (pid != parent && pid == tid).then_some(LifeEvent::Forked { parent, child: pid })
        }
        EXIT => (word(16)? == pid).then_some(LifeEvent::Ended { pid }),
        COMM => (misc & COMM_EXEC != 0).then_some(LifeEvent::Executed { pid }),
        MMAP2 => {
            // Anonymous code has no file: `//anon`, `[vdso]`.
            let path = record.get(MMAP2_PATH..MMAP2_PATH + 2)?;
            let in_file = path[0] == b'/' && path[1] != b'/';
            if !in_file {
                return None;
            }
            Some(LifeEvent::Mapped(Mapping {
                pid,
                start: long(16)?,
                length: long(24)?,
                offset: long(32)?,
                file: (word(40)?, word(44)?, long(48)?),
                path: path_of(&record[MMAP2_PATH..]),
                suspends: false,
            }))
        }
        LOST => Some(LifeEvent::Missed(long(16)?)),
        _ => None,
    }
}

/// A path of a record, which is padded with zeros.
fn path_of(bytes: &[u8]) -> PathBuf {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    OsStr::from_bytes(&bytes[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::{COMM, EXIT, FORK, LOST, LifeEvent, MMAP2, Mapping, decode};

    fn record(kind: u32, misc: u16, body: &[u8]) -> Vec<u8> {
        let size = 8 + body.len() as u16;
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.extend(misc.to_ne_bytes());
        bytes.extend(size.to_ne_bytes());
        bytes.extend(body);
        bytes
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn new_processes_are_told_and_new_threads_are_not() {
        let child = record(FORK, 0, &words(&[12, 7, 12, 7, 0, 0]));
        let forked = LifeEvent::Forked { parent: 7, child: 12 };
        assert_eq!(decode(&child), Some(forked));
        let thread = record(FORK, 0, &words(&[7, 7, 13, 7, 0, 0]));
        assert_eq!(decode(&thread), None);
    }

    #[test]
    fn a_new_name_is_an_execution_only_where_the_kernel_says_so() {
        let body = [words(&[7, 7]), b"sh\0\0\0\0\0\0".to_vec()].concat();
        assert_eq!(decode(&record(COMM, 0, &body)), None);
        let executed = LifeEvent::Executed { pid: 7 };
        assert_eq!(decode(&record(COMM, 1 << 13, &body)), Some(executed));
    }

    #[test]
    fn mappings_of_files_are_told_and_anonymous_code_is_not() {
        let mapping = |path: &[u8]| {
            let mut body = words(&[7, 8]);
            for long in [0x1000_u64, 0x2000, 0] {
                body.extend(long.to_ne_bytes());
            }
            // Device, inode, its generation, protection and flags.
            body.extend(words(&[8, 1, 99, 0, 0, 0, 5, 2]));
            body.extend(path);
            record(MMAP2, 0, &body)
        };
        assert_eq!(
            decode(&mapping(b"/lib/x.so\0\0\0")),
            Some(LifeEvent::Mapped(Mapping {
                pid: 7,
                start: 0x1000,
                length: 0x2000,
                offset: 0,
                file: (8, 1, 99),
                path: "/lib/x.so".into(),
                suspends: false,
            }))
        );
        assert_eq!(decode(&mapping(b"//anon\0\0")), None);
        assert_eq!(decode(&mapping(b"[vdso]\0\0")), None);
    }

    #[test]
    fn the_end_of_a_first_thread_is_the_end_of_its_process() {
        assert_eq!(decode(&record(EXIT, 0, &words(&[7, 1, 8, 1, 0, 0]))), None);
        let end = record(EXIT, 0, &words(&[7, 1, 7, 1, 0, 0]));
        assert_eq!(decode(&end), Some(LifeEvent::Ended { pid: 7 }));
    }

    #[test]
    fn what_found_no_room_is_counted_and_short_records_mean_nothing() {
        let lost = record(LOST, 0, &words(&[1, 0, 5, 0]));
        assert_eq!(decode(&lost), Some(LifeEvent::Missed(5)));
        let whole = record(MMAP2, 0, &words(&[7, 8]));
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]), None);
        }
    }
}
