//! Jumps from elsewhere into the first instructions of a function, between its entry and its probe site: then hits of
//! the site are not all calls. C libraries share code so.
//!
//! Most of an object is never decoded, since nobody asked for it. So every byte is looked at as if an instruction
//! started there. What merely looks like a jump costs a dearer site, and nothing else.
use super::site::MAX_DISTANCE;
use crate::object::Code;

/// The first instructions of a function, up to its probe site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) entry: u64,
    pub(super) site: u64,
    /// The end of the function. What jumps within it is known already.
    pub(super) end: u64,
}

impl Opening {
    /// Whether the jump comes from outside and leads behind the entry, though not past the site.
    fn is_entered_by(&self, jump: Jump) -> bool {
        let from_within = (self.entry..self.end).contains(&jump.source);
        self.entry < jump.target && jump.target <= self.site && !from_within
    }
}

/// What looks like a jump or a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) source: u64,
    pub(super) target: u64,
}

/// The targets, sorted, of all jumps into one of the openings, which are sorted by entry. `is_near_jump` is asked
/// about jumps over a distance of one byte: too much looks like one.
pub(super) fn targets(code: &Code, openings: &[Opening], is_near_jump: &dyn Fn(Jump) -> bool) -> Vec<u64> {
    let mut found = Vec::new();
    for (start, bytes) in code.pieces() {
        let end = start.saturating_add(bytes.len() as u64);
        let first = openings.partition_point(|opening| opening.entry < start);
        let behind = openings.partition_point(|opening| opening.entry < end);
        let openings = Openings::new(&openings[first..behind]);
        for (source, bytes) in code.pieces() {
            openings.far(source, bytes, &mut found);
        }
        openings.near(start, bytes, is_near_jump, &mut found);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The openings of one piece of code.
struct Openings<'a> {
    sorted: &'a [Opening],
    base: u64,
    /// One bit for each byte from `base` on: it lies in an opening.
    bits: Vec<u64>,
}

impl<'a> Openings<'a> {
    fn new(sorted: &'a [Opening]) -> Self {
        let base = sorted.first().map_or(0, |opening| opening.entry);
        let last = sorted
            .last()
            .map_or(0, |opening| opening.entry.saturating_add(MAX_DISTANCE));
        let mut bits = vec![0; ((last - base) / 64 + 1) as usize];
        for opening in sorted {
            for address in opening.entry + 1..=opening.site {
                let bit = address - base;
                bits[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
        Self { sorted, base, bits }
    }

    fn is_within_any(&self, target: u64) -> bool {
        let bit = target.wrapping_sub(self.base);
        let word = usize::try_from(bit / 64)
            .ok()
            .and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word >> (bit % 64) & 1 != 0)
    }

    fn is_entered_by(&self, jump: Jump) -> bool {
        let behind = self.sorted.partition_point(|opening| opening.entry < jump.target);
        self.sorted[..behind]
            .iter()
            .rev()
            .take_while(|opening| jump.target - opening.entry <= MAX_DISTANCE)
            .any(|opening| opening.is_entered_by(jump))
    }

    /// `call`, `jmp` and `jcc` over distances of four bytes, from `bytes` at `start`.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "one branch, seldom taken: this looks at tens of millions of bytes"
    )]
    fn far(&self, start: u64, bytes: &[u8], found: &mut Vec<u64>) {
        if self.sorted.is_empty() {
            return;
        }
        let mut before = 0;
        for (index, window) in bytes.windows(5).enumerate() {
            let opcode = window[0];
            let looks_like_jump = (opcode & 0xfe == 0xe8) | ((before == 0x0f) & (opcode & 0xf0 == 0x80));
            before = opcode;
            if !looks_like_jump {
                continue;
            }
            let source = start.wrapping_add(index as u64);
            let distance = i32::from_le_bytes([window[1], window[2], window[3], window[4]]);
            let target = source.wrapping_add(5).wrapping_add_signed(distance.into());
            if self.is_within_any(target) && self.is_entered_by(Jump { source, target }) {
                found.push(target);
            }
        }
    }

    /// `jmp`, `jcc`, `loop` and `jrcxz` over a distance of one byte, from `bytes` at `start`.
    fn near(&self, start: u64, bytes: &[u8], is_jump: &dyn Fn(Jump) -> bool, found: &mut Vec<u64>) {
        for opening in self.sorted {
            let first = opening.entry.saturating_sub(128).max(start);
            let behind = opening.site.saturating_add(127);
            for source in (first..opening.entry).chain(opening.end.max(opening.entry)..behind) {
                let index = (source - start) as usize;
                let Some([opcode, distance]) = bytes.get(index..index + 2) else {
                    break;
                };
                let target = source
                    .wrapping_add(2)
                    .wrapping_add_signed(i64::from(*distance as i8));
                let jump = Jump { source, target };
                if matches!(opcode, 0x70..=0x7f | 0xe0..=0xe3 | 0xeb)
                    && opening.is_entered_by(jump)
                    && is_jump(jump)
                {
                    found.push(target);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Opening, targets};
    use crate::object::Code;

    const AT: u64 = 0x1000;

    /// What jumps into a function of eight bytes, whose site is its fifth, at `AT + 0x200`.
    fn found(patches: &[(usize, &[u8])]) -> Vec<u64> {
        let mut bytes = vec![0x90; 0x400];
        for (at, patch) in patches {
            bytes[*at..*at + patch.len()].copy_from_slice(patch);
        }
        let opening = Opening {
            entry: AT + 0x200,
            site: AT + 0x204,
            end: AT + 0x208,
        };
        let found = targets(&Code::from_bytes(AT, bytes), &[opening], &|_| true);
        found.into_iter().map(|target| target - AT).collect()
    }

    fn far(opcode: &[u8], from: usize, to: usize) -> Vec<u8> {
        let distance = to as i32 - (from + opcode.len() + 4) as i32;
        [opcode, &distance.to_le_bytes()].concat()
    }

    #[test]
    fn jumps_behind_the_entry_are_found_wherever_they_are() {
        for opcode in [&[0xe8][..], &[0xe9], &[0x0f, 0x80], &[0x0f, 0x8f]] {
            for from in [0, 0x101, 0x208, 0x400 - 4 - opcode.len()] {
                for (to, expected) in [
                    (0x200, None),
                    (0x201, Some(0x201)),
                    (0x204, Some(0x204)),
                    (0x205, None),
                ] {
                    let expected: Vec<u64> = expected.into_iter().collect();
                    assert_eq!(
                        found(&[(from, &far(opcode, from, to))]),
                        expected,
                        "{from:#x} to {to:#x}"
                    );
                }
            }
        }
        for opcode in [0x70, 0x7f, 0xe0, 0xe3, 0xeb] {
            for from in [0x204 - 2 - 127, 0x1f0, 0x208, 0x201 - 2 + 128] {
                for to in [0x200_usize, 0x201, 0x204, 0x205] {
                    let Ok(distance) = i8::try_from(to as i32 - (from as i32 + 2)) else {
                        continue;
                    };
                    let expected = if (0x201..=0x204).contains(&to) {
                        vec![to as u64]
                    } else {
                        Vec::new()
                    };
                    let jump = [opcode, distance as u8];
                    assert_eq!(found(&[(from, &jump)]), expected, "{from:#x} to {to:#x}");
                }
            }
        }
    }

    #[test]
    fn a_jump_within_the_function_and_other_instructions_are_none() {
        assert_eq!(found(&[(0x206, &[0xeb, 0xfb])]), [0; 0]);
        assert_eq!(found(&[(0x1f0, &far(&[0x0e, 0x80], 0x1f0, 0x202))]), [0; 0]);
        assert_eq!(found(&[(0x1f0, &[0x6f, 0x10])]), [0; 0]);
        // A distance that leaves all memory.
        assert_eq!(found(&[(0, &[0xe9, 0, 0, 0, 0x80])]), [0; 0]);
    }

    #[test]
    fn openings_may_overlap_and_pieces_be_empty() {
        let opening = |entry, site, end| Opening { entry, site, end };
        let openings = [
            opening(AT + 16, AT + 24, AT + 64),
            opening(AT + 20, AT + 22, AT + 30),
        ];
        let mut bytes = vec![0x90; 64];
        // From within the first, though from outside the second.
        bytes[40..42].copy_from_slice(&[0xeb, (21_i8 - 42) as u8]);
        assert_eq!(
            targets(&Code::from_bytes(AT, bytes), &openings, &|_| true),
            [AT + 21]
        );
        assert_eq!(targets(&Code::default(), &openings, &|_| true), [0; 0]);
        assert_eq!(
            targets(&Code::from_bytes(AT, vec![0xe8; 3]), &[], &|_| true),
            [0; 0]
        );
    }
}
