//! The programs that aya 0.14 cannot load: those of uprobe sessions and of multi links.
//!
//! The object is parsed a second time, its maps are relocated to the ones that aya made, and each program is handed to
//! the kernel with the attach type that aya does not know. To be dropped when aya offers it.
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use aya_obj::Object;
use aya_obj::generated::{bpf_func_id, bpf_insn};

use super::AttachMode;
use super::error::KernelError;
use super::syscall::{self, ATTACH_MULTI, ATTACH_SESSION, ProgramCode, ProgramTypes};

/// The size of the buffer for the verifier's log, asked for only after a load failed.
const LOG_BYTES: usize = 1 << 20;
/// How much of the log's end is shown.
const LOG_LINES: usize = 12;

/// What a probe's hit runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ProgramKind {
    Session,
    Entry,
    Count,
    Return,
    Exit,
}

/// What the programs are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ProgramSet {
    /// Calls and their durations.
    Calls,
    /// The same, where nothing is recorded, and nothing is in focus.
    CountedCalls,
    /// Allocations.
    Allocations,
}

impl ProgramKind {
    const fn name(self, set: ProgramSet) -> &'static str {
        match (set, self) {
            (ProgramSet::Calls | ProgramSet::CountedCalls, Self::Session) => "function_session",
            (ProgramSet::Calls | ProgramSet::CountedCalls, Self::Entry)
            | (ProgramSet::Calls, Self::Count) => "function_entry",
            (ProgramSet::CountedCalls, Self::Count) => "function_count",
            (ProgramSet::Calls | ProgramSet::CountedCalls, Self::Return) => "function_return",
            (ProgramSet::Calls | ProgramSet::CountedCalls, Self::Exit) => "function_exit",
            (ProgramSet::Allocations, Self::Session) => "alloc_session",
            (ProgramSet::Allocations, Self::Entry) => "alloc_entry",
            (ProgramSet::Allocations, Self::Count) => "alloc_free",
            (ProgramSet::Allocations, Self::Return) => "alloc_return",
            (ProgramSet::Allocations, Self::Exit) => "alloc_exit",
        }
    }
}

/// The object, relocated, its programs not yet loaded.
pub(super) struct ProgramSource {
    object: Object,
    /// The programs' type information: the kernel demands it of a callback.
    btf: Option<OwnedFd>,
}

impl ProgramSource {
    /// Parses the object and relocates it to the maps `fd_of` names.
    pub(super) fn new(bytes: &[u8], fd_of: impl Fn(&str) -> Option<RawFd>) -> Result<Self, KernelError> {
        let mut object = Object::parse(bytes)?;
        let features = aya::features().btf();
        let btf = features.and_then(|features| object.fixup_and_sanitize_btf(features).ok().flatten());
        let btf = btf.and_then(|btf| syscall::load_btf(&btf.to_bytes()).ok());
        let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let maps: Vec<_> = object
            .maps
            .iter()
            .filter_map(|(name, map)| Some((name.clone(), fd_of(name)?, map.clone())))
            .collect();
        object.relocate_maps(
            maps.iter().map(|(name, fd, map)| (name.as_str(), *fd, map)),
            &text,
        )?;
        object.relocate_calls(&text)?;
        Ok(Self { object, btf })
    }

    /// Loads a program for a way of attaching.
    pub(super) fn load(
        &self,
        (set, kind): (ProgramSet, ProgramKind),
        mode: AttachMode,
    ) -> Result<OwnedFd, KernelError> {
        let name = kind.name(set);
        let missing = KernelError::Object {
            what: "program",
            name,
        };
        let Some(program) = self.object.programs.get(name) else {
            return Err(missing);
        };
        let Some(function) = self.object.functions.get(&program.function_key()) else {
            return Err(missing);
        };
        let attach_type = match (mode, kind) {
            (AttachMode::PerfEvent, _) => 0,
            (AttachMode::Session, ProgramKind::Session) => ATTACH_SESSION,
            (
                AttachMode::Session | AttachMode::Multi,
                ProgramKind::Session
                | ProgramKind::Entry
                | ProgramKind::Count
                | ProgramKind::Return
                | ProgramKind::Exit,
            ) => ATTACH_MULTI,
        };
        let functions = function.func_info.func_info_bytes();
        let types = self.btf.as_ref().map(|btf| ProgramTypes {
            btf: btf.as_fd(),
            functions: &functions,
            record_size: function.func_info_rec_size as u32,
        });
        let load = |log: &mut [u8]| {
            let code = ProgramCode {
                name,
                instructions: &function.instructions,
                license: &program.license,
            };
            syscall::load_program(&code, attach_type, types.as_ref(), log)
        };
        // A large log buffer is itself an error on some kernels: ask for the log only after a failure.
        load(&mut []).map_err(|source| {
            let mut log = vec![0; LOG_BYTES];
            let _: Result<OwnedFd, _> = load(&mut log);
            KernelError::Verifier {
                program: name,
                log: last_lines(&log),
                source,
            }
        })
    }
}

/// `r0 = 0`.
const ZERO: bpf_insn = instruction(0xb7, 0);
const EXIT: bpf_insn = instruction(0x95, 0);

const fn instruction(code: u8, imm: i32) -> bpf_insn {
    bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: aya_obj::generated::__BindgenBitfieldUnit::new([0]),
        off: 0,
        imm,
    }
}

/// `r0 = 0; exit`: what a probe costs before it does anything.
pub(super) fn load_empty(mode: AttachMode) -> io::Result<OwnedFd> {
    let attach_type = match mode {
        AttachMode::Session => ATTACH_SESSION,
        AttachMode::Multi => ATTACH_MULTI,
        AttachMode::PerfEvent => 0,
    };
    let code = ProgramCode {
        name: "calibrate",
        instructions: &[ZERO, EXIT],
        license: c"GPL",
    };
    syscall::load_program(&code, attach_type, None, &mut [])
}

/// Whether programs on probes may call a helper. The verifier refuses a call without arguments in any case: with
/// `EINVAL` where it does not know the function, with `EACCES` where it looked at the arguments.
pub(super) fn has_helper(helper: bpf_func_id) -> bool {
    const CALL: u8 = 0x85;
    let code = ProgramCode {
        name: "helper",
        instructions: &[instruction(CALL, helper as i32), EXIT],
        license: c"GPL",
    };
    let refused = syscall::load_program(&code, 0, None, &mut []).err();
    refused.is_some_and(|error| error.raw_os_error() == Some(libc::EACCES))
}

fn last_lines(log: &[u8]) -> String {
    // Behind its end lies what the verifier took back.
    let log = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(log);
    let text = text.trim_matches('\0');
    // The kernel's log may be cut at its start, and its last words may be followed by what was there before.
    let lines: Vec<&str> = text
        .split('\0')
        .next()
        .unwrap_or_default()
        .trim_end()
        .lines()
        .collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// The programs of a session, loaded.
pub(super) struct Programs {
    /// Entry and return in one; only in [`AttachMode::Session`].
    pub(super) session: Option<OwnedFd>,
    pub(super) entry: OwnedFd,
    /// For entries that are only counted.
    pub(super) count: OwnedFd,
    /// Only where [`Self::session`] is not.
    pub(super) at_return: Option<OwnedFd>,
    pub(super) exit: OwnedFd,
}

impl Programs {
    /// Loads what a set has for a way of attaching.
    pub(super) fn load(
        source: &ProgramSource,
        mode: AttachMode,
        set: ProgramSet,
    ) -> Result<Self, KernelError> {
        let load = |kind| source.load((set, kind), mode);
        let (session, at_return) = match mode {
            AttachMode::Session => (Some(load(ProgramKind::Session)?), None),
            AttachMode::Multi | AttachMode::PerfEvent => (None, Some(load(ProgramKind::Return)?)),
        };
        Ok(Self {
            session,
            entry: load(ProgramKind::Entry)?,
            count: load(ProgramKind::Count)?,
            at_return,
            exit: load(ProgramKind::Exit)?,
        })
    }

    pub(super) fn session(&self) -> Option<BorrowedFd<'_>> {
        self.session.as_ref().map(|fd| fd.as_fd())
    }

    pub(super) fn at_return(&self) -> Option<BorrowedFd<'_>> {
        self.at_return.as_ref().map(|fd| fd.as_fd())
    }
}

/// The descriptor of a map of one of the types that the object declares.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "aya's types of maps are many and grow; the object has these"
)]
pub(super) fn map_fd(map: &aya::maps::Map) -> Option<RawFd> {
    use aya::maps::Map;
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data)
        | Map::StackTraceMap(data)
        | Map::Unsupported(data) => Some(data.fd().as_fd().as_raw_fd()),
        _ => None,
    }
}
