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

/// A program whose debug information has a unit with `entries`, all of the kind 2, which has `attributes`.
fn assembled(attributes: &str, entries: &str, rest: &str) -> Option<Built> {
    let text = format!(
        ".text\n.globl start\n.type start,@function\nstart: ret\n.size start, .-start\n\
         .section .debug_abbrev,\"\",@progbits\n.byte 1,0x11,1,0,0\n.byte 2,0x2e,0\n{attributes}\n.byte 0,0\n.byte 0\n\
         .section .debug_info,\"\",@progbits\n.long 2f-1f\n1: .short 5\n.byte 1,8\n.long 0\n.byte 1\n{entries}\n\
         .byte 0\n2:\n{rest}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("program.s"), text).unwrap();
    let built = Built {
        program: folder.path().join("program"),
        folder,
    };
    let arguments = ["-nostdlib", "-shared", "-o", "program", "program.s"];
    built.run("cc", &arguments).then_some(built)
}

/// Check that files which say much in few bytes cost no more than their size allows.
#[test]
fn work_that_takes_no_bytes_is_bounded_all_the_same() {
    let empty_ranges = ".section .debug_rnglists,\"\",@progbits\n.long 2f-1f\n1: .short 5\n.byte 8,0\n.long 0\n\
                        .fill 300000,3,4\n.byte 0\n2:";
    for (attributes, entries, rest) in [
        // Attributes without bytes: more than make sense, and as many as may be.
        (".fill 500000,2,0x193f", ".fill 300000,1,2", ""),
        (".fill 200,2,0x193f", ".fill 2000000,1,2", ""),
        // Ranges that are none, in a list that all entries have.
        (".byte 0x55,0x17", ".fill 200000,5,0xc02", empty_ranges),
    ] {
        let Some(built) = assembled(attributes, entries, rest) else {
            return;
        };
        let started = Instant::now();
        let file = built.open();
        let debug = file.debug().load().unwrap();
        let units = debug.units().unwrap();
        assert!(units.declarations().is_empty());
        let address = super::address(&file, "start");
        assert!(units.frames(address).is_empty() && units.inlined(&|_| true).is_empty());
        let taken = started.elapsed();
        assert!(taken < Duration::from_secs(20), "{taken:?} for {attributes}");
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
