//! The command line, as far as it needs neither root nor a kernel.
#![expect(
    unused_crate_dependencies,
    reason = "the harness uses them, in the library of this package"
)]
#![expect(
    clippy::expect_used,
    reason = "a panic is how a helper of tests says that the test failed"
)]

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use tests::profiler::binary;

fn ebpf_prof(arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .output()
        .expect("the profiler can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails unless the arguments are refused as a wrong use that is named on standard error.
fn assert_usage_error(arguments: &[&str], named: &str) {
    let output = ebpf_prof(arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert!(
        stderr.contains(named),
        "{arguments:?}: `{named}` is not named: {stderr}"
    );
    assert!(
        output.stdout.is_empty(),
        "{arguments:?}: {}",
        text(&output.stdout)
    );
}

/// Check that wrong uses have the status 2 and name what is wrong.
#[test]
fn wrong_uses_exit_with_2_and_name_what_is_wrong() {
    for (arguments, named) in [
        (&["attach", "-p", "1", "--nonsense"][..], "--nonsense"),
        (&["attach"], "-p"),
        (&["attach", "-p", "abc"], "abc"),
        (&["attach", "-p", "0"], "0"),
        (&["attach", "-p", "1", "--ring-size", "banana"], "banana"),
        (&["attach", "-p", "1", "--max-map-memory", "12Q"], "12Q"),
        (&["attach", "-p", "1", "--returns", "maybe"], "maybe"),
        (&["attach", "-p", "1", "--attach-mode", "magic"], "magic"),
        (&["attach", "-p", "1", "--recording", "stone"], "stone"),
        (&["attach", "-p", "1", "--duration", "soon"], "soon"),
        (&["attach", "-p", "1", "--max-overhead", "much"], "much"),
        (&["attach", "-p", "1", "--sort", "beauty"], "beauty"),
        (&["attach", "-p", "1", "--top", "-1"], "-1"),
        (&["attach", "-p", "1", "--function", "/(/"], "/(/"),
        (&["attach", "--children"], "--container"),
        (&["attach", "--comm", "[z-a]"], "[z-a]"),
        (&["list"], "WHAT"),
        (&["list", "everything"], "everything"),
        (&["list", "functions"], "--file"),
        (&["list", "processes", "[z-a]"], "[z-a]"),
        (&["list", "functions", "/(/", "--file", "/bin/sh"], "/(/"),
        (&["run"], "COMMAND"),
        (&["attach", "-p", "1", "--monitor", "moods"], "moods"),
        (&["plot"], "--y"),
        (&["plot", "a.csv", "--y", "RSS", "-o", "a.gif"], "a.gif"),
        (&["frobnicate"], "frobnicate"),
    ] {
        assert_usage_error(arguments, named);
    }
}

/// Check that the tool without arguments shows how it is used.
#[test]
fn no_arguments_show_the_usage_and_exit_with_2() {
    let output = ebpf_prof(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Usage"), "{}", text(&output.stderr));
}

/// Check that every option that the documentation names is in the help.
#[test]
fn the_help_names_every_option() {
    let help = text(&ebpf_prof(&["attach", "--help"]).stdout);
    for option in [
        "--pid",
        "--children",
        "--comm",
        "--exe",
        "--user",
        "--cgroup",
        "--container",
        "--pod",
        "--systemd-unit",
        "--all-processes",
        "--function",
        "--exclude",
        "--object",
        "--focus",
        "--dry-run",
        "--attach-mode",
        "--returns",
        "--recording",
        "--output",
        "--ring-size",
        "--max-map-memory",
        "--max-overhead",
        "--duration",
        "--interval",
        "--sort",
        "--top",
        "--no-color",
        "--log-level",
        "--fail-on-loss",
    ] {
        assert!(help.contains(option), "{option} is missing: {help}");
    }
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["list", "--help"],
        &["doctor", "--help"],
        &["--version"],
    ] {
        let output = ebpf_prof(arguments);
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}

/// A command that runs the profiler without root's rights, in a folder that must live as long.
fn without_root() -> (TempDir, Command) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("the folder is ours");
    let copy = folder.path().join("ebpf-prof");
    // Not copied here: another test's child could hold the copy open for writing, and it could not be executed.
    let copied = Command::new("cp").arg(binary()).arg(&copy).status();
    assert!(
        copied.expect("`cp` can be started").success(),
        "the profiler can be copied"
    );
    let is_root = folder.path().metadata().expect("the folder is there").uid() == 0;
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy);
        command
    } else {
        Command::new(&copy)
    };
    command.current_dir("/");
    (folder, command)
}

/// Check that who is not root is told which rights are missing, in one line.
#[test]
fn who_is_not_root_is_told_which_rights_are_missing() {
    let (_folder, mut command) = without_root();
    // The shell is a process of the same user: only the rights to probe are missing.
    let output = command.args(["run", "--", "/bin/sh", "-c", "exit 3"]).output();
    let output = output.expect("the profiler can be started");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(
        stderr.contains("CAP_BPF") && stderr.contains("CAP_PERFMON"),
        "{stderr}"
    );
}

/// Check that processes and functions are listed without root, and that a process of root is known by name and user.
#[test]
fn who_is_not_root_can_list_processes_and_the_functions_of_files() {
    let list = |arguments: &[&str]| -> Vec<Value> {
        let (_folder, mut command) = without_root();
        let output = command.arg("list").args(arguments).arg("--json").output();
        let output = output.expect("the profiler can be started");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the list is JSON")
    };
    let this = std::process::id();
    let processes = list(&["processes", &this.to_string()]);
    assert_eq!(processes.len(), 1, "{processes:?}");
    assert_eq!(processes[0]["pid"], this);
    let owner = std::fs::metadata("/proc/self").expect("/proc is there").uid();
    assert_eq!(processes[0]["uid"], owner);
    let functions = list(&["functions", "main", "--file", &binary().display().to_string()]);
    assert_eq!(functions.len(), 1, "{functions:?}");
    assert_eq!(functions[0]["name"], "main");
}

/// Check that a reader that closes the pipe ends a list quietly and as a success.
#[test]
fn a_reader_that_closes_the_pipe_ends_a_list_quietly() {
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    let output = Command::new(binary())
        .args(["list", "processes"])
        .stdout(writer)
        .output()
        .expect("the profiler can be started");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

/// Check that a recording is drawn in both formats, and that what cannot be drawn is a failure that says what there is.
#[test]
fn a_recording_is_drawn_and_a_column_that_is_not_there_is_a_failure() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let recording = folder.path().join("memory.csv");
    std::fs::write(&recording, "index,RSS,time_ns\n0,4096,1000\n1,8192,3000\n")
        .expect("a file can be written");
    let recording = recording.display().to_string();
    for (name, start) in [("a.svg", &b"<svg"[..]), ("a.PNG", b"\x89PNG")] {
        let picture = folder.path().join(name).display().to_string();
        let output = ebpf_prof(&["plot", &recording, "--y", "RSS", "-o", &picture]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let bytes = std::fs::read(&picture).expect("the picture is there");
        assert!(bytes.starts_with(start), "{name}");
    }
    let picture = folder.path().join("b.svg");
    let missing = [
        "plot",
        &recording,
        "--y",
        "heap",
        "-o",
        &picture.display().to_string(),
    ];
    let output = ebpf_prof(&missing);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("it has index, RSS, time_ns"),
        "{output:?}"
    );
    assert!(!picture.exists());
}
