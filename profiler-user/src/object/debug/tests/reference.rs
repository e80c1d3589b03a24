//! The answers beside those of `llvm-symbolizer`, for addresses all over real files.
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::object::ObjectFile;
use crate::object::debug::{Frame, Search, Units};

const ADDRESSES: usize = 10_000;

/// What may differ, by reason.
#[derive(Debug, Default)]
struct Differences {
    /// Addresses in functions with several symbols at their start: the other picks one of them, and the debug information
    /// names one of them, or none.
    aliases: usize,
    /// Addresses in functions whose one symbol the other shows, and the debug information has the name in its language only,
    /// or none.
    symbols: usize,
    /// Lines 0 (code that belongs to no line) for which the other has put the unit's name in place of a file's.
    no_line: usize,
    /// Relative folders that the other has written twice: it takes folder 0 of DWARF 5 for relative to itself.
    folder_twice: usize,
    /// Declarations that are the same.
    declarations: usize,
    /// Everything else.
    wrong: Vec<String>,
}

/// Addresses in the code sections, each run the same.
fn addresses(file: &ObjectFile) -> Vec<u64> {
    let functions: Vec<_> = file
        .functions()
        .iter()
        .filter(|function| function.size > 0)
        .collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 8) % below
    };
    (0..ADDRESSES)
        .map(|_| {
            let function = functions[random(functions.len() as u64) as usize];
            function.address + random(function.size)
        })
        .collect()
}

/// One line of JSON for each address; `None` where the tool is missing.
fn ask(path: &Path, addresses: &[u64]) -> Option<Vec<Value>> {
    let mut child = Command::new("llvm-symbolizer")
        .arg(format!("--obj={}", path.display()))
        .args(["--output-style=JSON", "--no-demangle"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take().unwrap();
    let mut text = String::new();
    for address in addresses {
        writeln!(text, "{address:#x}").unwrap();
    }
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

impl Differences {
    fn frame(&mut self, address: u64, frame: &Frame<'_>, other: &Value) {
        let (file, line) = frame
            .location
            .as_ref()
            .map_or(("", 0), |location| (&*location.file, location.line));
        let (other_file, other_line) = (
            other["FileName"].as_str().unwrap(),
            other["Line"].as_u64().unwrap(),
        );
        let folder = other_file.strip_suffix(file).unwrap_or_default();
        if u64::from(line) != other_line {
            self.wrong
                .push(format!("{address:#x}: {file}:{line}, not {other}"));
        } else if file == other_file {
        } else if line == 0 {
            self.no_line += 1;
        } else if !folder.is_empty() && !folder.starts_with('/') && file.starts_with(folder) {
            self.folder_twice += 1;
        } else {
            self.wrong.push(format!("{address:#x}: {file}, not {other}"));
        }
    }

    fn functions(&mut self, address: u64, (file, frames): (&ObjectFile, &[Frame<'_>]), other: &[Value]) {
        let name = |other: &Value| other["FunctionName"].as_str().unwrap().to_owned();
        let (Some((outer, inner)), Some((other_outer, other_inner))) =
            (frames.split_last(), other.split_last())
        else {
            return;
        };
        for (frame, other) in inner.iter().zip(other_inner) {
            if frame.function.as_deref() != Some(name(other).as_str()) {
                self.wrong
                    .push(format!("{address:#x}: {:?}, not {other}", frame.function));
            }
        }
        let other = name(other_outer);
        if outer.function.as_deref() == Some(other.as_str()) || (outer.function.is_none() && other.is_empty())
        {
            return;
        }
        // The other takes the name from the table of symbols, if that has one there, and in any of its names.
        let function = &file.functions()[file.function_containing(address).unwrap()];
        let symbols: Vec<&str> = file.names(function).map(|name| name.raw).collect();
        let own = outer.function.as_deref();
        let is_one = own.is_none_or(|own| symbols.contains(&own));
        match &*symbols {
            [symbol] if *symbol == other && own.is_none_or(|own| is_name_in(own, symbol)) => {
                self.symbols += 1;
            }
            [_, _, ..] if symbols.contains(&other.as_str()) && is_one => self.aliases += 1,
            _ => self
                .wrong
                .push(format!("{address:#x}: {own:?}, not {other}, of {symbols:?}")),
        }
    }
}

/// Whether a symbol may be that of a function with this name in its language: `{closure#0}` or `get<u8>`.
fn is_name_in(name: &str, symbol: &str) -> bool {
    let start = name.trim_start_matches('{');
    let end = start.find(['<', '#', '}', '_']).unwrap_or(start.len());
    symbol.contains(&start[..end])
}

/// Fails where everything must run, as elsewhere (`cargo xtask setup --tests` installs it), and else says what is missing.
fn cannot_run(missing: &str) -> Option<Differences> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    assert!(
        !is_set("EBPF_PROF_REQUIRE_KERNEL") && !is_set("CI"),
        "there is no {missing}: `cargo xtask setup --tests` installs it"
    );
    eprintln!("skipped: there is no {missing}");
    None
}

/// Compares all answers for a file; `None` where that is not possible here.
fn compare(path: &Path) -> Option<Differences> {
    let search = Search {
        path: path.to_owned(),
        ..Search::default()
    };
    let Ok(file) = ObjectFile::open_with(path, "file", search) else {
        return cannot_run(&path.display().to_string());
    };
    let Ok(debug) = file.debug().load() else {
        return cannot_run(&format!(
            "debug information of `{}` (package libc6-dbg)",
            path.display()
        ));
    };
    let units = debug.units().unwrap();
    let addresses = addresses(&file);
    let Some(others) = ask(path, &addresses) else {
        return cannot_run("`llvm-symbolizer` (package llvm)");
    };
    assert_eq!(others.len(), ADDRESSES);
    let mut differences = Differences::default();
    let mut inlined = 0;
    for (address, other) in addresses.into_iter().zip(&others) {
        let other = other["Symbol"].as_array().unwrap();
        let frames = units.frames(address);
        let is_nothing = frames.is_empty() && other.iter().all(|other| other["Line"] == 0);
        if frames.len() != other.len() && !is_nothing {
            differences
                .wrong
                .push(format!("{address:#x}: {frames:?}, not {other:?}"));
            continue;
        }
        inlined += frames.len().saturating_sub(1);
        for (frame, other) in frames.iter().zip(other) {
            differences.frame(address, frame, other);
        }
        differences.functions(address, (&file, &frames), other);
    }
    assert!(
        inlined > ADDRESSES / 20,
        "only {inlined} inlined functions were met"
    );
    differences.declarations = check_declarations(path, &file, &units);
    Some(differences)
}

/// Check that functions are declared where the other says that they start.
fn check_declarations(path: &Path, file: &ObjectFile, units: &Units<'_>) -> usize {
    let entries: Vec<u64> = file
        .functions()
        .iter()
        .map(|function| function.address)
        .take(2000)
        .collect();
    let mut known = 0;
    for (address, other) in entries.iter().zip(ask(path, &entries).unwrap()) {
        let other = other["Symbol"].as_array().unwrap().last().unwrap().clone();
        let starts_there = other["StartAddress"] == format!("{address:#x}");
        if let (true, Some(line @ 1..)) = (starts_there, other["StartLine"].as_u64()) {
            known += 1;
            let declared = units
                .declaration(*address)
                .map(|declared| u64::from(declared.line));
            assert_eq!(declared, Some(line), "{address:#x}: {other}");
        }
    }
    known
}

/// Check a Rust program (this one), with thousands of units, and DWARF 4 or 5 as the compiler likes.
#[test]
fn answers_for_this_program_are_those_of_llvm() {
    let Some(differences) = compare(&std::env::current_exe().unwrap()) else {
        return;
    };
    assert_eq!(differences.wrong, [""; 0]);
    assert_eq!(differences.folder_twice, 0);
    assert!(differences.no_line < ADDRESSES / 200, "{}", differences.no_line);
    assert!(differences.aliases < ADDRESSES / 200, "{}", differences.aliases);
}

/// Check the C library, whose debug information is in a file of its own, compressed (package libc6-dbg).
#[test]
fn answers_for_the_c_library_are_those_of_llvm() {
    let library = PathBuf::from(format!("/lib/{}-linux-gnu/libc.so.6", std::env::consts::ARCH));
    let Some(differences) = compare(&library) else {
        return;
    };
    assert_eq!(differences.wrong, [""; 0]);
    assert!(differences.declarations > 1000, "{}", differences.declarations);
    assert_eq!(differences.no_line, 0);
    // Four of ten functions there have several names; few have only a symbol.
    assert!(differences.symbols < ADDRESSES / 200, "{}", differences.symbols);
}
