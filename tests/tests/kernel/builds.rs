//! The same program in every kind of build.
use std::path::Path;

use tests::kernel::{AttachMode, for_each_attach_mode};
use tests::program::Program;
use tests::session::observe;
use tests::target::Outcome;

const NAMES: [&str; 4] = ["work_leaf", "work_caller", "work_switch", "work_frame"];

fn assert_counts(program: &Path, mode: AttachMode, what: &str) {
    // Exits are planned before the mode is chosen: one mode shows them.
    let ways: &[&str] = if mode == AttachMode::Session {
        &["auto", "sites"]
    } else {
        &["auto"]
    };
    for returns in ways {
        let (outcome, report) = observe(
            program,
            &[],
            mode,
            &["--function", "work_*", "--returns", returns],
        );
        for name in NAMES {
            let row = report.row(name);
            assert_eq!(row.calls, outcome.truth_of(name), "{what}, {returns}: {row:?}");
            assert_eq!(row.returns + row.untimed, row.calls, "{what}, {returns}: {row:?}");
        }
        report.assert_adds_up();
        report.assert_no_loss_but(&[]);
    }
}

/// Check that counts do not depend on how the file is linked.
#[test]
fn static_and_dynamic_files_with_and_without_a_fixed_address_count_the_same() {
    for_each_attach_mode(|mode| {
        for (label, linkage) in [
            ("pie", &["-pie", "-fPIE"][..]),
            ("fixed", &["-no-pie", "-fno-pie"]),
            ("static", &["-static", "-no-pie", "-fno-pie"]),
            ("static-pie", &["-static-pie", "-fPIE"]),
        ] {
            let program = Program::new("flags.c")
                .labelled(label)
                .flags(&["-O2"])
                .flags(linkage)
                .build();
            assert_counts(&program, mode, label);
        }
    });
}

/// Check that counts do not depend on the compiler's flags.
#[test]
fn every_optimization_and_protection_counts_the_same() {
    for_each_attach_mode(|mode| {
        for level in ["-O0", "-O1", "-O2", "-O3"] {
            for protection in ["-fcf-protection=full", "-fcf-protection=none"] {
                for frame in ["-fomit-frame-pointer", "-fno-omit-frame-pointer"] {
                    let flags = [level, protection, frame];
                    let program = Program::new("flags.c").labelled("flags").flags(&flags).build();
                    assert_counts(&program, mode, &flags.join(" "));
                }
            }
        }
    });
}

/// Check that functions of a file without symbols are found, and named by the file and the address.
#[test]
fn functions_of_stripped_files_are_named_by_file_and_address() {
    for_each_attach_mode(|mode| {
        for (label, linkage) in [
            ("stripped", &["-pie", "-fPIE"][..]),
            ("stripped-static", &["-static", "-no-pie", "-fno-pie"]),
            ("stripped-static-pie", &["-static-pie", "-fPIE"]),
        ] {
            let build = Program::new("flags.c")
                .labelled(label)
                .flags(&["-O2"])
                .flags(linkage)
                .stripped();
            let program = build.build();
            let file = program
                .file_name()
                .and_then(|name| name.to_str())
                .expect("the file has a name");
            // A file of fixed address has its functions behind its base, 0x400000.
            let base = if linkage.contains(&"-no-pie") {
                0x40_0000
            } else {
                0
            };
            let places = places(&tests::session::plain(&program, &[]), base);
            let options: Vec<_> = places
                .iter()
                .flat_map(|(_, place)| ["--function".to_owned(), format!("*+{place:#x}")])
                .collect();
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            let (outcome, report) = observe(&program, &[], mode, &options);
            for (name, place) in places {
                let row = report.row(&format!("{file}+{place:#x}"));
                assert_eq!(row.calls, outcome.truth_of(&name), "{label}: {name} is {row:?}");
                assert_eq!(row.returns + row.untimed, row.calls, "{label}: {row:?}");
            }
            report.assert_no_loss_but(&[]);
        }
    });
}

/// Where the program says its functions are: its lines `at NAME ADDRESS`.
fn places(outcome: &Outcome, base: u64) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, place) = line.strip_prefix("at ")?.split_once(" 0x")?;
        Some((name.to_owned(), base + u64::from_str_radix(place, 16).ok()?))
    };
    let places: Vec<_> = outcome.stdout.lines().filter_map(line).collect();
    assert_eq!(places.len(), NAMES.len(), "{outcome:?}");
    places
}
