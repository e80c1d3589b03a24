//! What a function does, found by following its control flow: where it is left, whom it calls, where it jumps.
//!
//! Only what can be reached is decoded. Data between instructions is thus never taken for code, which matters: a
//! breakpoint on data would change the target's data.
use iced_x86::{Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, Register};

use profiler_common::cookie::Leave;

use super::part::Part;
use super::plan::Price;
use super::{callees, tables, x86};

/// The largest function that is decoded, bytes.
const MAX_SIZE: u64 = 4 << 20;

/// The most fragments that one function has.
const MAX_FRAGMENTS: usize = 64;

/// What lies around a function: its object, seen from the decoder.
pub(super) trait Surroundings {
    /// The code bytes in `start..end`.
    fn code(&self, start: u64, end: u64) -> Option<&[u8]>;
    /// The part of the function at `function` that lies outside of it and contains `address`, as start and end.
    fn fragment(&self, function: u64, address: u64) -> Option<(u64, u64)>;
    /// Where exceptions land that come from the part of a function that starts here.
    fn landing_pads(&self, start: u64) -> Vec<u64>;
    /// Whose function the stub at this address calls.
    fn import_at(&self, stub: u64) -> Option<&str>;
    /// Whose function is called through this slot.
    fn import_in_slot(&self, slot: u64) -> Option<&str>;
    /// Fills the buffer from the object's memory as the file has it.
    fn read_memory(&self, address: u64, buffer: &mut [u8]) -> Option<()>;
}

/// An instruction that leaves the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exit {
    pub(super) address: u64,
    /// For a conditional jump: the condition under which it is taken.
    pub(super) condition: Option<u8>,
    pub(super) leave: Leave,
    /// Where the jump leads, if that is written in it.
    pub(super) target: Option<u64>,
    pub(super) emulated: bool,
    /// The kernel takes no breakpoint there.
    pub(super) refused: bool,
}

/// What a function does.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each asked for on its own"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    /// Sorted by address.
    pub(super) exits: Vec<Exit>,
    /// Addresses within the function, and its fragments, that something jumps to.
    pub(super) targets: Vec<u64>,
    /// Addresses of the functions of the same object that it calls or jumps to.
    pub(super) callees: Vec<u64>,
    /// Where its parts that lie outside of it start.
    pub(super) fragments: Vec<u64>,
    /// It calls something.
    pub(super) calls: bool,
    /// It calls something of which nothing is known.
    pub(super) unknown_call: bool,
    /// It has an indirect jump that may stay within it.
    pub(super) indirect_jump: bool,
    /// It may be left in a way that is not among the exits.
    pub(super) unseen_exit: bool,
    /// It gives the stack pointer a new value that may belong to another stack.
    pub(super) replaces_stack: bool,
    /// Not all of it could be decoded.
    pub(super) undecodable: bool,
}

/// An indirect jump whose targets are looked for when everything else has been followed.
pub(super) struct IndirectJump {
    pub(super) address: u64,
    /// Where the straight line that leads to it starts.
    pub(super) line: u64,
    /// What it is if it leaves the function.
    exit: Exit,
}

/// Where an indirect jump goes.
pub(super) enum Target {
    /// To these addresses within the function.
    Within(Vec<u64>),
    /// To an address that was computed elsewhere.
    Anywhere,
    /// Through a table that could not be read.
    Unknown,
}

fn exit_at(instruction: &Instruction, encoded: &[u8], condition: Option<u8>) -> Exit {
    Exit {
        address: instruction.ip(),
        condition,
        leave: if instruction.flow_control() == FlowControl::Return {
            Leave::Return
        } else {
            Leave::Jump
        },
        target: matches!(
            instruction.flow_control(),
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
        )
        .then(|| instruction.near_branch_target()),
        emulated: x86::price(encoded) == Price::Emulated,
        refused: x86::is_refused(instruction, encoded),
    }
}

/// The state of following one function.
pub(super) struct Walk<'a, S> {
    pub(super) around: &'a S,
    function: u64,
    parts: Vec<Part<'a>>,
    pending: Vec<u64>,
    indirect: Vec<IndirectJump>,
    /// Jumps through a register or a slot that are no `switch`: tail calls, if nothing else can be their target.
    tail_jumps: Vec<Exit>,
    /// Registers that were given a fixed address: the tables that jumps may go through.
    pub(super) bases: Vec<(Register, u64)>,
    body: Body,
}

/// Whether following the function in `start..end` leads to an instruction at this address. Where not everything could
/// be decoded nothing is sure.
pub(super) fn reaches<S: Surroundings>(around: &S, (start, end): (u64, u64), address: u64) -> bool {
    let mut walk = Walk::new(around, start);
    walk.add_part(start, end);
    walk.pending.push(start);
    walk.run();
    let starts_at = |part: &Part<'_>| part.contains(address) && part.is_start(address);
    !walk.body.undecodable && walk.parts.iter().any(starts_at)
}

/// Follows the function in `start..end`.
pub(super) fn follow<S: Surroundings>(around: &S, start: u64, end: u64) -> Body {
    let mut walk = Walk::new(around, start);
    walk.add_part(start, end);
    walk.pending.push(start);
    walk.run();
    let mut body = walk.body;
    body.exits.sort_unstable();
    body.exits.dedup();
    body.targets.sort_unstable();
    body.targets.dedup();
    body.callees.sort_unstable();
    body.callees.dedup();
    body
}

/// `mov rsp, …` other than from the frame pointer, `xchg rsp`, `pop rsp`.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the instruction set has thousands of codes"
)]
fn replaces_stack(instruction: &Instruction) -> bool {
    match instruction.code() {
        Code::Mov_r64_rm64 | Code::Mov_rm64_r64 => {
            instruction.op0_register() == Register::RSP && instruction.op1_register() != Register::RBP
        }
        Code::Pop_r64 => instruction.op0_register() == Register::RSP,
        Code::Xchg_rm64_r64 => {
            [instruction.op0_register(), instruction.op1_register()].contains(&Register::RSP)
        }
        _ => false,
    }
}

/// OCaml raises an exception with `mov rsp, [r14 + …]` (or `mov rsp, r14`), a pop of the handler before that one, and
/// `ret`, or `pop r11; jmp r11`.
fn is_raising(instruction: &Instruction, raises: bool) -> bool {
    let to_handler = matches!(instruction.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64)
        && instruction.op0_register() == Register::RSP
        && [instruction.op1_register(), instruction.memory_base()].contains(&Register::R14);
    let pops = matches!(instruction.code(), Code::Pop_r64 | Code::Pop_rm64);
    to_handler || (raises && pops)
}

impl<'a, S: Surroundings> Walk<'a, S> {
    fn new(around: &'a S, function: u64) -> Self {
        Self {
            around,
            function,
            parts: Vec::new(),
            pending: Vec::new(),
            indirect: Vec::new(),
            tail_jumps: Vec::new(),
            bases: Vec::new(),
            body: Body::default(),
        }
    }

    fn add_part(&mut self, start: u64, end: u64) {
        match self.around.code(start, end) {
            Some(bytes) if end - start <= MAX_SIZE => {
                self.parts.push(Part::new(start, end, bytes));
                self.pending.extend(self.around.landing_pads(start));
            }
            Some(_) | None => self.body.undecodable = true,
        }
    }

    fn run(&mut self) {
        loop {
            while let Some(address) = self.pending.pop() {
                if self.body.undecodable {
                    return;
                }
                // An exception may land in a part that nothing has jumped to yet.
                if self.owns(address)
                    && let Some(part) = self.parts.iter().position(|part| part.contains(address))
                {
                    self.follow_line(part, address);
                }
            }
            let Some(jump) = self.indirect.pop() else {
                return self.judge_tail_jumps();
            };
            match tables::targets(self, &jump) {
                Target::Within(targets) => {
                    self.body.indirect_jump = true;
                    self.body.targets.extend(&targets);
                    self.pending.extend(targets);
                }
                Target::Anywhere => self.tail_jumps.push(jump.exit),
                Target::Unknown => {
                    self.body.indirect_jump = true;
                    self.body.unseen_exit = true;
                }
            }
        }
    }

    /// A jump to an address that is computed elsewhere leaves the function, unless there is code within it that
    /// nothing else leads to.
    fn judge_tail_jumps(&mut self) {
        if self.tail_jumps.is_empty() {
            return;
        }
        if self.parts.iter().all(Part::is_covered) {
            self.body.exits.append(&mut self.tail_jumps);
            self.body.calls = true;
            self.body.unknown_call = true;
        } else {
            self.body.indirect_jump = true;
            self.body.unseen_exit = true;
        }
    }

    /// Whether the address belongs to this function; takes in the fragment that it lies in.
    pub(super) fn owns(&mut self, address: u64) -> bool {
        if self.parts.iter().any(|part| part.contains(address)) {
            return true;
        }
        match self.around.fragment(self.function, address) {
            Some((start, end)) if self.parts.len() <= MAX_FRAGMENTS => {
                self.add_part(start, end);
                self.body.fragments.push(start);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The instructions from `line` to before `address`.
    pub(super) fn instructions(&self, line: u64, address: u64) -> Vec<Instruction> {
        let Some(part) = self.parts.iter().find(|part| part.contains(line)) else {
            return Vec::new();
        };
        let bytes = &part.bytes()[(line - part.start()) as usize..];
        let mut decoder = Decoder::with_ip(64, bytes, line, DecoderOptions::NONE);
        decoder
            .iter()
            .take_while(|instruction| instruction.ip() <= address)
            .collect()
    }

    fn follow_line(&mut self, index: usize, line: u64) {
        let bytes = self.parts[index].bytes();
        let (start, end) = (self.parts[index].start(), self.parts[index].end());
        let mut decoder = Decoder::with_ip(64, &bytes[(line - start) as usize..], line, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        let (mut called, mut raises) = (false, false);
        loop {
            let address = decoder.ip();
            if address >= end {
                // What follows a last call is never reached: the call does not return.
                self.body.unseen_exit |= !called;
                return;
            }
            if self.parts[index].is_start(address) {
                return;
            }
            decoder.decode_out(&mut instruction);
            if instruction.is_invalid() || !self.parts[index].mark(address, instruction.len()) {
                self.body.undecodable = true;
                return;
            }
            // Go puts a `nop` behind calls that do not return.
            called &= instruction.code() == Code::Nopd;
            let encoded = &bytes[(address - start) as usize..][..instruction.len()];
            match instruction.flow_control() {
                FlowControl::Next => {
                    self.note(&instruction);
                    raises = is_raising(&instruction, raises);
                }
                // To the handler, whose own function goes on: this one does not return.
                FlowControl::IndirectBranch | FlowControl::Return if raises => return,
                FlowControl::Call | FlowControl::IndirectCall => {
                    self.call(&instruction);
                    called = true;
                }
                FlowControl::ConditionalBranch => self.jump(&instruction, encoded),
                FlowControl::UnconditionalBranch => return self.jump(&instruction, encoded),
                FlowControl::IndirectBranch => return self.indirect_jump(&instruction, encoded, line),
                FlowControl::Return => return self.exit(&instruction, encoded, None),
                FlowControl::Exception => return,
                FlowControl::Interrupt if instruction.code() == Code::Int3 => return,
                FlowControl::Interrupt => called = true,
                FlowControl::XbeginXabortXend => {}
            }
        }
    }

    fn note(&mut self, instruction: &Instruction) {
        self.body.replaces_stack |= replaces_stack(instruction);
        if instruction.code() == Code::Lea_r64_m && instruction.is_ip_rel_memory_operand() {
            let base = (instruction.op0_register(), instruction.ip_rel_memory_address());
            if !self.bases.contains(&base) {
                self.bases.push(base);
            }
        }
    }

    fn exit(&mut self, instruction: &Instruction, encoded: &[u8], condition: Option<u8>) {
        self.body.exits.push(exit_at(instruction, encoded, condition));
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other sixteen are what the processor counts"
    )]
    fn jump(&mut self, instruction: &Instruction, encoded: &[u8]) {
        let target = instruction.near_branch_target();
        if self.owns(target) {
            self.body.targets.push(target);
            self.pending.push(target);
            return;
        }
        let conditional = instruction.flow_control() == FlowControl::ConditionalBranch;
        match instruction.condition_code() {
            // `jrcxz` and `loop` have none that a probe could tell.
            ConditionCode::None if conditional => self.body.unseen_exit = true,
            ConditionCode::None => self.exit(instruction, encoded, None),
            condition => self.exit(instruction, encoded, Some(condition as u8 - 1)),
        }
        self.callee(target);
    }

    fn indirect_jump(&mut self, instruction: &Instruction, encoded: &[u8], line: u64) {
        if instruction.is_ip_rel_memory_operand() {
            self.exit(instruction, encoded, None);
            self.callee_in_slot(instruction.ip_rel_memory_address());
            return;
        }
        let exit = exit_at(instruction, encoded, None);
        self.indirect.push(IndirectJump {
            address: instruction.ip(),
            line,
            exit,
        });
    }

    fn call(&mut self, instruction: &Instruction) {
        if instruction.flow_control() == FlowControl::Call {
            let target = instruction.near_branch_target();
            // `call 1f; 1: pop` reads the instruction pointer.
            if target != instruction.next_ip() {
                self.callee(target);
            }
        } else if instruction.is_ip_rel_memory_operand() {
            self.callee_in_slot(instruction.ip_rel_memory_address());
        } else {
            self.body.calls = true;
            self.body.unknown_call = true;
        }
    }

    fn callee(&mut self, target: u64) {
        self.body.calls = true;
        match self.around.import_at(target) {
            Some(name) => self.body.unknown_call |= !callees::is_harmless(name),
            None => self.body.callees.push(target),
        }
    }

    fn callee_in_slot(&mut self, slot: u64) {
        self.body.calls = true;
        self.body.unknown_call |= !self.around.import_in_slot(slot).is_some_and(callees::is_harmless);
    }
}
