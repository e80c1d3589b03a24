//! Where a function's entry is probed: at the first instruction on the straight line from its start that the
//! kernel emulates, if nothing that the probe reads has changed by then and nothing jumps in between.
use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess,
    Register,
};

use super::body::Body;
use super::plan::{LeftOutReason, Price};
use super::x86;

/// The longest straight line that is searched, instructions.
const MAX_LINE: usize = 16;

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

/// Chooses the site for a function whose code, from `address` on, is `code`.
pub(super) fn choose(
    code: &[u8],
    address: u64,
    body: &Body,
    (prologue, arguments): (Prologue, ArgumentRegisters),
) -> Result<Chosen, LeftOutReason> {
    let line = straight_line(code, address);
    if line.is_empty() {
        return Err(LeftOutReason::Undecodable);
    }
    if prologue == Prologue::Go
        && let Some(chosen) = behind_stack_check(&line, code, address, body)
    {
        return Ok(chosen);
    }
    let wanted = |instruction: &Instruction, bytes: &[u8]| {
        x86::price(bytes) == Price::Emulated && !x86::is_refused(instruction, bytes)
    };
    if let Some(chosen) = first_on(&line, code, (address, body, arguments), &wanted) {
        return Ok(chosen);
    }
    let accepted = |instruction: &Instruction, bytes: &[u8]| !x86::is_refused(instruction, bytes);
    first_on(&line, code, (address, body, arguments), &accepted).ok_or(LeftOutReason::Refused)
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

/// Whether something jumps behind the entry and not past the site.
fn is_entered_before(body: &Body, address: u64, site: u64) -> bool {
    let first_inside = body.targets.partition_point(|target| *target <= address);
    body.targets
        .get(first_inside)
        .is_some_and(|target| *target <= site)
}

/// The first instruction of the line that is wanted and that the probe may wait for.
fn first_on(
    line: &[Instruction],
    code: &[u8],
    (address, body, arguments): (u64, &Body, ArgumentRegisters),
    wanted: &dyn Fn(&Instruction, &[u8]) -> bool,
) -> Option<Chosen> {
    let mut registers = InstructionInfoFactory::new();
    for (position, instruction) in line.iter().enumerate() {
        let site = instruction.ip();
        if position > 0 && (body.undecodable || is_entered_before(body, address, site)) {
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

/// Go: `cmp rsp, …; jbe grow; site:`. `grow` starts the function again, so that its entry would be counted twice.
fn behind_stack_check(line: &[Instruction], code: &[u8], address: u64, body: &Body) -> Option<Chosen> {
    let mut registers = InstructionInfoFactory::new();
    let mut compared = false;
    for pair in line.windows(2).take(MAX_STACK_CHECK) {
        let [instruction, next] = pair else { return None };
        if compared && instruction.condition_code() == ConditionCode::be {
            let site = next.ip();
            let bytes = encoded(next, code, address);
            let usable =
                !body.undecodable && !is_entered_before(body, address, site) && !x86::is_refused(next, bytes);
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
        compared = matches!(
            instruction.code(),
            Code::Cmp_r64_rm64 | Code::Cmp_rm64_r64 | Code::Cmp_rm64_imm32 | Code::Cmp_rm64_imm8
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{ArgumentRegisters, Chosen, Prologue, choose, first};
    use crate::probe::plan::{LeftOutReason, Price};
    use crate::probe::test_code::{AT, Assembled};

    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

    fn site_of(assembled: &Assembled, how: (Prologue, ArgumentRegisters)) -> Result<Chosen, LeftOutReason> {
        choose(&assembled.parts[0].1, AT, &assembled.body(), how)
    }

    fn site(bytes: &[u8]) -> (u32, Price) {
        let how = (Prologue::Ordinary, ArgumentRegisters::none());
        let Chosen { distance, price } = site_of(&Assembled::new(bytes), how).unwrap();
        (distance, price)
    }

    #[test]
    fn the_first_instruction_is_probed_on_demand_if_the_kernel_can() {
        let price = Price::SingleStepped;
        assert_eq!(
            first(&with_endbr64(&[0x55, 0xc3]), AT),
            Ok(Chosen { distance: 0, price })
        );
        // lock bts [rdi], 0; vmovq rax, xmm0
        for bytes in [&[0xf0, 0x0f, 0xba, 0x2f, 0][..], &[0xc4, 0xe1, 0xf9, 0x7e, 0xc0]] {
            assert_eq!(first(bytes, AT), Err(LeftOutReason::Refused), "{bytes:x?}");
        }
        assert_eq!(first(&[0x06], AT), Err(LeftOutReason::Undecodable));
    }

    fn with_endbr64(rest: &[u8]) -> Vec<u8> {
        [&ENDBR64[..], rest].concat()
    }

    #[test]
    fn the_site_moves_past_endbr64_to_what_is_emulated() {
        assert_eq!(site(&[0x55, 0xc3]), (0, Price::Emulated));
        // endbr64; push rbp; ret
        assert_eq!(site(&with_endbr64(&[0x55, 0xc3])), (4, Price::Emulated));
        // endbr64; mov eax, edi; test eax, eax; je +1; nop; ret
        assert_eq!(
            site(&with_endbr64(&[0x89, 0xf8, 0x85, 0xc0, 0x74, 1, 0x90, 0xc3])),
            (8, Price::Emulated)
        );
        // mov eax, edi; ret: nothing is emulated
        assert_eq!(site(&[0x89, 0xf8, 0xc3]), (0, Price::SingleStepped));
    }

    #[test]
    fn a_jump_between_entry_and_site_keeps_the_entry() {
        // endbr64; push rbx; pop rbx; test; jne back to the push; ret
        let loops = with_endbr64(&[0x53, 0x5b, 0x85, 0xc0, 0x75, 0xfa, 0xc3]);
        assert_eq!(site(&loops), (0, Price::SingleStepped));
        // The same loop, back to the pop behind the site, disturbs nothing.
        let loops = with_endbr64(&[0x53, 0x5b, 0x85, 0xc0, 0x75, 0xfb, 0xc3]);
        assert_eq!(site(&loops), (4, Price::Emulated));
    }

    #[test]
    fn a_jump_from_a_fragment_counts_too() {
        // endbr64; push rbx; pop rbx; je to the fragment; ret
        let mut assembled = Assembled::new(&with_endbr64(&[0x53, 0x5b, 0x0f, 0x84, 0xf4, 0x0f, 0, 0, 0xc3]));
        // The fragment: jmp to the push.
        assembled.parts.push((0x2000, vec![0xe9, 0xff, 0xef, 0xff, 0xff]));
        assembled.fragments.push((0x2000, 0x2005));
        let how = (Prologue::Ordinary, ArgumentRegisters::none());
        assert_eq!(site_of(&assembled, how).unwrap().distance, 0);
    }

    #[test]
    fn a_changed_stack_pointer_or_argument_ends_the_search() {
        // sub rsp, 8; push rbx; …
        assert_eq!(
            site(&[0x48, 0x83, 0xec, 8, 0x53, 0xc3]),
            (0, Price::SingleStepped)
        );
        // mov rdi, rsi; push rbx; pop rbx; ret
        let assembled = Assembled::new(&[0x48, 0x89, 0xf7, 0x53, 0x5b, 0xc3]);
        let distance = |registers| {
            site_of(&assembled, (Prologue::Ordinary, registers))
                .unwrap()
                .distance
        };
        assert_eq!(distance(ArgumentRegisters::none()), 3);
        assert_eq!(distance(ArgumentRegisters::first(1)), 0);
    }

    #[test]
    fn nothing_is_searched_behind_a_call() {
        // endbr64; xor eax, eax; call …: the call itself is emulated and always executed.
        assert_eq!(
            site(&with_endbr64(&[0x31, 0xc0, 0xe8, 0, 0, 0, 0, 0x55, 0xc3])),
            (6, Price::Emulated)
        );
        // call [rax]; push rbx
        assert_eq!(site(&[0xff, 0x10, 0x53, 0xc3]), (0, Price::SingleStepped));
        // rep movsb; push rbx
        assert_eq!(site(&[0xf3, 0xa4, 0x53, 0xc3]), (0, Price::SingleStepped));
    }

    #[test]
    fn an_indirect_jump_allows_only_what_follows_endbr64() {
        // … jmp [rax*8 + table]: the table cannot be read.
        let jump = [0xff, 0x24, 0xc5, 0, 0, 0, 0x40];
        assert_eq!(
            site(&[&[0x89, 0xf8, 0x53, 0x5b][..], &jump].concat()),
            (0, Price::SingleStepped)
        );
        assert_eq!(
            site(&with_endbr64(&[&[0x53, 0x5b][..], &jump].concat())),
            (4, Price::Emulated)
        );
    }

    #[test]
    fn a_go_function_is_probed_behind_its_stack_check() {
        // cmp rsp, [r14+16]; jbe grow; push rbp; pop rbp; ret; grow: call morestack; jmp entry
        let go = [
            0x49, 0x3b, 0x66, 0x10, 0x76, 3, 0x55, 0x5d, 0xc3, 0xe8, 0, 0x10, 0, 0, 0xeb, 0xf0,
        ];
        let assembled = Assembled::new(&go);
        let chosen = site_of(&assembled, (Prologue::Go, ArgumentRegisters::none())).unwrap();
        assert_eq!(
            chosen,
            Chosen {
                distance: 6,
                price: Price::Emulated
            }
        );
        // Read as C it would be probed at the jump, and counted again after the stack has grown.
        let chosen = site_of(&assembled, (Prologue::Ordinary, ArgumentRegisters::none())).unwrap();
        assert_eq!(chosen.distance, 4);
    }

    #[test]
    fn what_the_kernel_refuses_is_passed_over_or_left_out() {
        // lock inc [rdi]; ret
        assert_eq!(site(&[0xf0, 0xff, 0x07, 0xc3]), (3, Price::SingleStepped));
        let how = (Prologue::Ordinary, ArgumentRegisters::none());
        assert_eq!(
            site_of(&Assembled::new(&[0x0f, 0x0b]), how),
            Err(LeftOutReason::Refused)
        );
        // vpor xmm0, xmm0, xmm1; movq rax, xmm0; ret. Kernels take the first for a jump.
        let vpor = [0xc5, 0xf9, 0xeb, 0xc1, 0x66, 0x48, 0x0f, 0x7e, 0xc0, 0xc3];
        assert_eq!(site(&vpor), (4, Price::SingleStepped));
        // vpor; sub rsp, 8: behind it the return address is no longer at the stack pointer.
        assert_eq!(
            site(&[&vpor[..4], &[0x48, 0x83, 0xec, 8]].concat()),
            (4, Price::SingleStepped)
        );
        // vpor; vpor; jmp to the second
        let loops = [&vpor[..4], &vpor[..4], &[0xeb, 0xfa]].concat();
        assert_eq!(site_of(&Assembled::new(&loops), how), Err(LeftOutReason::Refused));
        assert_eq!(
            site_of(&Assembled::new(&[0x06]), how),
            Err(LeftOutReason::Undecodable)
        );
    }
}
