//! The few system calls that aya does not offer. Nothing outside `kernel` sees these numbers.
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type};

/// `BPF_TRACE_UPROBE_SESSION` (include/uapi/linux/bpf.h, 6.13), newer than aya's bindings.
pub(super) const ATTACH_SESSION: u32 = 57;
/// `BPF_TRACE_UPROBE_MULTI` (6.6).
pub(super) const ATTACH_MULTI: u32 = 48;
/// `BPF_F_UPROBE_MULTI_RETURN`.
const MULTI_RETURN: u32 = 1;

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is a valid, fully initialized attribute of the size given.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            &raw mut *attr,
            size_of::<bpf_attr>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn empty_attr() -> bpf_attr {
    // SAFETY: all zeros is the kernel's "nothing given".
    unsafe { std::mem::zeroed() }
}

/// What the kernel is given of a program.
pub(super) struct ProgramCode<'a> {
    pub(super) name: &'a str,
    pub(super) instructions: &'a [bpf_insn],
    pub(super) license: &'a CStr,
}

/// The types of a program's functions.
pub(super) struct ProgramTypes<'a> {
    pub(super) btf: BorrowedFd<'a>,
    /// `bpf_func_info` records.
    pub(super) functions: &'a [u8],
    pub(super) record_size: u32,
}

/// Loads a program of type kprobe. `log` is filled only if it is not empty.
pub(super) fn load_program(
    code: &ProgramCode<'_>,
    expected_attach_type: u32,
    types: Option<&ProgramTypes<'_>>,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    // SAFETY: this member is the one that BPF_PROG_LOAD reads.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = expected_attach_type;
    load.insns = code.instructions.as_ptr() as u64;
    load.insn_cnt = code.instructions.len() as u32;
    load.license = code.license.as_ptr() as u64;
    for (to, from) in load.prog_name.iter_mut().take(15).zip(code.name.bytes()) {
        *to = from as libc::c_char;
    }
    if let Some(ProgramTypes {
        btf,
        functions,
        record_size,
    }) = types
        && *record_size > 0
    {
        load.prog_btf_fd = btf.as_raw_fd() as u32;
        load.func_info = functions.as_ptr() as u64;
        load.func_info_rec_size = *record_size;
        load.func_info_cnt = functions.len() as u32 / record_size;
    }
    if !log.is_empty() {
        load.log_level = 1;
        load.log_buf = log.as_mut_ptr() as u64;
        load.log_size = log.len() as u32;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

/// Gives the kernel type information.
pub(super) fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    // SAFETY: this member is the one that BPF_BTF_LOAD reads.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = bytes.as_ptr() as u64;
    load.btf_size = bytes.len() as u32;
    bpf(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// Which side of a function a multi link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MultiKind {
    Session,
    Entry,
    Return,
}

/// Where a multi link goes.
pub(super) struct MultiTarget<'a> {
    pub(super) path: &'a CStr,
    pub(super) offsets: &'a [u64],
    pub(super) cookies: &'a [u64],
    /// 0 = every process.
    pub(super) pid: u32,
}

/// One link for many probes in one file and one process.
pub(super) fn link_multi(
    program: BorrowedFd<'_>,
    kind: MultiKind,
    target: &MultiTarget<'_>,
) -> io::Result<OwnedFd> {
    let MultiTarget {
        path,
        offsets,
        cookies,
        pid,
    } = target;
    debug_assert_eq!(offsets.len(), cookies.len());
    let mut attr = empty_attr();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = match kind {
        MultiKind::Session => ATTACH_SESSION,
        MultiKind::Entry | MultiKind::Return => ATTACH_MULTI,
    };
    // SAFETY: this member is the one that links of this attach type read.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
    multi.path = path.as_ptr() as u64;
    multi.offsets = offsets.as_ptr() as u64;
    multi.cookies = cookies.as_ptr() as u64;
    multi.cnt = offsets.len() as u32;
    multi.pid = *pid;
    if kind == MultiKind::Return {
        multi.flags = MULTI_RETURN;
    }
    bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Connects a program with a perf event. The link holds the event.
pub(super) fn link_perf_event(
    program: BorrowedFd<'_>,
    event: BorrowedFd<'_>,
    cookie: u64,
) -> io::Result<OwnedFd> {
    let mut attr = empty_attr();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.__bindgen_anon_2.target_fd = event.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_PERF_EVENT as u32;
    attr.link_create.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// The uprobe PMU, as sysfs describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct UprobePmu {
    pub(super) kind: u32,
    pub(super) return_bit: u32,
}

/// The part of `struct perf_event_attr` (`include/uapi/linux/perf_event.h`, first published size) that a uprobe needs.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    uprobe_path: u64,
    probe_offset: u64,
}

/// Opens a perf event on one place of one file in one process, or in all. Programs on an event of all processes run on
/// every CPU, whatever CPU it was opened for (`__uprobe_perf_func`, `kernel/trace/trace_uprobe.c`).
pub(super) fn open_uprobe(
    pmu: UprobePmu,
    path: &CStr,
    offset: u64,
    pid: Option<u32>,
    at_return: bool,
) -> io::Result<OwnedFd> {
    let attr = PerfEventAttr {
        kind: pmu.kind,
        size: size_of::<PerfEventAttr>() as u32,
        config: if at_return { 1 << pmu.return_bit } else { 0 },
        uprobe_path: path.as_ptr() as u64,
        probe_offset: offset,
        ..PerfEventAttr::default()
    };
    // SAFETY: `attr` says its own size, and the path outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            pid.map_or(-1, |pid| pid as libc::pid_t),
            if pid.is_some() { -1 } else { 0 },
            -1,
            8, /* PERF_FLAG_FD_CLOEXEC */
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// `PERF_TYPE_SOFTWARE`, `PERF_COUNT_SW_DUMMY` (`include/uapi/linux/perf_event.h`).
const SOFTWARE: u32 = 1;
const DUMMY: u64 = 9;
/// Bits of `perf_event_attr`: executable mappings with inodes, names with a mark at exec, forks and exits; wake-ups by
/// bytes.
const LIFECYCLE: u64 = 1 << 8 | 1 << 9 | 1 << 13 | 1 << 14 | 1 << 23 | 1 << 24;

/// Opens an event that counts nothing and tells of the processes of one CPU: forks, executions, mappings, ends. It is
/// woken for after every record.
pub(super) fn open_lifecycle(cpu: u32) -> io::Result<OwnedFd> {
    let attr = PerfEventAttr {
        kind: SOFTWARE,
        size: size_of::<PerfEventAttr>() as u32,
        config: DUMMY,
        flags: LIFECYCLE,
        wakeup_events: 1,
        ..PerfEventAttr::default()
    };
    // SAFETY: `attr` says its own size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            -1,
            cpu as libc::c_int,
            -1,
            8, /* PERF_FLAG_FD_CLOEXEC */
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Reads the elements of a hash map, many at a time (kernel 5.6+).
pub(super) struct Batch {
    keys: Vec<u8>,
    values: Vec<u8>,
    key_size: usize,
    value_size: usize,
    /// How many were read last.
    count: usize,
    /// Where the kernel goes on; none = at the start.
    position: Option<u64>,
}

impl Batch {
    pub(super) fn new(key_size: usize, value_size: usize, elements: usize) -> Self {
        Self {
            keys: vec![0; key_size * elements],
            values: vec![0; value_size * elements],
            key_size,
            value_size,
            count: 0,
            position: None,
        }
    }

    /// Reads the next ones. `false`: they are the last.
    pub(super) fn read(&mut self, map: BorrowedFd<'_>) -> io::Result<bool> {
        loop {
            let room = self.keys.len() / self.key_size;
            let mut next = 0_u64;
            let mut attr = empty_attr();
            attr.batch.in_batch = self
                .position
                .as_ref()
                .map_or(0, |position| std::ptr::from_ref(position) as u64);
            attr.batch.out_batch = &raw mut next as u64;
            attr.batch.keys = self.keys.as_mut_ptr() as u64;
            attr.batch.values = self.values.as_mut_ptr() as u64;
            attr.batch.count = room as u32;
            attr.batch.map_fd = map.as_raw_fd() as u32;
            // SAFETY: `attr` is a valid attribute, and the buffers have room for `count` elements.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_bpf,
                    bpf_cmd::BPF_MAP_LOOKUP_BATCH as libc::c_int,
                    &raw mut attr,
                    size_of::<bpf_attr>(),
                )
            };
            let error = (result < 0).then(io::Error::last_os_error);
            // SAFETY: this member is the one that the command wrote.
            let count = unsafe { attr.batch.count } as usize;
            match error {
                None => {
                    self.count = count;
                    self.position = Some(next);
                    return Ok(true);
                }
                Some(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.count = count;
                    return Ok(false);
                }
                // One of the kernel's buckets holds more than there is room for.
                Some(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    self.keys.resize(self.keys.len() * 2, 0);
                    self.values.resize(self.values.len() * 2, 0);
                }
                Some(error) => return Err(error),
            }
        }
    }

    /// What was read last.
    pub(super) fn elements(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let keys = self.keys.chunks_exact(self.key_size);
        keys.zip(self.values.chunks_exact(self.value_size))
            .take(self.count)
    }
}

/// Takes an element out of a map.
pub(super) fn delete_element(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    let mut attr = empty_attr();
    // SAFETY: this member is the one that the command reads.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = key.as_ptr() as u64;
    // SAFETY: `attr` is a valid attribute, and the key outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_MAP_DELETE_ELEM as libc::c_int,
            &raw mut attr,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
