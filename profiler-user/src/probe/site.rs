//! Where a function's entry is probed: at the first instruction on the straight line from its start that the
//! kernel emulates, if nothing that the probe reads has changed by then and nothing jumps in between.
use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess,
    OpKind, Register,
};

use super::body::Body;
use super::plan::{LeftOutReason, Price};
use super::x86;

/// The longest straight line that is searched, instructions.
const MAX_LINE: usize = 16;

/// The farthest that a site lies from its entry, bytes.
pub(super) const MAX_DISTANCE: u64 = MAX_LINE as u64 * 15;

/// The longest check of the stack's size at a Go function's start, instructions.
const MAX_STACK_CHECK: usize = 6;

/// The argument registers that a probe reads: none of them may have been written before it fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArgumentRegisters(u8);

impl ArgumentRegisters {
    const ORDER: [Register; 6] = [
        Register::RDI,
        Register::RSI,
        Register::RDX,
        Register::RCX,
        Register::R8,
        Register::R9,
    ];

    /// The probe reads only the stack pointer.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The probe reads the first `count` integer arguments.
    pub const fn first(count: u32) -> Self {
        let count = if count > 6 { 6 } else { count };
        Self(((1_u16 << count) - 1) as u8)
    }

    fn contains(self, register: Register) -> bool {
        Self::ORDER
            .iter()
            .position(|other| *other == register)
            .is_some_and(|bit| self.0 >> bit & 1 != 0)
    }
}

/// How a function's start is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prologue {
    /// As the C conventions have it.
    Ordinary,
    /// It may begin with a check that restarts the function on a larger stack.
    Go,
}

/// A probe site, relative to the function's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) distance: u32,
    pub(super) price: Price,
}

/// A function, as far as its site depends on it.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    /// Its code, from `address` on.
    pub(super) code: &'a [u8],
    pub(super) address: u64,
    pub(super) body: &'a Body,
    /// Sorted addresses that code outside of it jumps to.
    pub(super) intrusions: &'a [u64],
}

/// Chooses the site for a function.
pub(super) fn choose(
    start: Start<'_>,
    (prologue, arguments): (Prologue, ArgumentRegisters),
) -> Result<Chosen, LeftOutReason> {
    let line = straight_line(start.code, start.address);
    if line.is_empty() {
        return Err(LeftOutReason::Undecodable);
    }
    if prologue == Prologue::Go
        && let Some(chosen) = behind_stack_check(&line, start)
    {
        return Ok(chosen);
    }
    let wanted = |instruction: &Instruction, bytes: &[u8]| {
        x86::price(bytes) == Price::Emulated && !x86::is_refused(instruction, bytes)
    };
    if let Some(chosen) = first_on(&line, start, arguments, &wanted) {
        return Ok(chosen);
    }
    let accepted = |instruction: &Instruction, bytes: &[u8]| !x86::is_refused(instruction, bytes);
    first_on(&line, start, arguments, &accepted).ok_or(LeftOutReason::Refused)
}

/// The first instruction itself, whatever it costs.
pub(super) fn first(code: &[u8], address: u64) -> Result<Chosen, LeftOutReason> {
    let instruction = Decoder::with_ip(64, code, address, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return Err(LeftOutReason::Undecodable);
    }
    let bytes = encoded(&instruction, code, address);
    if x86::is_refused(&instruction, bytes) {
        return Err(LeftOutReason::Refused);
    }
    Ok(Chosen {
        distance: 0,
        price: x86::price(bytes),
    })
}

fn straight_line(code: &[u8], address: u64) -> Vec<Instruction> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    decoder
        .iter()
        .take(MAX_LINE)
        .take_while(|instruction| !instruction.is_invalid())
        .collect()
}

fn encoded<'a>(instruction: &Instruction, code: &'a [u8], address: u64) -> &'a [u8] {
    &code[(instruction.ip() - address) as usize..][..instruction.len()]
}

/// Whether one of the sorted targets lies behind the entry and not past the site.
pub(super) fn is_entered_before(targets: &[u64], address: u64, site: u64) -> bool {
    let first_inside = targets.partition_point(|target| *target <= address);
    targets.get(first_inside).is_some_and(|target| *target <= site)
}

/// The first instruction of the line that is wanted and that the probe may wait for.
fn first_on(
    line: &[Instruction],
    start: Start<'_>,
    arguments: ArgumentRegisters,
    wanted: &dyn Fn(&Instruction, &[u8]) -> bool,
) -> Option<Chosen> {
    let Start {
        code,
        address,
        body,
        intrusions,
    } = start;
    let mut registers = InstructionInfoFactory::new();
    for (position, instruction) in line.iter().enumerate() {
        let site = instruction.ip();
        let is_entered = |targets| is_entered_before(targets, address, site);
        if position > 0 && (body.undecodable || is_entered(&body.targets) || is_entered(intrusions)) {
            return None;
        }
        let only_past_landing = position == 1 && line[0].code() == Code::Endbr64;
        if position > 0 && body.indirect_jump && !only_past_landing {
            return None;
        }
        let bytes = encoded(instruction, code, address);
        if wanted(instruction, bytes) {
            return Some(Chosen {
                distance: (site - address) as u32,
                price: x86::price(bytes),
            });
        }
        let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
        if instruction.flow_control() != FlowControl::Next
            || (repeats && instruction.is_string_instruction())
            || changes(&mut registers, instruction, arguments)
        {
            return None;
        }
    }
    None
}

/// Whether the instruction writes the stack pointer or a register that the probe reads.
fn changes(
    registers: &mut InstructionInfoFactory,
    instruction: &Instruction,
    arguments: ArgumentRegisters,
) -> bool {
    registers.info(instruction).used_registers().iter().any(|used| {
        let written = matches!(
            used.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
        let register = used.register().full_register();
        written && (register == Register::RSP || arguments.contains(register))
    })
}

/// `cmp reg, [g + 16]`, or 24 in the runtime's own functions: the goroutine's stack limits (`stackguard0`, `stackguard1`).
fn compares_with_stack_limit(instruction: &Instruction) -> bool {
    instruction.code() == Code::Cmp_r64_rm64
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_index() == Register::None
        && matches!(instruction.memory_displacement64(), 16 | 24)
}

/// Go: `cmp rsp, …; jbe grow; site:`. `grow` starts the function again, so that its entry would be counted twice.
/// Nothing else jumps there in Go: what looks like it is none.
fn behind_stack_check(line: &[Instruction], start: Start<'_>) -> Option<Chosen> {
    let Start {
        code,
        address,
        body,
        intrusions: _,
    } = start;
    let mut registers = InstructionInfoFactory::new();
    let mut compared = false;
    for pair in line.windows(2).take(MAX_STACK_CHECK) {
        let [instruction, next] = pair else { return None };
        if compared && instruction.condition_code() == ConditionCode::be {
            let site = next.ip();
            let bytes = encoded(next, code, address);
            let usable = !body.undecodable
                && !is_entered_before(&body.targets, address, site)
                && !x86::is_refused(next, bytes);
            return usable.then(|| Chosen {
                distance: (site - address) as u32,
                price: x86::price(bytes),
            });
        }
        // A function with a large frame first asks whether its size exceeds all stacks: `sub; jb grow`.
        let branches = instruction.flow_control() == FlowControl::ConditionalBranch
            && instruction.condition_code() == ConditionCode::b;
        if (instruction.flow_control() != FlowControl::Next && !branches)
            || changes(&mut registers, instruction, ArgumentRegisters::none())
        {
            return None;
        }
        compared = compares_with_stack_limit(instruction);
    }
    None
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
