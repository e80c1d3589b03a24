//! The code of a function in the memory of a process: what the kernel has planted there.
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

/// `int3`, which stands for an instruction that is probed.
const BREAKPOINT: u8 = 0xcc;

/// Whether a process has a breakpoint in a function of its program; `file` is a copy of the program.
pub fn has_breakpoint(pid: u32, file: &Path, function: &str) -> bool {
    let (address, size) = symbol(file, function);
    let bytes = fs::read(file).expect("the program can be read");
    // Compilers and linkers here put code at the same place in the file and in memory.
    let original = &bytes[address as usize..][..size];
    let mut memory = vec![0; size];
    File::open(format!("/proc/{pid}/mem"))
        .and_then(|file| file.read_exact_at(&mut memory, place_of(pid, address)))
        .unwrap_or_else(|error| panic!("the memory of {pid} cannot be read: {error}"));
    let changed: Vec<u8> = memory
        .iter()
        .zip(original)
        .filter(|(now, before)| now != before)
        .map(|(now, _)| *now)
        .collect();
    assert!(
        changed.iter().all(|byte| *byte == BREAKPOINT),
        "{pid}: {memory:x?}, not {original:x?}"
    );
    !changed.is_empty()
}

/// Where an offset of the program's file is in the memory of a process.
fn place_of(pid: u32, offset: u64) -> u64 {
    let program = fs::read_link(format!("/proc/{pid}/exe")).expect("the program is known");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the mappings can be read");
    let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
    let place = maps.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [range, "r-xp", begin, _, _, path] = fields[..] else {
            return None;
        };
        let (start, end) = range.split_once('-')?;
        let (start, end, begin) = (number(start), number(end), number(begin));
        let inside = offset.checked_sub(begin)?;
        (Path::new(path) == program && inside < end - start).then_some(start + inside)
    });
    place.unwrap_or_else(|| panic!("the program does not map {offset:#x}:\n{maps}"))
}

/// Address and size of a function.
fn symbol(file: &Path, function: &str) -> (u64, usize) {
    let output = Command::new("nm").arg("-S").arg(file).output();
    let text = String::from_utf8_lossy(&output.expect("`nm` can be started").stdout).into_owned();
    let found = text.lines().find_map(|line| {
        let [address, size, _, name] = line.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        (name == function).then(|| {
            Some((
                u64::from_str_radix(address, 16).ok()?,
                usize::from_str_radix(size, 16).ok()?,
            ))
        })?
    });
    found.unwrap_or_else(|| panic!("`{function}` is no function of `{}`", file.display()))
}
