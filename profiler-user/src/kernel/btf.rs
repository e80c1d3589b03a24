//! Offsets of kernel fields, read from the kernel's own type information.
//!
//! Only what is needed: structures by name and their members, one level at a time. The format:
//! Documentation/bpf/btf.rst.
use std::collections::HashMap;
use std::path::Path;

use profiler_common::config::MemoryCounters;

use super::error::KernelError;
use super::memory;

const HEADER: usize = 24;
const MAGIC: u16 = 0xeb9f;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;

/// The offsets that the programs need; 0 = not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelOffsets {
    /// Where the memory counters of a process are; none = in no form that is known.
    pub memory: Option<MemoryCounters>,
    /// `task_struct.mm`, bytes.
    pub task_mm: u32,
    /// `mm_struct.uprobes_state.xol_area`, bytes.
    pub mm_xol_area: u32,
    /// `xol_area.vaddr`, bytes.
    pub xol_area_vaddr: u32,
    /// `mm_struct.brk`, bytes.
    pub mm_brk: u32,
    /// `task_struct.tgid`, bytes.
    pub task_tgid: u32,
    /// `task_struct.pid`, bytes.
    pub task_pid: u32,
    /// `task_struct.signal`, bytes.
    pub task_signal: u32,
    /// `signal_struct.live`, bytes.
    pub signal_live: u32,
}

/// Reads the offsets from the running kernel.
pub fn kernel_offsets() -> Result<KernelOffsets, KernelError> {
    let path = Path::new("/sys/kernel/btf/vmlinux");
    let bytes = std::fs::read(path).map_err(KernelError::NoBtf)?;
    offsets_in(&bytes)
}

fn offsets_in(bytes: &[u8]) -> Result<KernelOffsets, KernelError> {
    let btf = Btf::parse(bytes)?;
    let in_mm = btf.member("mm_struct", "uprobes_state");
    let in_state = btf.member("uprobes_state", "xol_area");
    Ok(KernelOffsets {
        memory: memory::counters(&btf),
        task_mm: btf.member("task_struct", "mm").unwrap_or(0),
        mm_xol_area: in_mm.zip(in_state).map_or(0, |(mm, state)| mm + state),
        xol_area_vaddr: btf.member("xol_area", "vaddr").unwrap_or(0),
        mm_brk: btf.member("mm_struct", "brk").unwrap_or(0),
        task_tgid: btf.member("task_struct", "tgid").unwrap_or(0),
        task_pid: btf.member("task_struct", "pid").unwrap_or(0),
        task_signal: btf.member("task_struct", "signal").unwrap_or(0),
        signal_live: btf.member("signal_struct", "live").unwrap_or(0),
    })
}

/// Where the structures and unions lie in the type section.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Start of each type; index 0 is type number 1.
    starts: Vec<usize>,
    structures: HashMap<&'a [u8], usize>,
}

impl<'a> Btf<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, KernelError> {
        let malformed = |offset| KernelError::MalformedBtf { offset };
        let header = |at| word(bytes, at).ok_or(malformed(at));
        if header(0)? as u16 != MAGIC {
            return Err(malformed(0));
        }
        let base = header(4)? as usize;
        let section = |at: usize| -> Result<&'a [u8], KernelError> {
            let (offset, len) = (header(at)? as usize, header(at + 4)? as usize);
            let start = base.checked_add(offset).ok_or(malformed(at))?;
            bytes.get(start..start.saturating_add(len)).ok_or(malformed(at))
        };
        let mut btf = Self {
            types: section(8)?,
            strings: section(16)?,
            starts: Vec::new(),
            structures: HashMap::new(),
        };
        btf.index().ok_or(malformed(HEADER))?;
        Ok(btf)
    }

    fn index(&mut self) -> Option<()> {
        let mut at = 0;
        while at < self.types.len() {
            self.starts.push(at);
            let (name, info) = (word(self.types, at)?, word(self.types, at + 4)?);
            let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
            if kind == KIND_STRUCT {
                self.structures.insert(self.string(name)?, at);
            }
            at += 12 + trailing_bytes(kind, count)?;
        }
        Some(())
    }

    fn string(&self, offset: u32) -> Option<&'a [u8]> {
        self.strings
            .get(offset as usize..)?
            .split(|byte| *byte == 0)
            .next()
    }

    /// Byte offset of a member of a structure, looked for in its unnamed members too.
    pub(super) fn member(&self, structure: &str, member: &str) -> Option<u32> {
        let start = *self.structures.get(structure.as_bytes())?;
        self.member_at(start, member.as_bytes(), 0)
            .map(|(offset, _)| offset)
    }

    /// Bytes that a structure takes.
    pub(super) fn size(&self, structure: &str) -> Option<u32> {
        word(self.types, *self.structures.get(structure.as_bytes())? + 8)
    }

    /// Whether a member of a structure is an array of structures of that name.
    pub(super) fn is_array_of(&self, (structure, member): (&str, &str), element: &str) -> Option<bool> {
        let start = *self.structures.get(structure.as_bytes())?;
        let (_, kind) = self.member_at(start, member.as_bytes(), 0)?;
        let array = self.start(kind)?;
        if word(self.types, array + 4)? >> 24 & 31 != KIND_ARRAY {
            return Some(false);
        }
        let of = self.start(word(self.types, array + 12)?)?;
        Some(self.structures.get(element.as_bytes()) == Some(&of))
    }

    /// Where a type's description starts.
    fn start(&self, number: u32) -> Option<usize> {
        self.starts.get((number as usize).checked_sub(1)?).copied()
    }

    /// A member's byte offset, and the number of its type.
    fn member_at(&self, start: usize, member: &[u8], nesting: u32) -> Option<(u32, u32)> {
        let info = word(self.types, start + 4)?;
        let kind = info >> 24 & 31;
        if nesting > 8 || (kind != KIND_STRUCT && kind != KIND_UNION) {
            return None;
        }
        (0..(info & 0xffff) as usize).find_map(|index| {
            let at = start + 12 + index * 12;
            let (name, kind, offset) = (
                word(self.types, at)?,
                word(self.types, at + 4)?,
                word(self.types, at + 8)?,
            );
            // With the structure's kind flag set, the upper byte is a bit-field's width.
            let bytes = (if info >> 31 == 1 {
                offset & 0xff_ffff
            } else {
                offset
            }) / 8;
            let name = self.string(name)?;
            if name == member {
                return Some((bytes, kind));
            }
            if !name.is_empty() {
                return None;
            }
            let (inner, kind) = self.member_at(self.start(kind)?, member, nesting + 1)?;
            Some((bytes + inner, kind))
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// Bytes behind a type's first three words.
fn trailing_bytes(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4,
        3 => 12,
        4 | 5 | 15 | 19 => 12 * count,
        6 | 13 => 8 * count,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod fixture {
    //! Type information for tests.

    /// Type information of these words, and of strings that start with an empty one.
    pub(in crate::kernel) fn btf(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let size = (types.len() * 4) as u32;
        let header = [24, 0, size, size, strings.len() as u32];
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in header.iter().chain(types) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(strings);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Btf, fixture, offsets_in};

    #[test]
    fn truncated_type_information_is_an_error_and_no_panic() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            return;
        };
        for len in [0, 3, 23, 24, 100, 4096, bytes.len() / 2] {
            assert!(offsets_in(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn a_member_within_an_unnamed_union_is_found() {
        // struct outer { u32 (unnamed union at bit 32 of: member `inner` at 0) }
        let outer = [1, 4 << 24 | 1, 8, 0, 2, 32];
        let union = [0, 5 << 24 | 1, 4, 7, 0, 0];
        let bytes = fixture::btf(&[outer, union].concat(), b"\0outer\0inner\0");
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.member("outer", "inner"), Some(4));
        assert_eq!(btf.member("outer", "absent"), None);
        assert_eq!(btf.size("outer"), Some(8));
    }
}
