//! Tests of selection by source, and of places where functions were inlined, over a small program.
use std::path::Path;
use std::process::Command;

use super::inlined::InlinedChoice;
use super::plan::{EntryOnlyReason, LeftOutReason, Plan, Returns};
use super::planner::{MappedObject, PlanError, plan};
use super::returns::ProcessFacts;
use super::selection::Request;
use crate::object::ObjectFile;

const PARSER: &str = "\
#include \"parser.h\"

__attribute__((noinline)) int parse_number(volatile int *n)
{
    int sum = 0;
    for (int i = 0; i < *n; i++)
        sum += twice(n);

    return sum;
}
__attribute__((noinline)) int parse_word(volatile int *n)
{
    return twice(n) + 1;
}
";
const HEADER: &str = "\
static inline __attribute__((always_inline)) int twice(volatile int *n)
{
    return *n * 2;
}
";
const MAIN: &str = "\
int parse_number(volatile int *), parse_word(volatile int *);
int main(int count, char **arguments)
{
    (void)arguments;
    volatile int n = count;
    return parse_number(&n) + parse_word(&n);
}
";

/// The program; `None` where there is no compiler.
fn program(folder: &Path, option: &str) -> Option<MappedObject> {
    for (name, text) in [("main.c", MAIN), ("parser.c", PARSER), ("parser.h", HEADER)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let built = Command::new("cc")
        .args(["-O1", option, "-o", "program", "main.c", "parser.c"])
        .current_dir(folder)
        .status();
    let path = folder.join("program");
    built.is_ok_and(|status| status.success()).then(|| MappedObject {
        file: ObjectFile::open(&path, "program").unwrap(),
        attach_path: path.clone(),
        path,
        name: "program".to_owned(),
        is_main: true,
    })
}

fn request(functions: &[&str], inlined: InlinedChoice) -> Request {
    Request {
        functions: functions.iter().map(|text| text.parse().unwrap()).collect(),
        inlined,
        ..Request::default()
    }
}

fn planned(object: &MappedObject, request: &Request) -> Result<Plan, PlanError> {
    plan(std::slice::from_ref(object), request, ProcessFacts::default())
}

fn names(plan: &Plan) -> Vec<&str> {
    let mut names: Vec<&str> = plan.functions.iter().map(|function| &*function.name).collect();
    names.sort_unstable();
    names
}

#[test]
fn source_files_and_lines_name_functions() {
    let folder = tempfile::tempdir().unwrap();
    let Some(object) = program(folder.path(), "-g") else {
        return;
    };
    let full = format!("{}:*", folder.path().join("parser.c").display());
    for (pattern, expected) in [
        ("parser.c:*", &["parse_number", "parse_word"][..]),
        (&full, &["parse_number", "parse_word"]),
        ("parser.c:*_word", &["parse_word"]),
        ("*.c:main", &["main"]),
        ("parser.c:7", &["parse_number"]),
        // No code is of this line: it is within the function.
        ("parser.c:8", &["parse_number"]),
        ("parser.h:3", &["parse_number", "parse_word"]),
    ] {
        let plan = planned(&object, &request(&[pattern], InlinedChoice::Ignored));
        assert_eq!(names(&plan.unwrap()), expected, "{pattern}");
    }
    let without = Request {
        exclude: vec!["parser.c:parse_w*".parse().unwrap()],
        ..request(&["parser.c:*"], InlinedChoice::Ignored)
    };
    assert_eq!(names(&planned(&object, &without).unwrap()), ["parse_number"]);
    for pattern in ["parser.c:absent", "other.c:*", "parser.c:999"] {
        let error = planned(&object, &request(&[pattern], InlinedChoice::Ignored)).unwrap_err();
        assert!(matches!(error, PlanError::NoSource { .. }), "{error}");
    }
}

#[test]
fn a_source_pattern_without_debug_information_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(object) = program(folder.path(), "-g0") else {
        return;
    };
    let error = planned(&object, &request(&["parser.c:*"], InlinedChoice::Ignored)).unwrap_err();
    let text = error.to_string();
    for part in ["`program` has no debug information", "--debug-dir"] {
        assert!(text.contains(part), "{text}");
    }
    let excluding = Request {
        exclude: vec!["parser.c:*".parse().unwrap()],
        ..request(&["main"], InlinedChoice::Ignored)
    };
    let plan = planned(&object, &excluding).unwrap();
    assert!(
        plan.notes[0].starts_with("`--exclude parser.c:*` leaves out nothing there"),
        "{:?}",
        plan.notes
    );
}

/// Check that inlined functions are told, and probed at their places, each an instruction of the function around it.
#[test]
fn inlined_functions_are_told_and_their_places_are_probed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(object) = program(folder.path(), "-g") else {
        return;
    };
    let error = planned(&object, &request(&["twice"], InlinedChoice::Ignored)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no function matches `twice`, but `twice` was inlined at 2 places (in parse_number at parser.c:7, parse_word at \
         parser.c:13): `--inlined` probes these places"
    );
    let told = planned(&object, &request(&["main", "tw*"], InlinedChoice::Reported));
    assert!(matches!(told, Err(PlanError::OnlyInlined { .. })), "{told:?}");
    let told = planned(&object, &request(&["main", "*w*"], InlinedChoice::Reported)).unwrap();
    assert_eq!(told.notes, ["1 functions that match were inlined at 2 places"]);
    for pattern in ["twice", "parser.h:twice"] {
        let plan = planned(&object, &request(&[pattern], InlinedChoice::Probed)).unwrap();
        assert_eq!(
            names(&plan),
            [
                "twice [inlined in parse_number at parser.c:7]",
                "twice [inlined in parse_word at parser.c:13]"
            ]
        );
        for function in &plan.functions {
            assert_eq!(function.returns, Returns::EntryOnly(EntryOnlyReason::Inlined));
            let around = object.file.function_containing(function.address).unwrap();
            let around = &object.file.functions()[around];
            let code = object.file.load_code().unwrap();
            let bytes = code.bytes(around.address, around.end()).unwrap();
            let mut decoder = iced_x86::Decoder::with_ip(64, bytes, around.address, 0);
            assert!(
                decoder
                    .iter()
                    .any(|instruction| instruction.ip() == function.address)
            );
        }
    }
}

/// Check that a place that is gone through again and again is not counted as that many calls.
#[test]
fn a_place_that_begins_with_a_loop_of_its_own_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let source = "\
static inline __attribute__((always_inline)) void wait_for(volatile int *n)
{
    while (*n) {
    }
}
int main(int count, char **arguments)
{
    static volatile int n;
    (void)arguments;
    n = count - 1;
    wait_for(&n);
    return 0;
}
";
    std::fs::write(folder.path().join("loop.c"), source).unwrap();
    let built = Command::new("cc")
        .args(["-Os", "-g", "-o", "program", "loop.c"])
        .current_dir(folder.path())
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return;
    }
    let path = folder.path().join("program");
    let object = MappedObject {
        file: ObjectFile::open(&path, "program").unwrap(),
        attach_path: path.clone(),
        path,
        name: "program".to_owned(),
        is_main: true,
    };
    let plan = planned(&object, &request(&["wait_for"], InlinedChoice::Probed)).unwrap();
    assert!(plan.functions.is_empty(), "{:?}", plan.functions);
    let reasons: Vec<LeftOutReason> = plan.left_out.iter().map(|left_out| left_out.reason).collect();
    assert_eq!(reasons, [LeftOutReason::Loop]);
}
