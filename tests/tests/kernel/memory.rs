//! Allocations: every number that the sample program knows is the same here.
use std::collections::BTreeMap;

use profiler_common::loss::LossReason;
use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::memory::{Numbers, follow};
use tests::program::Program;
use tests::report::Report;
use tests::session::plain;
use tests::target::{Outcome, Target};

pub(super) fn heap() -> std::path::PathBuf {
    Program::new("heap.cpp")
        .flags(&[
            "-O1",
            "-std=c++17",
            "-fno-builtin",
            "-Wno-unused-result",
            "-no-pie",
        ])
        .build()
}

/// The blocks that the program says are alive.
fn true_blocks(outcome: &Outcome) -> BTreeMap<u64, u64> {
    let lines = outcome
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("block "));
    lines
        .map(|line| {
            let (address, size) = line.split_once(' ').expect("an address and a size");
            (
                address.parse().expect("a number"),
                size.parse().expect("a number"),
            )
        })
        .collect()
}

/// Check that the numbers are those that the program counted itself.
pub(super) fn assert_is_truth(found: &Numbers, outcome: &Outcome, report: &Report) {
    for number in [
        "allocations",
        "bytes",
        "frees",
        "live_count",
        "live_bytes",
        "failed",
    ] {
        assert_eq!(
            found[number],
            outcome.truth_of(number),
            "{number}: {:#}",
            report.json
        );
    }
}

/// Check that failures, reallocations, alignments and all forms of `new` are counted as what they are.
#[test]
fn every_function_of_c_and_cpp_is_counted_exactly() {
    let program = heap();
    let without = plain(&program, &["edges"]);
    for_each_attach_mode(|mode| {
        let (outcome, report) = follow(&program, &["edges"], mode, &["--blocks", "100000"]);
        let truth = outcome.truth();
        let found = report.memory_of(&program);
        for name in [
            "allocations",
            "bytes",
            "frees",
            "live_count",
            "live_bytes",
            "failed",
        ] {
            assert_eq!(found[name], truth[name], "{name}: {:#}", report.json);
        }
        assert_eq!(
            report.family("heap", "peak_bytes"),
            truth["peak"],
            "{:#}",
            report.json
        );
        assert_eq!(found["at_peak_bytes"], truth["peak"], "{:#}", report.json);
        assert_eq!(report.blocks(&report.callers_in(&program)), true_blocks(&outcome));
        assert_eq!(report.family("heap", "unknown_frees"), 0, "{:#}", report.json);
        assert_eq!(report.family("heap", "missed_frees"), 0);
        report.assert_memory_is_complete();
        let truths = |outcome: &Outcome| outcome.truth();
        assert_eq!(
            truths(&outcome),
            truths(&without),
            "the program works as without probes"
        );
    });
}

/// Check that blocks that other threads free are found by their addresses, and none is counted twice.
#[test]
fn eight_threads_that_free_each_others_blocks_are_counted_exactly() {
    let program = heap();
    for_each_attach_mode(|mode| {
        let (outcome, report) = follow(&program, &["threads", "8", "4000"], mode, &["--blocks", "100000"]);
        let truth = outcome.truth();
        let found = report.memory_of(&program);
        for name in [
            "allocations",
            "bytes",
            "frees",
            "live_count",
            "live_bytes",
            "failed",
        ] {
            assert_eq!(found[name], truth[name], "{name}: {:#}", report.json);
        }
        assert_eq!(report.blocks(&report.callers_in(&program)), true_blocks(&outcome));
        assert_eq!(report.family("heap", "unknown_frees"), 0);
        assert_eq!(report.family("heap", "missed_frees"), 0);
        report.assert_memory_is_complete();
    });
}

/// Check that what finds no room is counted as lost, and that with it nothing is missing.
#[test]
fn a_full_map_loses_what_it_says_and_no_more() {
    let program = heap();
    with_kernel(|mode| {
        let options = ["--max-map-memory", "8M"];
        let (outcome, report) = follow(&program, &["plain", "200000", "24"], mode, &options);
        let found = report.memory_of(&program);
        assert_eq!(found["allocations"], outcome.truth_of("allocations"));
        assert_eq!(found["bytes"], outcome.truth_of("bytes"));
        assert_eq!(
            found["live_count"] + found["untracked"],
            outcome.truth_of("live_count")
        );
        assert_eq!(
            found["live_bytes"] + found["untracked_bytes"],
            outcome.truth_of("live_bytes")
        );
        assert!(found["untracked"] > 100_000, "{found:?}");
        assert!(report.loss(LossReason::LiveFull) >= found["untracked"]);
    });
}

/// Check that what is allocated and freed at once is temporary.
#[test]
fn pairs_of_an_allocation_and_a_free_are_temporary() {
    let program = heap();
    for_each_attach_mode(|mode| {
        let (outcome, report) = follow(&program, &["churn", "1000", "64"], mode, &["--temporary"]);
        let found = report.memory_of(&program);
        assert_eq!(found["temporary"], outcome.truth_of("frees"));
        assert_eq!((found["live_count"], found["live_bytes"]), (0, 0));
        report.assert_memory_is_complete();
    });
}

/// Check that a child's frees of what its parent allocated are told apart, and change nothing of the parent's.
#[test]
fn a_forked_child_frees_what_it_inherited_and_its_parent_keeps_it() {
    let program = Program::new("heirs.c").flags(&["-O1", "-fno-builtin"]).build();
    with_kernel(|mode| {
        let (outcome, report) = follow(&program, &[], mode, &["--children"]);
        let child = outcome.truth_of("child");
        let name = program
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let of = |pid: Option<u64>| {
            report.memory(&|row| {
                let is_child = row["pid"].as_u64() == Some(child);
                row["object"] == *name && is_child == pid.is_some()
            })
        };
        let (parent, heir) = (of(None), of(Some(child)));
        assert_eq!(
            (parent["allocations"], parent["frees"], parent["live_bytes"]),
            (10, 6, 400)
        );
        // Three before it executed the program again, one after.
        assert_eq!(
            (heir["allocations"], heir["bytes"]),
            (4, 3500),
            "{:#}",
            report.json
        );
        // What it had before is gone with the program.
        assert_eq!(
            (heir["live_count"], heir["live_bytes"]),
            (1, 500),
            "{:#}",
            report.json
        );
        assert_eq!(report.family("heap", "inherited_frees"), 4, "{:#}", report.json);
        assert_eq!(report.family("heap", "unknown_frees"), 0, "{:#}", report.json);
        report.assert_memory_is_complete();
    });
}

/// Check that scaled samples are right on average: 20 runs lie within three standard errors of the truth.
#[test]
fn samples_stand_for_the_whole() {
    let program = heap();
    with_kernel(|mode| {
        let (count, size, mean) = (20_000_u64, 1000_u64, 64_u64 << 10);
        let probability = 1.0 - (-(size as f64) / mean as f64).exp();
        let runs = 20;
        let mut sum = 0.0;
        for _ in 0..runs {
            let (outcome, report) = follow(
                &program,
                &["plain", &count.to_string(), &size.to_string()],
                mode,
                &["--sample-bytes", "64K"],
            );
            assert_eq!(outcome.truth_of("allocations"), count);
            let found = report.memory_of(&program);
            assert_eq!(found["live_bytes"], found["bytes"], "nothing was freed");
            sum += found["bytes"] as f64;
        }
        let truth = (count * size) as f64;
        let error = sum / f64::from(runs) - truth;
        let deviation = size as f64 * (count as f64 * (1.0 - probability) / probability).sqrt();
        let allowed = 3.0 * deviation / f64::from(runs).sqrt();
        assert!(error.abs() <= allowed, "{error} of {truth}, allowed {allowed}");
    });
}

/// Check that what sampling passes over is no loss, however probes are attached.
#[test]
fn what_samples_stand_for_is_not_lost() {
    let program = heap();
    for_each_attach_mode(|mode| {
        let options = ["--sample-bytes", "64K"];
        let (_, report) = follow(&program, &["churn", "3000", "64"], mode, &options);
        report.assert_memory_is_complete();
    });
}

/// Check that another allocator in place of the C library's is followed as exactly.
#[test]
fn allocators_that_are_loaded_in_place_of_the_c_librarys_are_counted_exactly() {
    let program = heap();
    with_kernel(|mode| {
        for library in ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"] {
            let path = format!("/usr/lib/x86_64-linux-gnu/{library}");
            assert!(
                std::path::Path::new(&path).exists(),
                "`{path}`: run `cargo xtask setup --tests`"
            );
            for arguments in [&["threads", "4", "3000"][..], &["churn", "1000", "64"]] {
                let mut command = std::process::Command::new(&program);
                let target = Target::spawn(command.args(arguments).env("LD_PRELOAD", &path));
                let (outcome, ended) = tests::memory::follow_target(target, mode, &[]);
                let report = ended.success();
                let truth = outcome.truth();
                let found = report.memory_of(&program);
                for name in ["allocations", "bytes", "frees", "live_count", "live_bytes"] {
                    assert_eq!(found[name], truth[name], "{library} {name}: {:#}", report.json);
                }
                assert_eq!(report.family("heap", "missed_frees"), 0, "{library}");
                report.assert_memory_is_complete();
            }
        }
    });
}

/// Check that a command is followed from its first instruction, and what it leaves is what it never frees.
#[test]
fn a_command_is_followed_from_its_first_instruction() {
    let program = heap();
    with_kernel(|mode| {
        let name = program.display().to_string();
        let words = [
            "mem",
            "--attach-mode",
            mode.name(),
            "--",
            &name,
            "plain",
            "10",
            "100",
        ];
        let ended = tests::profiler::Profiler::start(&words).wait();
        let report = ended.success();
        let found = report.memory_of(&program);
        assert_eq!(
            (found["live_count"], found["live_bytes"]),
            (10, 1000),
            "{:#}",
            report.json
        );
        report.assert_memory_is_complete();
    });
}

/// Check that what valgrind finds in use at the end is what is alive here, in blocks and bytes.
#[test]
fn leaks_are_those_that_valgrind_finds() {
    let program = Program::new("leaks.c").flags(&["-O1", "-fno-builtin"]).build();
    let valgrind = std::process::Command::new("valgrind")
        .args(["--tool=memcheck", "--leak-check=full"])
        .arg(&program)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("valgrind: run `cargo xtask setup --tests`");
    let said = String::from_utf8_lossy(&valgrind.stderr);
    let line = said.lines().find_map(|line| line.split_once("in use at exit: "));
    let (_, line) = line.unwrap_or_else(|| panic!("valgrind says: {said}"));
    let numbers: Vec<u64> = line
        .split(' ')
        .filter_map(|word| word.replace(',', "").parse().ok())
        .collect();
    let [bytes, blocks] = numbers[..] else {
        panic!("valgrind says: {said}")
    };
    assert!(blocks == 110 && bytes > 0, "{said}");
    with_kernel(|mode| {
        let name = program.display().to_string();
        let words = [
            "mem",
            "--leaks",
            "--min-age",
            "0",
            "--attach-mode",
            mode.name(),
            "--",
            &name,
        ];
        let report = tests::profiler::Profiler::start(&words).wait().success();
        let total = |number| report.family("heap", number);
        assert_eq!(
            (total("live_count"), total("live_bytes")),
            (blocks, bytes),
            "{:#}",
            report.json
        );
        assert_eq!((total("old_count"), total("old_bytes")), (blocks, bytes));
        report.assert_memory_is_complete();
    });
}

/// Check that mappings are a family of their own, and that a failed one is none.
#[test]
fn mappings_are_counted_apart_from_the_heap() {
    let program = Program::new("mappings.c").flags(&["-O1"]).build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = follow(&program, &[], mode, &[]);
        let name = program
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let found = report.memory(&|row| row["object"] == *name && row["family"] == "mapping");
        assert_is_truth(&found, &outcome, &report);
        report.assert_memory_is_complete();
    });
}

/// Check that an allocator that the user describes, by options or in a file, is followed, in a family of its own.
#[test]
fn an_allocator_of_the_users_own_is_followed_by_its_description() {
    let program = Program::new("pool.c").flags(&["-O1"]).build();
    let options = [
        "--allocator",
        "pool_take(count=2,size=3)->ptr",
        "--allocator",
        "pool_put(out=2,size=1)->0",
        "--allocator",
        "pool_give(ptr=2)",
    ];
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("pool.toml");
    let text = r#"
        allocators = ["pool_take(count=2,size=3)->ptr", "pool_give(ptr=2)"]
        [[allocator]]
        object = "pool-*"
        function = "pool_put"
        out = 2
        size = 1
        returns = "0"
    "#;
    std::fs::write(&file, text).expect("a file can be written");
    let file = file.display().to_string();
    with_kernel(|mode| {
        for options in [&options[..], &["--allocators", &file]] {
            let (outcome, report) = follow(&program, &[], mode, options);
            let found = report.memory(&|row| row["family"] == "user");
            assert_is_truth(&found, &outcome, &report);
            let frees = ["double_frees", "unknown_frees"].map(|number| report.family("user", number));
            assert_eq!(frees, [1, 1], "{:#}", report.json);
            report.assert_memory_is_complete();
        }
    });
}

/// Check that processes that come and go do not fill the map for ever, and that what was dropped is said.
#[test]
fn blocks_of_processes_that_ended_make_room() {
    let program = Program::new("brooders.c").flags(&["-O1", "-fno-builtin"]).build();
    with_kernel(|mode| {
        let options = ["--children", "--max-map-memory", "8M", "--by", "function"];
        let (outcome, report) = follow(&program, &["10", "12000"], mode, &options);
        let name = program
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let rows = report.json["rows"].as_array().expect("lines");
        let row = rows
            .iter()
            .find(|row| row["object"] == *name)
            .expect("the program's");
        let number = |key: &str| row[key].as_u64().expect("a number");
        assert_eq!(number("allocations"), outcome.truth_of("allocations"));
        assert_eq!(number("untracked"), 0, "{:#}", report.json);
        assert_eq!(number("live_count") + number("dropped"), number("allocations"));
        assert!(number("dropped") > 0, "{row:#}");
        report.assert_memory_is_complete();
    });
}

/// Check that without return probes the functions' own exits show the same, and that seccomp is in nobody's way.
#[test]
fn exits_show_what_return_probes_would_also_under_seccomp() {
    let program = heap();
    for_each_attach_mode(|mode| {
        let edges = &["sealed", "edges"][..];
        let threads = &["sealed", "threads", "4", "500"][..];
        for (arguments, returns) in [(edges, "sites"), (threads, "sites"), (threads, "auto")] {
            let options = ["--blocks", "100000", "--returns", returns];
            let (outcome, report) = follow(&program, arguments, mode, &options);
            let truth = outcome.truth();
            let found = report.memory_of(&program);
            for name in [
                "allocations",
                "bytes",
                "frees",
                "live_count",
                "live_bytes",
                "failed",
            ] {
                assert_eq!(found[name], truth[name], "{name}: {:#}", report.json);
            }
            assert_eq!(report.blocks(&report.callers_in(&program)), true_blocks(&outcome));
            report.assert_memory_is_complete();
        }
    });
}
