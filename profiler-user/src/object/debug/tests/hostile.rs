//! Damaged debug information.
use std::time::{Duration, Instant};

use super::Built;
use crate::object::ObjectFile;

/// Check that no damage makes a question panic, or take for ever.
#[test]
fn damaged_debug_information_is_absent_at_worst() {
    for options in [&["-gdwarf-4"][..], &["-gdwarf-5"], &["-gdwarf-5", "-gz=zlib"]] {
        let Some(built) = Built::new(options) else { return };
        let good = std::fs::read(&built.program).unwrap();
        let debug_part = first_section(&built);
        // A generator of Marsaglia's, so that each run tries the same.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let started = Instant::now();
        for round in 0..1500 {
            let mut bytes = good.clone();
            for _ in 0..=round % 12 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let room = (bytes.len() - debug_part) as u64;
                let position = debug_part + ((state >> 8) % room) as usize;
                bytes[position] = match state >> 60 {
                    0..4 => 0xff,
                    4..8 => 0,
                    8..10 => 0x80,
                    _ => state as u8,
                };
            }
            ask_everything(bytes);
        }
        assert!(started.elapsed() < Duration::from_mins(2), "{options:?}");
    }
}

/// Check that a file that is cut off anywhere is read as far as it goes.
#[test]
fn debug_information_that_is_cut_off_is_no_disaster() {
    let Some(built) = Built::new(&["-gdwarf-5"]) else {
        return;
    };
    let good = std::fs::read(&built.program).unwrap();
    // The table of sections is at the end: without it there is nothing; so parts in front are zeroed instead.
    let start = first_section(&built);
    for from in (start..good.len()).step_by(97) {
        let mut bytes = good.clone();
        let end = (from + 400).min(bytes.len());
        bytes[from..end].fill(0);
        ask_everything(bytes);
    }
}

/// Where the first section of debug information starts in the file.
fn first_section(built: &Built) -> usize {
    let table = super::super::sections::SectionTable::read(&built.source()).unwrap();
    table.first_offset() as usize
}

fn ask_everything(bytes: Vec<u8>) {
    let Ok(file) = ObjectFile::parse(bytes, "damaged") else {
        return;
    };
    let Ok(debug) = file.debug().load() else { return };
    let Ok(units) = debug.units() else { return };
    let declarations = units.declarations();
    let places = units.inlined(&|_| true);
    let _addresses = units.lines_where(&|path| path.contains("parser"), &|_| true);
    let entries = file.functions().iter().map(|function| function.address);
    let addresses = entries
        .chain(declarations.iter().map(|declaration| declaration.entry))
        .chain(places.iter().map(|place| place.entry));
    for address in addresses.chain([0, u64::MAX]).take(1000) {
        let _answers = (
            units.frames(address),
            units.declaration(address),
            units.location(address),
        );
    }
}
