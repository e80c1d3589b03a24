//! What `mem` shows and writes: stacks, differences, events.
use std::collections::BTreeMap;

use profiler_common::loss::LossReason;
use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::memory::follow;
use tests::process::{poll, send_signal, state};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::target::Target;

use super::memory::{assert_is_truth, heap};

/// Check that a stack that frame pointers lead through begins with the caller and has it once.
#[test]
fn a_stack_leads_from_the_caller_to_main() {
    let program = Program::new("leaks.c")
        .labelled("frames")
        .flags(&["-O1", "-fno-builtin", "-fno-omit-frame-pointer"])
        .build();
    for_each_attach_mode(|mode| {
        let (_, report) = follow(&program, &[], mode, &["--stack", "fp"]);
        let rows = report.json["rows"].as_array().expect("lines");
        let row = rows.iter().find(|row| {
            let what = row["what"].as_str().unwrap_or_default();
            what.starts_with("lose+")
        });
        let row = row.unwrap_or_else(|| panic!("{:#}", report.json));
        let frames: Vec<&str> = row["stack"]
            .as_array()
            .expect("a stack")
            .iter()
            .filter_map(|frame| frame.as_str()?.split('+').next())
            .collect();
        assert_eq!(frames[..2], ["lose", "main"], "{row:#}");
        assert_eq!(row["live_count"], 100);
        report.assert_memory_is_complete();
    });
}

/// Check that one side is compared with the other by the names of sites.
#[test]
fn a_difference_of_two_results_names_what_has_grown() {
    let program = heap();
    with_kernel(|mode| {
        let folder = tempfile::tempdir().expect("a folder");
        let files = ["before.json", "after.json"].map(|name| folder.path().join(name).display().to_string());
        for (file, count) in files.iter().zip(["10", "25"]) {
            let _ = follow(&program, &["plain", count, "100"], mode, &["-o", file]);
        }
        let words = ["mem", "--diff", &files[0], &files[1]];
        let output = std::process::Command::new(tests::profiler::binary())
            .args(words)
            .output()
            .expect("the profiler starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("+1.46 KiB") && text.contains("+15"), "{text}");
    });
}

/// Check that the timeline has each allocation and each free with its size and its caller, and adds up to what is alive.
#[test]
fn the_timeline_has_every_event_with_its_real_caller() {
    let program = heap();
    for_each_attach_mode(|mode| {
        let (outcome, ended) =
            tests::memory::follow_to_end(&program, &["threads", "4", "500"], mode, &["--events", "e.csv"]);
        let text = ended.file("e.csv");
        let report = ended.success();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header: Vec<String> = reader
            .headers()
            .expect("a header")
            .iter()
            .map(str::to_owned)
            .collect();
        let expected = "time,value1,value2,event,name,mod,lineno,from_name,from_mod,from_line";
        assert_eq!(header[..10].join(","), expected);
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a line")).collect();
        let own: Vec<_> = rows
            .iter()
            .filter(|row| row[4].starts_with("allocate("))
            .collect();
        assert_eq!(own.len() as u64, outcome.truth_of("allocations"));
        let bytes: i64 = own
            .iter()
            .map(|row| row[2].parse::<i64>().expect("a number"))
            .sum();
        assert_eq!(bytes as u64, outcome.truth_of("bytes"));
        let threads: std::collections::BTreeSet<&str> = own.iter().map(|row| &row[11]).collect();
        assert_eq!(threads.len(), 4);
        let of_heap = rows
            .iter()
            .filter(|row| !["mmap", "munmap", "brk"].contains(&&row[3]));
        let live: i64 = of_heap.map(|row| row[2].parse::<i64>().expect("a number")).sum();
        assert_eq!(
            live as u64,
            report.family("heap", "live_bytes"),
            "{:#}",
            report.json
        );
        report.assert_memory_is_complete();
    });
}

/// Check that with a ring that is too small events and loss are all there was, and the counters are exact.
#[test]
fn with_a_ring_too_small_the_events_and_their_loss_are_all_there_was() {
    let program = heap();
    with_kernel(|mode| {
        let target = Target::start(&program, &["churn", "5000", "64"]);
        let pid = target.pid().to_string();
        let output = ["--events", "events.csv", "--ring-size", "64K", "--family", "heap"];
        let fixed = ["mem", "-p", &pid, "--attach-mode", mode.name()];
        let profiler = Profiler::start(&[&fixed[..], &output].concat());
        profiler.wait_until_attached();
        send_signal(profiler.pid(), libc::SIGSTOP);
        let stopped = poll(|| (state(profiler.pid()) == Some('T')).then_some(()));
        assert!(stopped.is_some(), "the profiler does not stop");
        let outcome = target.finish();
        send_signal(profiler.pid(), libc::SIGCONT);
        let ended = profiler.wait();
        let text = ended.file("events.csv");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows = reader.deserialize::<BTreeMap<String, String>>();
        let rows: Vec<_> = rows.map(|row| row.expect("a line of CSV")).collect();
        let (lost, seen): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["event"] == "lost");
        assert_eq!((lost.len(), lost[0]["name"].as_str()), (1, "ring_full"));
        let said: u64 = lost[0]["value1"].parse().expect("a number");
        let report = ended.success();
        assert!(said > 0 && report.loss(LossReason::RingFull) == said);
        let happened = ["allocations", "frees", "unknown_frees"].map(|number| report.family("heap", number));
        assert_eq!(
            seen.len() as u64 + said,
            happened.iter().sum::<u64>(),
            "{:#}",
            report.json
        );
        let found = report.memory_of(&program);
        assert_is_truth(&found, &outcome, &report);
    });
}
