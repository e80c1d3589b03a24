//! The bytes of one part of a function, and which of them are known to be instructions.
use iced_x86::{Decoder, DecoderOptions, Mnemonic};

/// One contiguous part of a function.
pub(super) struct Part<'a> {
    start: u64,
    end: u64,
    bytes: &'a [u8],
    /// One bit per byte: an instruction starts there.
    starts: Vec<u64>,
    /// One bit per byte: it belongs to an instruction.
    covered: Vec<u64>,
}

impl<'a> Part<'a> {
    pub(super) fn new(start: u64, end: u64, bytes: &'a [u8]) -> Self {
        let words = bytes.len().div_ceil(64);
        Self {
            start,
            end,
            bytes,
            starts: vec![0; words],
            covered: vec![0; words],
        }
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn bit(bits: &[u64], index: usize) -> bool {
        bits.get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 != 0)
    }

    pub(super) fn is_start(&self, address: u64) -> bool {
        Self::bit(&self.starts, (address - self.start) as usize)
    }

    /// Whether every instruction is known: what is not covered is padding.
    pub(super) fn is_covered(&self) -> bool {
        let mut index = 0;
        while index < self.bytes.len() {
            if Self::bit(&self.covered, index) {
                index += 1;
                continue;
            }
            let gap = Decoder::new(64, &self.bytes[index..], DecoderOptions::NONE).decode();
            let padding = matches!(
                gap.mnemonic(),
                Mnemonic::Nop | Mnemonic::Int3 | Mnemonic::Ud2 | Mnemonic::Hlt
            );
            if !padding {
                return false;
            }
            index += gap.len();
        }
        true
    }

    /// Marks an instruction; `false` if it overlaps another one.
    pub(super) fn mark(&mut self, address: u64, length: usize) -> bool {
        let first = (address - self.start) as usize;
        let overlaps = (first..first + length).any(|index| Self::bit(&self.covered, index));
        self.starts[first / 64] |= 1 << (first % 64);
        for index in first..first + length {
            self.covered[index / 64] |= 1 << (index % 64);
        }
        !overlaps
    }
}
