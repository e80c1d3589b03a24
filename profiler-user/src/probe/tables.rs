//! Jump tables: where the indirect jump of a `switch` goes.
use iced_x86::{Code, ConditionCode, FlowControl, Instruction, OpKind, Register};

use super::body::{IndirectJump, Surroundings, Target, Walk};

/// The largest table that is believed, entries.
const MAX_ENTRIES: u64 = 1 << 14;

/// How the entries of a table give an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entries {
    /// Signed 32-bit distances from the table's start.
    Distances,
    /// 64-bit addresses.
    Addresses,
}

/// A table load: through which register, or from which fixed address.
struct Load {
    entries: Entries,
    base: Register,
    displacement: u64,
}

/// Where the jump goes.
pub(super) fn targets<S: Surroundings>(walk: &mut Walk<'_, S>, jump: &IndirectJump) -> Target {
    let line = walk.instructions(jump.line, jump.address);
    let Some((last, before)) = line.split_last() else {
        return Target::Unknown;
    };
    let load = match load_of(last, before) {
        Source::Table(load) => load,
        Source::Elsewhere => return Target::Anywhere,
        Source::Unknown => return Target::Unknown,
    };
    let bound = bound(before);
    let mut found = Vec::new();
    for table in candidates(walk, &load, before) {
        let limit = bound.unwrap_or_else(|| distance_to_next_table(walk, table, load.entries));
        let targets = read_table(walk, table, load.entries, limit.min(MAX_ENTRIES));
        // With a bound, a table with an entry that leaves the function is another one.
        if bound.is_none_or(|bound| targets.len() as u64 == bound) {
            found.extend(targets);
        }
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        Target::Unknown
    } else {
        Target::Within(found)
    }
}

/// Where the table may start: what the register was given on the way to the jump, else anywhere in the function.
fn candidates<S>(walk: &Walk<'_, S>, load: &Load, before: &[Instruction]) -> Vec<u64> {
    if load.base == Register::None {
        return vec![load.displacement];
    }
    let given = before.iter().rev().find(|instruction| {
        instruction.code() == Code::Lea_r64_m
            && instruction.op0_register() == load.base
            && instruction.is_ip_rel_memory_operand()
    });
    if let Some(given) = given {
        return vec![given.ip_rel_memory_address().wrapping_add(load.displacement)];
    }
    let own = walk.bases.iter().filter(|(register, _)| *register == load.base);
    own.map(|(_, address)| address.wrapping_add(load.displacement))
        .collect()
}

/// Where the jump's address comes from.
enum Source {
    Table(Load),
    /// From memory without an index, or from before the straight line that leads to the jump.
    Elsewhere,
    Unknown,
}

/// What the jump's address was loaded with.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the instruction set has thousands of codes"
)]
fn load_of(jump: &Instruction, before: &[Instruction]) -> Source {
    if jump.op0_kind() == OpKind::Memory {
        return load(jump, 8, Entries::Addresses);
    }
    let mut wanted = [jump.op0_register(), Register::None];
    for instruction in before.iter().rev() {
        let calls = matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        );
        if calls && wanted[0] == Register::RAX {
            return Source::Elsewhere;
        }
        if instruction.op0_kind() != OpKind::Register || !wanted.contains(&instruction.op0_register()) {
            continue;
        }
        match instruction.code() {
            Code::Add_r64_rm64 | Code::Add_rm64_r64 if instruction.op1_kind() == OpKind::Register => {
                wanted = [instruction.op0_register(), instruction.op1_register()];
            }
            Code::Movsxd_r64_rm32 => return load(instruction, 4, Entries::Distances),
            Code::Mov_r64_rm64 if instruction.op1_kind() == OpKind::Memory => {
                return load(instruction, 8, Entries::Addresses);
            }
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 if wanted[1] == Register::None => {
                wanted[0] = instruction.op1_register();
            }
            // The table's address, one of the two that are added.
            Code::Lea_r64_m if wanted[1] != Register::None => {}
            // Functions as arguments of a choice, and comparisons that write nothing.
            Code::Cmovne_r64_rm64
            | Code::Cmove_r64_rm64
            | Code::Test_rm64_r64
            | Code::Cmp_r64_rm64
            | Code::Cmp_rm64_r64
            | Code::Cmp_rm64_imm8
            | Code::Cmp_rm64_imm32 => {}
            _ => return Source::Unknown,
        }
    }
    // A sum of two registers is a `switch` whose parts were not found.
    if wanted[1] == Register::None {
        Source::Elsewhere
    } else {
        Source::Unknown
    }
}

fn load(instruction: &Instruction, scale: u32, entries: Entries) -> Source {
    if instruction.memory_index() == Register::None {
        return if entries == Entries::Addresses {
            Source::Elsewhere
        } else {
            Source::Unknown
        };
    }
    if instruction.memory_index_scale() != scale {
        return Source::Unknown;
    }
    Source::Table(Load {
        entries,
        base: instruction.memory_base(),
        displacement: instruction.memory_displacement64(),
    })
}

/// The number of entries, told by the comparison that guards the jump.
fn bound(before: &[Instruction]) -> Option<u64> {
    let pair = before.windows(2).rev().find(|pair| {
        let compares = matches!(
            pair[0].code(),
            Code::Cmp_rm8_imm8
                | Code::Cmp_AL_imm8
                | Code::Cmp_rm16_imm8
                | Code::Cmp_rm16_imm16
                | Code::Cmp_AX_imm16
                | Code::Cmp_rm32_imm8
                | Code::Cmp_rm32_imm32
                | Code::Cmp_EAX_imm32
                | Code::Cmp_rm64_imm8
                | Code::Cmp_rm64_imm32
                | Code::Cmp_RAX_imm32
        );
        compares && matches!(pair[1].condition_code(), ConditionCode::a | ConditionCode::ae)
    })?;
    let last = pair[0].immediate(1);
    let entries = if pair[1].condition_code() == ConditionCode::a {
        last.checked_add(1)?
    } else {
        last
    };
    (entries <= MAX_ENTRIES).then_some(entries)
}

/// An upper limit where no comparison was found: tables do not overlap.
fn distance_to_next_table<S>(walk: &Walk<'_, S>, table: u64, entries: Entries) -> u64 {
    let next = walk
        .bases
        .iter()
        .map(|(_, address)| *address)
        .filter(|address| *address > table)
        .min();
    let bytes = next.map_or(u64::MAX, |next| next - table);
    bytes / size(entries) as u64
}

fn size(entries: Entries) -> usize {
    match entries {
        Entries::Distances => 4,
        Entries::Addresses => 8,
    }
}

fn read_table<S: Surroundings>(walk: &mut Walk<'_, S>, table: u64, entries: Entries, limit: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for index in 0..limit {
        let mut buffer = [0; 8];
        let entry = &mut buffer[..size(entries)];
        let Some(address) = table.checked_add(index * size(entries) as u64) else {
            break;
        };
        if walk.around.read_memory(address, entry).is_none() {
            break;
        }
        let value = u64::from_le_bytes(buffer);
        let target = match entries {
            Entries::Distances => table.wrapping_add_signed(i64::from(value as u32 as i32)),
            Entries::Addresses => value,
        };
        if !walk.owns(target) {
            break;
        }
        found.push(target);
    }
    found
}
