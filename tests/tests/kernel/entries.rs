//! Functions by their first and last instructions.
use tests::kernel::for_each_attach_mode;
use tests::program::Program;
use tests::report::Report;
use tests::session::observe;
use tests::target::Outcome;

/// Every function of the program: those whose name begins so.
const ALL: [&str; 6] = [
    "--function",
    "first_*",
    "--function",
    "ends_*",
    "--function",
    "loops_*",
];

fn assert_calls(outcome: &Outcome, report: &Report) {
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let wrong: Vec<_> = outcome
        .truth()
        .into_iter()
        .filter(|(name, calls)| report.row(name).calls != *calls)
        .map(|(name, calls)| format!("{name}: {calls} calls, {:?}", report.row(&name)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        !report.functions.iter().any(|row| row.function.contains(".cold")),
        "a fragment is no function"
    );
    report.assert_adds_up();
    report.assert_no_loss_but(&[]);
}

/// Check that a function counts exactly whatever its first instruction is, and though it jumps back to its second.
#[test]
fn calls_and_returns_are_exact_whatever_the_first_instruction_is() {
    let program = Program::new("entries.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &[], mode, &ALL);
        assert_calls(&outcome, &report);
        for row in report
            .functions
            .iter()
            .filter(|row| row.returns_form == "return probe")
        {
            assert_eq!(row.returns, row.calls, "{row:?}");
        }
    });
}

/// Check that exits are found by decoding: every call returns, or the function is known to be entry only.
#[test]
fn exit_sites_see_every_return_whatever_the_last_instruction_is() {
    let program = Program::new("entries.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &[], mode, &[&ALL[..], &["--returns", "sites"]].concat());
        assert_calls(&outcome, &report);
        for row in &report.functions {
            let seen = if row.returns_form == "entry only" {
                row.untimed
            } else {
                row.returns
            };
            assert_eq!(seen, row.calls, "{row:?}");
        }
    });
}

/// Check that without returns every call is counted, and none is timed.
#[test]
fn entries_alone_count_every_call_and_time_none() {
    let program = Program::new("entries.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        let (outcome, report) = observe(&program, &[], mode, &[&ALL[..], &["--returns", "none"]].concat());
        assert_calls(&outcome, &report);
        assert!(
            report
                .functions
                .iter()
                .all(|row| row.untimed == row.calls && row.min_ns.is_none()),
            "{report:#?}"
        );
    });
}

/// Check that a function counts its own calls, and not those of another one that jumps into it behind its entry.
#[test]
fn a_jump_into_another_function_is_not_a_call_of_it() {
    let program = Program::new("shared.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        for returns in ["auto", "none"] {
            let options = [
                "--function",
                "shared",
                "--function",
                "borrower",
                "--returns",
                returns,
            ];
            let (outcome, report) = observe(&program, &[], mode, &options);
            for (name, calls) in outcome.truth() {
                assert_eq!(report.row(&name).calls, calls, "{returns}: {name}");
            }
        }
    });
}

/// Check that a function that ends by a jump to another one counts as left, and the other one as entered.
#[test]
fn tail_calls_count_for_both_functions() {
    let program = Program::new("tails.c").flags(&["-O2"]).build();
    for_each_attach_mode(|mode| {
        for returns in ["auto", "uretprobe", "sites"] {
            let options = ["--function", "by_*", "--function", "last", "--returns", returns];
            let (outcome, report) = observe(&program, &[], mode, &options);
            for (name, calls) in outcome.truth() {
                let row = report.row(&name);
                assert_eq!(row.calls, calls, "{returns}: {row:?}");
                assert_eq!(row.returns + row.untimed, calls, "{returns}: {row:?}");
                assert!(
                    row.untimed == 0 || row.returns_form == "entry only",
                    "{returns}: {row:?}"
                );
            }
            report.assert_adds_up();
            report.assert_no_loss_but(&[]);
        }
    });
}
