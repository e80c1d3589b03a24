//! What this kernel and this user can do: found out by trying, not by asking for a version.
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::util::KernelVersion;
use aya_obj::generated::bpf_func_id;

use super::AttachMode;
use super::calibrate::{self, OwnFunction};
use super::error::KernelError;
use super::program::{has_helper, load_empty};
use super::syscall::{self, MultiKind, MultiTarget, UprobePmu};

/// The capabilities that the profiler needs, with their numbers (include/uapi/linux/capability.h).
const NEEDED: [(&str, u32); 3] = [("CAP_SYS_PTRACE", 19), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
const CAP_SYS_ADMIN: u32 = 21;

/// The effective capabilities of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Reads them from `/proc/self/status`.
    pub fn current() -> Result<Self, KernelError> {
        let path = PathBuf::from("/proc/self/status");
        let status = std::fs::read_to_string(&path);
        let status = status.map_err(|source| KernelError::Read { path, source })?;
        let bits = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        Ok(Self(bits.unwrap_or(0)))
    }

    fn has(self, number: u32) -> bool {
        self.0 >> number & 1 == 1
    }

    /// What the profiler needs, by name, and whether it is there. `CAP_SYS_ADMIN` stands for the newer two.
    pub fn needed(self) -> impl Iterator<Item = (&'static str, bool)> {
        let admin = self.has(CAP_SYS_ADMIN);
        NEEDED.into_iter().map(move |(name, number)| {
            let covered = admin && name != "CAP_SYS_PTRACE";
            (name, covered || self.has(number))
        })
    }

    /// Whether perf-event uprobes are allowed: they need `CAP_SYS_ADMIN` too.
    fn has_admin(self) -> bool {
        self.has(CAP_SYS_ADMIN)
    }

    /// An error that names what is missing.
    pub fn check(self) -> Result<(), KernelError> {
        let missing: Vec<_> = self
            .needed()
            .filter_map(|(name, has)| (!has).then_some(name))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(KernelError::MissingCapabilities { missing })
        }
    }
}

/// The uprobe PMU, which perf-event uprobes are opened through.
pub(super) fn uprobe_pmu() -> io::Result<UprobePmu> {
    let folder = Path::new("/sys/bus/event_source/devices/uprobe");
    let invalid = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "unexpected form of the uprobe PMU in sysfs",
        )
    };
    let kind = std::fs::read_to_string(folder.join("type"))?;
    let format = std::fs::read_to_string(folder.join("format/retprobe"))?;
    Ok(UprobePmu {
        kind: kind.trim().parse().ok().ok_or_else(invalid)?,
        return_bit: format
            .trim()
            .strip_prefix("config:")
            .and_then(|bit| bit.parse().ok())
            .ok_or_else(invalid)?,
    })
}

/// Tries a mode on a function of our own.
pub fn try_mode(mode: AttachMode) -> Result<(), KernelError> {
    if mode == AttachMode::PerfEvent && !Capabilities::current()?.has_admin() {
        let missing = vec!["CAP_SYS_ADMIN"];
        return Err(KernelError::MissingCapabilities { missing });
    }
    let function = OwnFunction::cheap()?;
    let (program, _link) =
        attach_empty(mode, &function).map_err(|source| KernelError::ModeUnsupported { mode, source })?;
    if mode == AttachMode::Multi && !sees_all_threads(program.as_fd(), &function) {
        return Err(KernelError::FirstThreadOnly);
    }
    Ok(())
}

/// Whether a multi link to a process sees all of its threads. Until 6.6.35, 6.9.5 and 6.10 it saw the first one alone;
/// the kernels that were mended refuse a negative process id as invalid, the others look for it
/// (`bpf_uprobe_multi_link_attach`, `kernel/trace/bpf_trace.c`).
fn sees_all_threads(program: BorrowedFd<'_>, function: &OwnFunction) -> bool {
    let target = MultiTarget {
        path: calibrate::OWN_PATH,
        offsets: &[function.offset],
        cookies: &[0],
        pid: u32::MAX,
    };
    let refused = syscall::link_multi(program, MultiKind::Entry, &target).err();
    refused.is_some_and(|error| error.raw_os_error() == Some(libc::EINVAL))
}

/// Attaches the empty program to a function of our own: entry and return in a session, the entry alone otherwise.
pub(super) fn attach_empty(mode: AttachMode, function: &OwnFunction) -> io::Result<(OwnedFd, OwnedFd)> {
    let target = MultiTarget {
        path: calibrate::OWN_PATH,
        offsets: &[function.offset],
        cookies: &[0],
        pid: std::process::id(),
    };
    attach_empty_to(mode, &target)
}

/// Attaches the empty program to a place of a file in a process.
pub(super) fn attach_empty_to(mode: AttachMode, target: &MultiTarget<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let program = load_empty(mode)?;
    let link = match mode {
        AttachMode::Session => syscall::link_multi(program.as_fd(), MultiKind::Session, target)?,
        AttachMode::Multi => syscall::link_multi(program.as_fd(), MultiKind::Entry, target)?,
        AttachMode::PerfEvent => {
            let event = syscall::open_uprobe(
                uprobe_pmu()?,
                target.path,
                target.offsets[0],
                Some(target.pid),
                false,
            )?;
            syscall::link_perf_event(program.as_fd(), event.as_fd(), 0)?
        }
    };
    Ok((program, link))
}

/// The best mode of this kernel, or the one that was asked for.
pub fn choose_mode(wanted: Option<AttachMode>) -> Result<AttachMode, KernelError> {
    check_lockdown()?;
    if let Some(mode) = wanted {
        return try_mode(mode).map(|()| mode);
    }
    let mode = AttachMode::ALL.into_iter().find(|mode| try_mode(*mode).is_ok());
    mode.ok_or(KernelError::Unsupported)
}

/// An error where the kernel's lockdown forbids what the programs do: `confidentiality` forbids `bpf_probe_read_kernel`
/// (`LOCKDOWN_BPF_READ_KERNEL`, security/security.c).
pub fn check_lockdown() -> Result<(), KernelError> {
    let text = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    match lockdown_level(&text) {
        Some("confidentiality") => Err(KernelError::LockedDown {
            level: "confidentiality".to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// The level in force: `none [integrity] confidentiality`.
fn lockdown_level(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(level, _)| level)
}

/// Whether the kernel has CVE-2025-21834: the `uretprobe` system call under seccomp. 6.11–6.12.13 and 6.13–6.13.2.
pub fn has_return_probe_defect() -> bool {
    let Ok(version) = KernelVersion::current() else {
        return false;
    };
    let within = |from: (u8, u8, u16), to: (u8, u8, u16)| {
        version >= KernelVersion::new(from.0, from.1, from.2)
            && version < KernelVersion::new(to.0, to.1, to.2)
    };
    within((6, 11, 0), (6, 12, 14)) || within((6, 13, 0), (6, 13, 3))
}

/// Whether process ids mean the same to us and to the kernel side: in a pid namespace of our own they do not. The first
/// namespace's inode is fixed (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
pub fn sees_host_pids() -> bool {
    const FIRST: &str = "pid:[4026531836]";
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name.as_os_str() == FIRST)
}

/// Lets this process have as many open files as it may: each file that a target maps, and each end that is watched, takes
/// one. To be called when a command that was started has its limits already.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls read or write the structure, which outlives them. Where they fail, there are fewer files.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Whether the helper `bpf_loop` is there (5.17, and older kernels of distributions that took it over).
pub fn has_loop() -> bool {
    has_helper(bpf_func_id::BPF_FUNC_loop)
}

#[cfg(test)]
mod tests {
    use super::lockdown_level;

    #[test]
    fn the_level_of_the_lockdown_is_the_one_in_brackets() {
        assert_eq!(
            lockdown_level("none integrity [confidentiality]\n"),
            Some("confidentiality")
        );
        assert_eq!(lockdown_level("[none] integrity confidentiality\n"), Some("none"));
        assert_eq!(lockdown_level(""), None);
    }
}
