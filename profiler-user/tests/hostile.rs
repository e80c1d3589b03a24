//! Parsers of what comes from outside, over a small corpus and what damage makes of it: none panics, takes long, or takes
//! much memory. `fuzz/` looks for more of such input; what it finds belongs into `corpus/`.
#![expect(unused_crate_dependencies, reason = "the library uses them")]
#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a helper of tests says that the test failed"
)]

#[path = "hostile/drive.rs"]
mod drive;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebpf_prof::object::ObjectFile;
use ebpf_prof::object::debug::Search;

/// The longest that one input may take, without optimization and on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most memory that all of them may take, MiB: inputs are small, and no limit of a parser is larger.
const MEMORY: u64 = 600;

/// Marsaglia's generator, so that each run tries the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit.max(1)
    }
}

fn corpus(parser: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(parser);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn timed(parser: drive::Parser, bytes: &[u8], what: &dyn Fn() -> String) {
    let start = Instant::now();
    parser(bytes);
    let taken = start.elapsed();
    assert!(taken < PATIENCE, "{taken:?} for {}", what());
}

/// The most memory that this process has had at once, MiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// One of the ways in which a file is damaged.
fn damage(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let length = bytes.len();
    match random.below(5) {
        0 => bytes.truncate(random.below(length)),
        1 => {
            for _ in 0..=random.below(8) {
                let position = random.below(length);
                bytes[position] ^= 1 << random.below(8);
            }
        }
        // A whole field, of one of the usual widths, at its usual alignment.
        2 | 3 => {
            let width = [2, 4, 8][random.below(3)];
            let position = random.below(length) / width * width;
            let end = (position + width).min(length);
            let value = [0, 0xff, 0x7f, 0x80, 1][random.below(5)];
            bytes[position..end].fill(value);
        }
        // A piece of the file in another place of it.
        _ => {
            let (from, to) = (random.below(length), random.below(length));
            let size = random.below(64).min(length - from.max(to));
            bytes.copy_within(from..from + size, to);
        }
    }
    bytes
}

fn survive(parser: drive::Parser, good: &[u8], rounds: usize, name: &str) {
    timed(parser, good, &|| name.to_owned());
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..rounds {
        let bytes = damage(good, &mut random);
        timed(parser, &bytes, &|| {
            format!("{name}, damaged for the {round}th time")
        });
    }
}

/// Check that every file of the corpus, and thousands of damaged copies, are read in bounded time and memory.
#[test]
fn no_input_is_too_much() {
    for (name, parser) in drive::PARSERS {
        drive::run(name, b"");
        for (path, bytes) in corpus(name) {
            let rounds = if bytes.len() > 1 << 13 { 400 } else { 1500 };
            survive(*parser, &bytes, rounds, &path.display().to_string());
        }
    }
    assert!(peak_memory() < MEMORY, "{} MiB", peak_memory());
}

/// Check the same with a file as compilers make it today.
#[test]
fn damaged_programs_are_errors_at_worst() {
    let source = "#include <stdexcept>\nstatic int __attribute__((noinline)) f(int n) { if (n > 3) throw n; return n; }\n\
                  int main(int n, char **) { try { return f(n); } catch (int) { return 0; } }";
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("program.cc"), folder.path().join("program"));
    fs::write(&input, source).unwrap();
    let built = Command::new("c++")
        .args(["-O1", "-fno-inline"])
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .status();
    if built.is_ok_and(|status| status.success()) {
        survive(drive::elf, &fs::read(&output).unwrap(), 1500, "a program in C++");
    }
}

/// Check the same with the files that a program refers to for the larger part of its debug information, alone (`.dwo`) and
/// packed (`.dwp`).
#[test]
fn damaged_split_debug_information_is_absent_at_worst() {
    let source = "static inline __attribute__((always_inline)) int twice(volatile int *n) { return *n * 2; }\n\
                  int main(int n, char **a) { volatile int m = n; (void)a; return twice(&m); }\n";
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("program.c"), source).unwrap();
        let run = |tool: &str, arguments: &[&str]| {
            let status = Command::new(tool)
                .args(arguments)
                .current_dir(folder.path())
                .stderr(std::process::Stdio::null())
                .status();
            status.is_ok_and(|status| status.success())
        };
        let options = ["-O1", version, "-gsplit-dwarf", "-o", "program", "program.c"];
        if !run("cc", &options) {
            return;
        }
        let ask = || {
            let search = Search {
                path: path("program"),
                ..Search::default()
            };
            let file = ObjectFile::open_with(&path("program"), "program", search).unwrap();
            drive::debug_information(&file);
            let debug = file.debug().load().unwrap();
            let units = debug.units().unwrap();
            units.inlined(&|name| name == "twice").len()
        };
        // Compilers name it in different ways.
        let entries = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut parts: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|kind| kind == "dwo"))
            .collect();
        assert_eq!(parts.len(), 1, "{parts:?}");
        if run("dwp", &["-e", "program", "-o", "program.dwp"]) {
            parts.insert(0, path("program.dwp"));
        }
        for part in parts {
            let good = fs::read(&part).unwrap();
            assert_eq!(ask(), 1, "{}", part.display());
            let mut random = Random(0x2545_f491_4f6c_dd1d);
            for round in 0..700 {
                fs::write(&part, damage(&good, &mut random)).unwrap();
                let start = Instant::now();
                ask();
                assert!(start.elapsed() < PATIENCE, "{}, {round}", part.display());
            }
            fs::remove_file(&part).unwrap();
        }
    }
    assert!(peak_memory() < MEMORY, "{} MiB", peak_memory());
}

/// Check that the headers of an ELF file may say anything: each field of them at each of its extremes.
#[test]
fn every_field_of_the_headers_may_lie() {
    for (path, good) in corpus("elf") {
        let headers = (0..256).chain(good.len().saturating_sub(1024)..good.len());
        for position in headers.step_by(4).filter(|position| position + 8 <= good.len()) {
            for value in [
                [0; 8],
                [0xff; 8],
                [0x7f; 8],
                [0, 0, 0, 0x80, 0, 0, 0, 0],
                [1, 0, 0, 0, 0, 0, 0, 0],
            ] {
                for width in [2, 4, 8] {
                    let mut bytes = good.clone();
                    bytes[position..position + width].copy_from_slice(&value[..width]);
                    timed(drive::elf, &bytes, &|| {
                        format!("{}, {position}: {value:x?}", path.display())
                    });
                }
            }
        }
    }
    assert!(peak_memory() < MEMORY, "{} MiB", peak_memory());
}
