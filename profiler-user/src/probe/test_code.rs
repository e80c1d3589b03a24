//! Hand-assembled functions with their surroundings, for tests.
use std::collections::HashMap;

use super::body::{self, Body, Surroundings};
use crate::object::Code;

/// Where the code of the tests lies.
pub(super) const AT: u64 = 0x1000;

/// Code, and what lies around it.
#[derive(Default)]
pub(super) struct Assembled {
    pub(super) parts: Vec<(u64, Vec<u8>)>,
    pub(super) fragments: Vec<(u64, u64)>,
    pub(super) landing_pads: Vec<u64>,
    pub(super) imports: HashMap<u64, &'static str>,
    pub(super) memory: Vec<(u64, Vec<u8>)>,
}

impl Assembled {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self {
            parts: vec![(AT, bytes.to_vec())],
            ..Self::default()
        }
    }

    pub(super) fn body(&self) -> Body {
        body::follow(self, AT, AT + self.parts[0].1.len() as u64)
    }
}

impl Surroundings for Assembled {
    fn code(&self, start: u64, end: u64) -> Option<&[u8]> {
        let (address, bytes) = self.parts.iter().find(|(address, _)| *address == start)?;
        bytes.get(..(end - address) as usize)
    }

    fn fragment(&self, _function: u64, address: u64) -> Option<(u64, u64)> {
        self.fragments
            .iter()
            .copied()
            .find(|(start, end)| (*start..*end).contains(&address))
    }

    fn landing_pads(&self, start: u64) -> Vec<u64> {
        if start == AT {
            self.landing_pads.clone()
        } else {
            Vec::new()
        }
    }

    fn import_at(&self, stub: u64) -> Option<&str> {
        self.imports.get(&stub).copied()
    }

    fn import_in_slot(&self, slot: u64) -> Option<&str> {
        self.imports.get(&slot).copied()
    }

    fn read_memory(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let memory = self
            .memory
            .iter()
            .map(|(start, bytes)| Code::from_bytes(*start, bytes.clone()));
        let found = memory.into_iter().find_map(|memory| {
            memory
                .bytes(address, address + buffer.len() as u64)
                .map(<[u8]>::to_vec)
        })?;
        buffer.copy_from_slice(&found);
        Some(())
    }
}
