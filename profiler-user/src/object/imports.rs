//! Calls into other objects: which procedure linkage stub, and which slot of the offset table, stands for whom.
use std::collections::HashMap;

use iced_x86::{Code, Decoder, DecoderOptions};

use super::names::{Arena, Span};

/// Who is behind the stubs and slots of one file.
#[derive(Debug, Default)]
pub struct Imports {
    /// By the address of the slot.
    slots: HashMap<u64, Span>,
    /// By the address of the stub, the slot through which it jumps.
    stubs: HashMap<u64, u64>,
    /// What lies in stubs' sections: start and end.
    stub_sections: Vec<(u64, u64)>,
}

/// The name that a call reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Import(Span);

impl Imports {
    pub(super) fn add_slot(&mut self, slot: u64, name: Span) {
        self.slots.insert(slot, name);
    }

    /// Reads a section of stubs. All slots must be known.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the instruction set has thousands of codes"
    )]
    pub(super) fn add_stub_section(&mut self, address: u64, bytes: &[u8]) {
        self.stub_sections
            .push((address, address.saturating_add(bytes.len() as u64)));
        let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
        let mut start = address;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            match instruction.code() {
                Code::Jmp_rm64 if instruction.is_ip_rel_memory_operand() => {
                    self.stubs.insert(start, instruction.ip_rel_memory_address());
                    start = instruction.next_ip();
                }
                // What ends a stub's lazy half, and what fills the room between two stubs.
                Code::Jmp_rel32_64
                | Code::Nopd
                | Code::Nopw
                | Code::Nop_rm16
                | Code::Nop_rm32
                | Code::Nop_rm64
                | Code::Int3
                | Code::INVALID => start = instruction.next_ip(),
                _ => {}
            }
        }
    }

    /// Whether the address lies in a section of stubs: what is there is no function.
    pub fn is_stub(&self, address: u64) -> bool {
        self.stub_sections
            .iter()
            .any(|(start, end)| (*start..*end).contains(&address))
    }

    pub(crate) fn by_slot(&self, slot: u64) -> Option<Import> {
        self.slots.get(&slot).copied().map(Import)
    }

    pub(crate) fn by_stub(&self, address: u64) -> Option<Import> {
        self.by_slot(*self.stubs.get(&address)?)
    }
}

impl super::ObjectFile {
    /// The name of what is called through the stub at this address.
    pub fn import_at(&self, stub: u64) -> Option<&str> {
        self.imports()
            .by_stub(stub)
            .map(|import| self.import_name(import))
    }

    /// The name of what is called through this slot of the offset table.
    pub fn import_in_slot(&self, slot: u64) -> Option<&str> {
        self.imports()
            .by_slot(slot)
            .map(|import| self.import_name(import))
    }

    pub(crate) fn import_name(&self, import: Import) -> &str {
        self.facts.arena.text(import.0)
    }
}

impl Arena {
    /// Stores an imported name without its version.
    pub(super) fn store_import(&mut self, raw: &[u8]) -> Option<Span> {
        self.store(super::symbols::without_version(raw))
    }
}
