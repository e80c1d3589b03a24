//! Containers are told apart, though they share their files.
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::code::has_breakpoint;
use tests::containers::{RuncContainer, for_each_attach_mode_with_podman, with_podman, with_runc};
use tests::profiler::{Profiler, binary};
use tests::program::Program;

const WORK: [&str; 2] = ["--function", "worker"];
/// What the profiler says when it has found another process.
const PROBED_AS_WELL: &str = "ebpf-prof: info: process";

fn threads() -> PathBuf {
    Program::new("threads.c")
        .labelled("container")
        .flags(&["-O2"])
        .build()
}

fn list(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(binary())
        .arg("list")
        .args(arguments)
        .arg("--json")
        .output()
        .expect("the profiler can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the list is JSON")
}

/// Check that of two containers of one image, which share the program's file, only the one that is named is counted, exactly,
/// and the other executes no breakpoint.
#[test]
fn of_two_containers_of_one_image_only_the_one_that_is_named_is_counted() {
    for_each_attach_mode_with_podman(|mode, podman| {
        let program = threads();
        let image = podman.image(&program);
        let wanted = image.start("wanted", &["2", "5000"]);
        let other = image.start("other", &["3", "7000"]);
        podman.check_shared(&image, [&wanted, &other]);
        let profiler = Profiler::attach_to(&["--container", &wanted.name], mode, &WORK);
        let planted = [&wanted, &other].map(|it| has_breakpoint(image.pid(it), &program, "worker"));
        assert_eq!(planted, [true, false]);
        assert_eq!(other.finish().expect_status(0).truth_of("worker"), 21_000);
        assert_eq!(wanted.finish().expect_status(0).truth_of("worker"), 10_000);
        let report = profiler.interrupt().success();
        assert_eq!(report.row("worker").calls, 10_000);
        assert_eq!(report.row("worker").returns, 10_000);
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a glob means every container that it matches, and their calls add up.
#[test]
fn a_glob_means_every_container_that_it_matches() {
    for_each_attach_mode_with_podman(|mode, podman| {
        let image = podman.image(&threads());
        let containers = [
            image.start("pair", &["1", "3000"]),
            image.start("pair", &["1", "4000"]),
        ];
        let outside = image.start("single", &["1", "5000"]);
        let pair = format!("pair-{}-*", std::process::id());
        let chosen = ["--container", &pair, "--comm", "program"];
        let profiler = Profiler::attach_to(&chosen, mode, &WORK);
        assert_eq!(outside.finish().truth_of("worker"), 5000);
        let called: u64 = containers.map(|it| it.finish().truth_of("worker")).iter().sum();
        let report = profiler.interrupt().success();
        // Each container has a file of its own, as far as it can tell.
        let rows = report.functions.iter().filter(|row| row.function == "worker");
        assert_eq!((rows.map(|row| row.calls).sum::<u64>(), called), (7000, 7000));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a container that starts after the profiler is followed, and that a table tells containers apart.
#[test]
fn a_container_that_starts_later_is_followed_and_told_apart() {
    for_each_attach_mode_with_podman(|mode, podman| {
        let image = podman.image(&threads());
        let first = image.start("later", &["1", "3000"]);
        let both = format!("later-{}-*", std::process::id());
        let options = [&WORK[..], &["--by", "container,image", "--log-level", "info"]].concat();
        let profiler = Profiler::attach_to(&["--container", &both], mode, &options);
        let other = image.start("other", &["1", "5000"]);
        let second = image.start("later", &["1", "4000"]);
        profiler.wait_for_message(PROBED_AS_WELL);
        let names = [first.name.clone(), second.name.clone()];
        for container in [first, second, other] {
            assert_eq!(container.finish().status, 0);
        }
        let report = profiler.interrupt().success();
        for (name, calls) in names.iter().zip([3000, 4000]) {
            let rows = report.rows_where("worker", "container", name);
            let calls_of_rows: Vec<u64> = rows.iter().map(|row| row.calls).collect();
            assert_eq!(calls_of_rows, [calls], "{name}: {report:#?}");
            assert_eq!(rows[0].group["image"], image.name);
        }
        assert_eq!(report.calls_of("worker"), 7000);
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a container that is started again under its name, with another id, is followed.
#[test]
fn a_container_that_is_restarted_is_followed() {
    for_each_attach_mode_with_podman(|mode, podman| {
        let image = podman.image(&threads());
        let first = image.start("again", &["1", "3000"]);
        let name = first.name.clone();
        let options = [&WORK[..], &["--log-level", "info"]].concat();
        let profiler = Profiler::attach_to(&["--container", &name], mode, &options);
        assert_eq!(first.finish().truth_of("worker"), 3000);
        let second = image.start_named(name, &["1", "4000"]);
        profiler.wait_for_message(PROBED_AS_WELL);
        assert_eq!(second.finish().truth_of("worker"), 4000);
        let report = profiler.interrupt().success();
        assert_eq!(
            (report.row("worker").calls, report.row("worker").returns),
            (7000, 7000)
        );
        report.assert_no_loss_but(&[]);
    });
}

/// Check that the functions of a stripped program in a container are named, with their lines, by the debug file that lies
/// in the container, and not on the host.
#[test]
fn a_debug_file_in_the_container_names_the_functions_of_its_stripped_program() {
    for_each_attach_mode_with_podman(|mode, podman| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let whole = Program::new("threads.c")
            .labelled("debug-file")
            .flags(&["-O2", "-g"])
            .build();
        let [stripped, debug] = ["stripped", "program.debug"].map(|name| folder.path().join(name));
        objcopy(&["--only-keep-debug"], &whole, &debug);
        let link = format!("--add-gnu-debuglink={}", debug.display());
        objcopy(&["--strip-all", &link], &whole, &stripped);
        let image = podman.image_with(&stripped, |root| {
            let place = root.join("usr/lib/debug/srv");
            std::fs::create_dir_all(&place).expect("the folder is ours");
            std::fs::copy(&debug, place.join("program.debug")).expect("a file can be copied");
        });
        let container = image.start("debug", &["2", "500"]);
        let profiler = Profiler::attach_to(&["--container", &container.name], mode, &WORK);
        assert_eq!(container.finish().truth_of("worker"), 1000);
        let report = profiler.interrupt().success();
        let row = report.row("worker");
        assert_eq!((row.calls, row.returns), (1000, 1000));
        let file = row.file.as_deref().unwrap_or_default();
        assert!(file.ends_with("threads.c") && row.line.is_some(), "{row:?}");
        report.assert_no_loss_but(&[]);
    });
}

fn objcopy(options: &[&str], from: &std::path::Path, to: &std::path::Path) {
    let status = Command::new("objcopy").args(options).arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "objcopy {options:?}");
}

/// Check that a container of plain runc is known by the time its program is executed, though runc tells of it late.
#[test]
fn a_container_of_plain_runc_that_starts_later_is_followed() {
    with_runc(|mode| {
        let later = format!("late-{}-*", std::process::id());
        let options = [&WORK[..], &["--wait", "--log-level", "info"]].concat();
        let profiler = Profiler::attach_to(&["--container", &later], mode, &options);
        let wanted = RuncContainer::start("late", &threads(), &["1", "2000"]);
        profiler.wait_for_message(PROBED_AS_WELL);
        assert_eq!(wanted.container.finish().truth_of("worker"), 2000);
        let report = profiler.interrupt().success();
        assert_eq!(report.calls_of("worker"), 2000);
        report.assert_no_loss_but(&[]);
    });
}

/// Check that containers are listed with the id, name and image that podman knows, and their processes with them.
#[test]
fn containers_are_listed_as_their_runtime_knows_them() {
    with_podman(|podman| {
        let image = podman.image(&threads());
        let containers = [
            image.start("first", &["1", "1"]),
            image.start("second", &["1", "1"]),
        ];
        let listed = list(&["containers"]);
        for container in &containers {
            let id = image.id(container);
            let entry = listed.iter().find(|entry| entry["id"] == id);
            let entry = entry.unwrap_or_else(|| panic!("{id} is not listed: {listed:#?}"));
            assert_eq!(entry["name"], container.name);
            assert_eq!(entry["image"], image.name);
            assert_eq!(
                (&entry["runtime"], &entry["processes"]),
                (&"podman".into(), &1.into())
            );
            for choice in [container.name.as_str(), &id[..12]] {
                let processes = list(&["processes", "--container", choice]);
                assert_eq!(processes.len(), 1, "{processes:#?}");
                assert_eq!(processes[0]["pid"], entry["pids"][0]);
                assert_eq!(
                    (&processes[0]["inner_pid"], &processes[0]["comm"]),
                    (&1.into(), &"program".into())
                );
                assert_eq!(processes[0]["container_id"], id);
            }
            let objects = list(&["objects", "--container", &container.name]);
            assert_eq!(objects[0]["path"], "/srv/program", "as the container knows it");
        }
    });
}

/// Check that a container of plain runc is known by its id, and its calls are counted.
#[test]
fn a_container_of_plain_runc_is_known_by_its_id() {
    with_runc(|mode| {
        let program = threads();
        let wanted = RuncContainer::start("plain", &program, &["2", "4000"]);
        let other = wanted.start_beside("plain", &["1", "9000"]);
        let file = |container: &RuncContainer| {
            let exe = std::fs::metadata(format!("/proc/{}/exe", container.pid()));
            exe.map(|exe| (exe.dev(), exe.ino())).expect("it runs")
        };
        assert_eq!(file(&wanted), file(&other), "they share the program's file");
        let id = wanted.container.name.clone();
        let listed = list(&["containers", &id]);
        assert_eq!(listed.len(), 1, "{listed:#?}");
        assert_eq!(
            (&listed[0]["id"], &listed[0]["runtime"]),
            (&id.as_str().into(), &"runc".into())
        );
        let profiler = Profiler::attach_to(&["--container", &id], mode, &WORK);
        let planted = [&wanted, &other].map(|it| has_breakpoint(it.pid(), &program, "worker"));
        assert_eq!(planted, [true, false]);
        assert_eq!(other.container.finish().truth_of("worker"), 9000);
        assert_eq!(wanted.container.finish().truth_of("worker"), 8000);
        let report = profiler.interrupt().success();
        assert_eq!(report.row("worker").calls, 8000);
        report.assert_no_loss_but(&[]);
    });
}
