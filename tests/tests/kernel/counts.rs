//! Calls and returns of functions that are entered and left in the ordinary way.
use profiler_common::loss::LossReason;
use tests::kernel::for_each_attach_mode;
use tests::profiler::Profiler;
use tests::program::Program;
use tests::session::observe;
use tests::target::Target;

/// Check that nothing is lost and nothing is counted twice when eight threads call at once.
#[test]
fn eight_threads_of_100_000_calls_are_counted_exactly() {
    let program = Program::new("threads.c")
        .flags(&["-O0", "-fcf-protection=full"])
        .build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &["8", "100000"], mode, &["--function", "worker"]);
        let row = report.row("worker");
        assert_eq!(row.calls, outcome.truth_of("worker"));
        assert_eq!(row.returns, row.calls);
        assert!(row.max_ns >= row.p99_ns && row.p99_ns >= row.p50_ns, "{row:?}");
        report.assert_adds_up();
        report.assert_no_loss_but(&[]);
    });
}

/// Check that a single-stepped entry is counted as exactly as an emulated one.
#[test]
fn threads_that_meet_at_a_single_stepped_entry_are_counted_exactly() {
    let program = Program::new("threads.c")
        .labelled("stepped")
        .flags(&["-O2"])
        .build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &["8", "5000"], mode, &["--function", "worker"]);
        assert_eq!(report.row("worker").calls, outcome.truth_of("worker"));
        assert_eq!(report.row("worker").returns, outcome.truth_of("worker"));
        report.assert_no_loss_but(&[]);
    });
}

/// Check that gcd(7, 12) is six calls and six returns, and that the unrelated function has none.
#[test]
fn gcd_of_7_and_12_is_six_calls_and_six_returns() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        for returns in ["auto", "uretprobe", "sites"] {
            let options = [
                "--function",
                "gcd",
                "--function",
                "unrelated",
                "--returns",
                returns,
            ];
            let (outcome, report) = observe(&program, &[], mode, &options);
            assert_eq!(report.row("gcd").calls, outcome.truth_of("gcd"));
            assert_eq!(
                (report.row("gcd").calls, report.row("gcd").returns),
                (6, 6),
                "{returns}"
            );
            let unrelated: Vec<_> = report
                .functions
                .iter()
                .filter(|row| row.is_named("unrelated"))
                .collect();
            assert!(
                unrelated.iter().all(|row| row.calls == 0 && row.returns == 0),
                "{unrelated:?}"
            );
            report.assert_no_loss_but(&[]);
        }
    });
}

/// Check that the recording of gcd(7, 12) has each call and return, in order, with depths and durations.
#[test]
fn the_recording_of_gcd_shows_six_nested_calls_and_six_returns() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let target = Target::start(&program, &[]);
        let pid = target.pid();
        let profiler = Profiler::attach_recording(&target, mode, &["--function", "gcd"]);
        let _ = target.finish().expect_status(0);
        let ended = profiler.wait();
        let records = ended.records();
        let kinds: Vec<_> = records.iter().map(|record| record.kind.as_str()).collect();
        assert_eq!(kinds, [["call"; 6], ["return"; 6]].concat());
        let depths: Vec<_> = records.iter().map(|record| record.depth).collect();
        assert_eq!(depths, [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0]);
        assert!(
            records
                .iter()
                .all(|record| record.function == "gcd" && record.pid == pid && record.tid == pid)
        );
        assert!(
            records.windows(2).all(|pair| pair[0].time_ns <= pair[1].time_ns),
            "{records:#?}"
        );
        for (call, end) in records[..6].iter().zip(records[6..].iter().rev()) {
            assert_eq!(call.duration_ns, None, "a call has no duration");
            assert_eq!(
                end.duration_ns,
                Some(end.time_ns - call.time_ns),
                "{call:?} {end:?}"
            );
        }
        let report = ended.success();
        assert_eq!(report.records(), 12);
        report.assert_no_loss_but(&[]);
    });
}

/// Check that recursion beyond the kernel's 64 return probes has the right number of calls and states what it lost.
#[test]
fn recursion_500_deep_counts_every_call_and_states_the_returns_it_lost() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        for returns in ["auto", "uretprobe", "sites"] {
            let options = ["--function", "descend", "--returns", returns];
            let (outcome, report) = observe(&program, &["500"], mode, &options);
            let row = report.row("descend");
            assert_eq!(row.calls, outcome.truth_of("descend"), "{returns}");
            assert_eq!(row.returns + row.abandoned, 500, "{returns}: {row:?}");
            if row.returns_form == "return probe" {
                assert!(row.returns >= 64, "{row:?}");
            } else {
                assert_eq!(row.returns, 500, "exits are seen at every depth: {row:?}");
            }
            report.assert_adds_up();
            report.assert_no_loss_but(&[LossReason::EntryWithoutReturn]);
        }
    });
}

/// Check that recursion deeper than the shadow stack is counted, and the rest stated as not timed.
#[test]
fn recursion_deeper_than_the_shadow_stack_counts_every_call() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let options = ["--function", "descend", "--returns", "sites"];
        let (_, report) = observe(&program, &["2000"], mode, &options);
        let row = report.row("descend");
        assert_eq!(row.calls, 2000);
        assert!(row.untimed > 0, "{row:?}");
        assert_eq!(row.untimed, report.loss(LossReason::StackTooDeep), "{report:#?}");
        report.assert_adds_up();
        report.assert_no_loss_but(&[LossReason::StackTooDeep]);
    });
}

/// Check that functions that call each other are told apart.
#[test]
fn mutual_recursion_counts_each_function_on_its_own() {
    let program = Program::new("recursion.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &[], mode, &["--function", "even", "--function", "odd"]);
        for name in ["even", "odd"] {
            let row = report.row(name);
            assert_eq!(
                (row.calls, row.returns),
                (outcome.truth_of(name), outcome.truth_of(name)),
                "{name}"
            );
        }
        report.assert_no_loss_but(&[]);
    });
}

/// Check that symbols that share an address are one function.
#[test]
fn aliases_at_one_address_are_one_row_and_count_once() {
    let program = Program::new("aliases.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &[], mode, &["--function", "*_name"]);
        let rows: Vec<_> = report.functions.iter().filter(|row| row.calls > 0).collect();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(
            (rows[0].calls, rows[0].returns),
            (outcome.truth_of("all"), outcome.truth_of("all"))
        );
        report.assert_no_loss_but(&[]);
    });
}

/// Check that an alias that is asked for by name is found.
#[test]
fn an_alias_can_be_asked_for_by_any_of_its_names() {
    let program = Program::new("aliases.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        for name in ["first_name", "second_name", "third_name"] {
            let (_, report) = observe(&program, &[], mode, &["--function", name]);
            let calls: u64 = report.functions.iter().map(|row| row.calls).sum();
            assert_eq!(calls, 300, "{name}: {report:#?}");
        }
    });
}
