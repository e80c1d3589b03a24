//! What a probe costs on this machine: measured on functions of our own, with a program that does nothing.
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::AttachMode;
use super::capability::{self, attach_empty};
use super::error::KernelError;
use super::syscall::MultiTarget;

/// Our own program file, as the kernel is told.
pub(super) const OWN_PATH: &CStr = c"/proc/self/exe";
/// Calls per batch, and batches: the fastest batch counts.
const CALLS: u32 = 250;
const BATCHES: u32 = 4;

/// Times of a hit with an empty program, ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeCost {
    /// The probed instruction is emulated.
    pub emulated_ns: f64,
    /// The probed instruction is single-stepped.
    pub single_stepped_ns: f64,
    /// Entry on an emulated instruction, and return. `None`: this kernel has no sessions.
    pub entry_and_return_ns: Option<f64>,
}

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl ebpf_prof_calibrate_cheap",
    ".type ebpf_prof_calibrate_cheap, @function",
    "ebpf_prof_calibrate_cheap: push rbp",
    "pop rbp",
    "ret",
    ".size ebpf_prof_calibrate_cheap, . - ebpf_prof_calibrate_cheap",
    ".globl ebpf_prof_calibrate_stepped",
    ".type ebpf_prof_calibrate_stepped, @function",
    "ebpf_prof_calibrate_stepped: mov eax, edi",
    "ret",
    ".size ebpf_prof_calibrate_stepped, . - ebpf_prof_calibrate_stepped",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".globl ebpf_prof_calibrate_cheap",
    "ebpf_prof_calibrate_cheap: nop",
    "ret",
    ".globl ebpf_prof_calibrate_stepped",
    "ebpf_prof_calibrate_stepped: mov w0, w1",
    "ret",
);

unsafe extern "C" {
    safe fn ebpf_prof_calibrate_cheap();
    safe fn ebpf_prof_calibrate_stepped();
}

/// A function of this program that can be probed.
pub(super) struct OwnFunction {
    call: extern "C" fn(),
    /// Its offset in our file.
    pub(super) offset: u64,
}

impl OwnFunction {
    /// Starts with an instruction that the kernel emulates.
    pub(super) fn cheap() -> Result<Self, KernelError> {
        Self::find(ebpf_prof_calibrate_cheap)
    }

    /// Starts with an instruction that the kernel single-steps.
    pub(super) fn stepped() -> Result<Self, KernelError> {
        Self::find(ebpf_prof_calibrate_stepped)
    }

    fn find(call: extern "C" fn()) -> Result<Self, KernelError> {
        let path = PathBuf::from("/proc/self/maps");
        let maps = std::fs::read_to_string(&path);
        let maps = maps.map_err(|source| KernelError::Read {
            path: path.clone(),
            source,
        })?;
        let address = call as *const () as u64;
        let offset = maps.lines().find_map(|line| file_offset(line, address));
        let not_found = io::Error::new(
            io::ErrorKind::NotFound,
            "no mapping holds the calibration function",
        );
        Ok(Self {
            call,
            offset: offset.ok_or(KernelError::Read {
                path,
                source: not_found,
            })?,
        })
    }

    /// ns per call, the best of some batches.
    fn time(&self) -> f64 {
        let batch = || {
            let start = Instant::now();
            for _ in 0..CALLS {
                (self.call)();
            }
            start.elapsed().as_nanos() as f64 / f64::from(CALLS)
        };
        (0..BATCHES).map(|_| batch()).fold(f64::INFINITY, f64::min)
    }
}

/// Where `address` lies in the file that a line of `/proc/PID/maps` tells of.
fn file_offset(line: &str, address: u64) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let (range, _mode, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let (start, end) = range.split_once('-')?;
    let parse = |hex| u64::from_str_radix(hex, 16).ok();
    let (start, end) = (parse(start)?, parse(end)?);
    (start..end)
        .contains(&address)
        .then(|| Some(address - start + parse(offset)?))?
}

/// Measures. Takes some tens of milliseconds. `mode` is one that this kernel has.
pub fn measure(mode: AttachMode) -> Result<ProbeCost, KernelError> {
    let (cheap, stepped) = (OwnFunction::cheap()?, OwnFunction::stepped()?);
    let entry = match mode {
        AttachMode::Session | AttachMode::Multi => AttachMode::Multi,
        AttachMode::PerfEvent => AttachMode::PerfEvent,
    };
    let timed = |mode, function: &OwnFunction| {
        let _attached =
            attach_empty(mode, function).map_err(|source| KernelError::ModeUnsupported { mode, source })?;
        Ok::<_, KernelError>(function.time())
    };
    Ok(ProbeCost {
        emulated_ns: timed(entry, &cheap)?,
        single_stepped_ns: timed(entry, &stepped)?,
        entry_and_return_ns: match mode {
            AttachMode::Session => Some(timed(mode, &cheap)?),
            AttachMode::Multi | AttachMode::PerfEvent => None,
        },
    })
}

/// A probe whose program does nothing, in place until it is dropped.
#[derive(Debug)]
pub struct EmptyProbe {
    _program: OwnedFd,
    _link: OwnedFd,
}

/// Attaches a program that does nothing to one place of a file in a process: what any probe there costs at least.
/// Entry and return in a session, the entry alone otherwise.
pub fn attach_empty_to(
    mode: AttachMode,
    path: &Path,
    offset: u64,
    pid: u32,
) -> Result<EmptyProbe, KernelError> {
    let c_path = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    let target = MultiTarget {
        path: &c_path,
        offsets: &[offset],
        cookies: &[0],
        pid,
    };
    match capability::attach_empty_to(mode, &target) {
        Ok((program, link)) => Ok(EmptyProbe {
            _program: program,
            _link: link,
        }),
        Err(source) => Err(KernelError::Attach {
            path: path.to_owned(),
            probes: 1,
            source,
        }),
    }
}
