//! The course of processes' memory, against what a program reads of itself and knows of its blocks.
use std::collections::BTreeMap;
use std::path::Path;

use tests::containers::{RuncContainer, with_runc};
use tests::kernel::for_each_attach_mode;
use tests::process::poll;
use tests::profiler::Profiler;
use tests::program::Program;
use tests::target::Target;

/// What `grown` has alive.
const LIVE: u64 = (64 << 20) + 5000 * 1000;
/// What `/proc/PID/status` and `statm` may differ by before 6.17, bytes: each CPU may hold back `max(32, 2 × CPUs)` pages of
/// each of three counters.
fn doubt() -> u64 {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    3 * cpus * (2 * cpus).max(32) * 4096
}

type Line = BTreeMap<String, String>;

/// The lines of the file that are complete.
fn lines(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut reader = csv::Reader::from_reader(whole.as_bytes());
    let lines = reader.deserialize::<Line>();
    lines.map(|line| line.expect("each line is one of CSV")).collect()
}

fn number(line: &Line, column: &str) -> u64 {
    line[column].parse().expect("memory is a number of bytes")
}

/// The newest line of `who` that is from after now.
fn next_line(path: &Path, who: &str) -> Line {
    let of = || lines(path).into_iter().filter(|line| line["who"] == who);
    let known = of().count();
    // One may be under way.
    let found = poll(|| of().nth(known + 1));
    found.unwrap_or_else(|| panic!("`{who}` has no new line: {:?}", lines(path)))
}

/// Check that the memory of each stage of a program is in the file while it lasts, its live bytes to the byte, and the
/// peaks afterwards.
#[test]
fn what_a_process_has_and_had_is_written_at_each_interval() {
    let program = Program::new("stages.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("course.csv");
        let path = file.display().to_string();
        let mut target = Target::start(&program, &[]);
        let pid = target.pid().to_string();
        let options = [
            "mem",
            "-p",
            &pid,
            "--attach-mode",
            mode.name(),
            "--interval",
            "50ms",
        ];
        let profiler = Profiler::start(&[&options[..], &["--timeline", &path]].concat());
        profiler.wait_until_attached();
        let comm = program.file_name().unwrap_or_default().to_string_lossy();
        let who = format!("{} {pid}", &comm[..comm.len().min(15)]);
        let mut stages = Vec::new();
        for stage in ["begun", "grown", "shrunk"] {
            target.go();
            let prefix = format!("stage {stage} ");
            let said = target.wait_for_line(&prefix);
            let rss: u64 = said[prefix.len()..].trim().parse().expect("a number of bytes");
            let line = next_line(&file, &who);
            let seen = number(&line, "RSS");
            assert!(seen.abs_diff(rss) <= doubt(), "{stage}: {seen} and {rss}");
            let parts = ["anonymous_bytes", "file_bytes", "shared_bytes"].map(|part| number(&line, part));
            assert_eq!(parts.iter().sum::<u64>(), seen, "{stage}");
            assert!(number(&line, "VMS") >= seen);
            assert_eq!((&line["pid"], &line["processes"]), (&pid, &"1".to_owned()));
            let all = lines(&file).into_iter().rfind(|it| it["who"] == "all");
            assert_eq!(all.expect("there is a line of all")["processes"], "1");
            stages.push(line);
        }
        let live = stages.iter().map(|line| number(line, "heap_live_bytes"));
        assert_eq!(live.collect::<Vec<_>>(), [0, LIVE, 0]);
        let peaks = stages.iter().map(|line| number(line, "heap_live_peak_bytes"));
        assert_eq!(peaks.collect::<Vec<_>>(), [0, LIVE, LIVE]);
        let rss: Vec<u64> = stages.iter().map(|line| number(line, "RSS")).collect();
        assert!(rss[1] >= rss[0] + LIVE - doubt() && rss[2] < rss[1], "{rss:?}");
        assert!(number(&stages[2], "rss_peak_bytes") + doubt() >= rss[1]);
        assert_eq!(target.finish().status, 0);
        let ended = profiler.wait();
        assert!(ended.stdout.contains("process: RSS "), "{}", ended.stdout);
        let report = ended.success();
        let process = &report.json["processes"][0];
        assert_eq!(
            (&process["pid"], &process["ended"]),
            (&pid.parse::<u64>().unwrap_or_default().into(), &true.into())
        );
        assert!(
            process["rss_peak_bytes"].as_u64() >= Some(rss[1] - doubt()),
            "{process}"
        );
        report.assert_memory_is_complete();
    });
}

/// Check that a container has the memory of its processes together.
#[test]
fn a_container_has_the_memory_of_its_processes_together() {
    let program = Program::new("stages.c")
        .flags(&["-O2"])
        .labelled("container")
        .build();
    with_runc(|mode| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("course.csv");
        let path = file.display().to_string();
        let container = RuncContainer::start("course", &program, &["pair"]).container;
        let options = ["--timeline", &path, "--interval", "50ms"];
        let name = container.name.clone();
        let fixed = ["mem", "--container", &name, "--attach-mode", mode.name()];
        let profiler = Profiler::start(&[&fixed[..], &options].concat());
        profiler.wait_until_attached();
        let line = next_line(&file, &format!("container {name}"));
        let at_once = |it: &Line| it["time_ns"] == line["time_ns"] && !it["pid"].is_empty();
        let processes: Vec<Line> = lines(&file).into_iter().filter(at_once).collect();
        assert_eq!((processes.len(), &line["processes"]), (2, &"2".to_owned()));
        for column in ["RSS", "VMS", "anonymous_bytes", "heap_live_bytes"] {
            let together: u64 = processes.iter().map(|it| number(it, column)).sum();
            assert_eq!(number(&line, column), together, "{column}");
        }
        assert!(processes.iter().all(|it| it["container"] == name));
        assert_eq!(container.finish().status, 0);
        let _ = profiler.interrupt().success();
    });
}
