//! Counters told apart by process, thread and program, and columns that say who a process is.
use tests::kernel::{AttachMode, for_each_attach_mode, with_kernel};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::target::Target;

fn threads() -> std::path::PathBuf {
    Program::new("threads.c").flags(&["-O2"]).build()
}

/// Check that the calls of two processes are told apart by process id, and belong to the right one.
#[test]
fn two_processes_are_told_apart_by_their_ids() {
    for_each_attach_mode(|mode| {
        let first = Target::start(&threads(), &["2", "1000"]);
        let second = Target::start(&threads(), &["3", "1000"]);
        let pids = [first.pid(), second.pid()].map(|pid| pid.to_string());
        let both = pids.join(",");
        let fixed = [
            "attach",
            "-p",
            &both,
            "--attach-mode",
            mode.name(),
            "--max-overhead",
            "off",
        ];
        let profiler = Profiler::start(&[&fixed[..], &["--function", "worker", "--by", "pid"]].concat());
        profiler.wait_until_attached();
        let (first, second) = (first.finish(), second.finish());
        let report = profiler.report();
        for (pid, outcome) in pids.iter().zip([first, second]) {
            let rows = report.rows_where("worker", "pid", pid);
            assert_eq!(rows.len(), 1, "{report:#?}");
            let truth = outcome.truth_of("worker");
            assert_eq!((rows[0].calls, rows[0].returns), (truth, truth));
        }
        report.assert_no_loss_but(&[]);
    });
}

/// Check that each thread has its own row, with its own number of calls.
#[test]
fn threads_are_told_apart() {
    for_each_attach_mode(|mode| {
        let target = Target::start(&threads(), &["8", "500"]);
        let options = ["--function", "worker", "--by", "tid,function,comm"];
        let profiler = Profiler::attach(&target, mode, &options);
        let _ = target.finish().expect_status(0);
        let report = profiler.report();
        let calls: Vec<u64> = report.functions.iter().map(|row| row.calls).collect();
        assert_eq!(calls, [500; 8], "{report:#?}");
        assert!(
            report
                .functions
                .iter()
                .all(|row| row.group["comm"].starts_with("threads"))
        );
        report.assert_no_loss_but(&[]);
    });
}

/// Check that where there is no room for a row each, the rest is counted together, and that it is said.
#[test]
fn threads_without_room_for_a_row_are_counted_together() {
    with_kernel(|mode| {
        let target = Target::start(&threads(), &["8", "500"]);
        // Two rows at most: one for the others, one for the first thread.
        let options = ["--function", "worker", "--by", "tid", "--max-map-memory", "136"];
        let profiler = Profiler::attach(&target, mode, &options);
        let _ = target.finish().expect_status(0);
        let report = profiler.report();
        assert_eq!(report.calls_of("worker"), 4000, "{report:#?}");
        let others = report.rows_where("worker", "tid", "(others)");
        assert_eq!(others.iter().map(|row| row.calls).sum::<u64>(), 3500);
        assert!(
            report.notes.iter().any(|note| note.contains("7 threads")),
            "{:?}",
            report.notes
        );
    });
}

/// Check that a function of a file is counted in all processes of the machine, those that start later too, and nowhere twice.
#[test]
fn the_whole_host_is_counted_by_process() {
    with_kernel(|mode| {
        if mode != AttachMode::Session {
            return;
        }
        let program = Program::new("recursion.c")
            .labelled("everyone")
            .flags(&["-O2"])
            .build();
        let running = Target::start(&program, &[]);
        let pattern = format!("{}:gcd", program.display());
        let fixed = ["attach", "-a", "--max-overhead", "off", "--by", "pid,comm"];
        let profiler = Profiler::start(&[&fixed[..], &["--function", &pattern]].concat());
        profiler.wait_until_attached();
        let later = Target::start(&program, &[]);
        let pids = [running.pid(), later.pid()].map(|pid| pid.to_string());
        let _ = running.finish().expect_status(0);
        let _ = later.finish().expect_status(0);
        tests::process::send_signal(profiler.pid(), libc::SIGINT);
        let report = profiler.wait().success();
        for pid in pids {
            let rows = report.rows_where("gcd", "pid", &pid);
            let counted: Vec<_> = rows.iter().map(|row| (row.calls, row.returns)).collect();
            assert_eq!(counted, [(6, 6)], "{report:#?}");
        }
        assert_eq!(report.calls_of("gcd"), 12);
        report.assert_no_loss_but(&[]);
    });
}

/// Check that records say who their process is.
#[test]
fn records_say_who_their_process_is() {
    with_kernel(|mode| {
        let program = threads();
        let target = Target::start(&program, &["1", "10"]);
        let pid = target.pid().to_string();
        let options = ["--function", "worker", "--recording", "csv", "-o", "-"];
        let with = ["--with", "exe,user,inner_pid,container"];
        let fixed = ["attach", "-p", &pid, "--attach-mode", mode.name()];
        let profiler = Profiler::start(&[&fixed[..], &options, &with].concat());
        profiler.wait_until_attached();
        let _ = target.finish().expect_status(0);
        let ended = profiler.wait();
        let mut lines = ended.stdout.lines();
        let header = lines.next().unwrap_or_default();
        assert!(
            header.ends_with(",duration_ns,exe,user,inner_pid,container"),
            "{header}"
        );
        let expected = format!(",{},root,{pid},", program.display());
        let rows: Vec<&str> = lines.collect();
        assert_eq!(rows.len(), 20, "{}", ended.stdout);
        assert!(rows.iter().all(|row| row.contains(&expected)), "{}", ended.stdout);
    });
}
