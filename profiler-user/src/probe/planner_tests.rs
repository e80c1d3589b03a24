//! Tests of whole plans, over real libraries and small programs.
use std::path::{Path, PathBuf};

use iced_x86::{Decoder, DecoderOptions};

use super::{MappedObject, PlanError, plan};
use crate::object::ObjectFile;
use crate::probe::plan::{
    EntryOnlyReason, ExitSitesReason, LeftOutReason, Plan, Price, ReturnProbeReason, Returns, ReturnsChoice,
    SiteChoice,
};
use crate::probe::returns::ProcessFacts;
use crate::probe::selection::Request;

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

fn mapped(path: &Path, is_main: bool) -> Option<MappedObject> {
    let name = path.file_name()?.to_str()?.to_owned();
    let file = path
        .exists()
        .then(|| ObjectFile::open(path, name.clone()).unwrap())?;
    Some(MappedObject {
        attach_path: path.to_owned(),
        path: path.to_owned(),
        name,
        is_main,
        file,
    })
}

fn library(name: &str, is_main: bool) -> Option<MappedObject> {
    mapped(&Path::new(LIBRARIES).join(name), is_main)
}

fn request(functions: &[&str]) -> Request {
    Request {
        functions: functions.iter().map(|text| text.parse().unwrap()).collect(),
        ..Request::default()
    }
}

/// Plans all functions of a file, with every choice of returns.
pub(crate) fn plan_alone(file: ObjectFile) {
    let nowhere = PathBuf::from("/nonexistent");
    let name = file.name().to_owned();
    let object = MappedObject {
        attach_path: nowhere.clone(),
        path: nowhere,
        name,
        is_main: true,
        file,
    };
    for returns in [ReturnsChoice::Auto, ReturnsChoice::Sites] {
        let request = Request {
            returns,
            ..Request::default()
        };
        let _plan = plan(std::slice::from_ref(&object), &request, ProcessFacts::default());
    }
}

fn returns_of<'a>(plan: &'a Plan, name: &str) -> &'a Returns {
    let found = plan
        .functions
        .iter()
        .find(|function| function.name == name || function.aliases.contains(&name.to_owned()));
    &found.unwrap_or_else(|| panic!("`{name}` is not planned")).returns
}

/// Check that every site of a library lies on an instruction of its function, as a plain sweep decodes it.
fn check_sites(object: &MappedObject, plan: &Plan) {
    let code = object.file.load_code().unwrap();
    for function in &plan.functions {
        let found = &object.file.functions()[object.file.function_at(function.address).unwrap()];
        let bytes = code.bytes(found.address, found.end()).unwrap();
        let mut decoder = Decoder::with_ip(64, bytes, found.address, DecoderOptions::NONE);
        let instructions: Vec<u64> = decoder.iter().map(|instruction| instruction.ip()).collect();
        let is_instruction = |address: u64| instructions.binary_search(&address).is_ok();
        let entry = found.address + u64::from(function.entry.distance);
        assert_eq!(
            object.file.segments().code_offset(entry),
            Some(function.entry.offset),
            "{}",
            function.name
        );
        assert!(is_instruction(entry), "{}", function.name);
        let Returns::ExitSites(sites, _) = &function.returns else {
            continue;
        };
        let start = object.file.segments().code_offset(found.address).unwrap();
        for site in sites {
            // Those in fragments lie elsewhere.
            if (start..start + found.size).contains(&site.offset) {
                assert!(
                    is_instruction(found.address + (site.offset - start)),
                    "{}",
                    function.name
                );
            }
        }
    }
}

/// Check that sites are on instructions, and that most are cheap.
#[test]
fn sites_of_whole_libraries_are_sound_and_cheap() {
    for (name, least) in [("libc.so.6", 70), ("libstdc++.so.6", 75), ("libm.so.6", 60)] {
        let Some(object) = library(name, true) else {
            continue;
        };
        let request = Request {
            returns: ReturnsChoice::Sites,
            ..Request::default()
        };
        let plan = plan(std::slice::from_ref(&object), &request, ProcessFacts::default()).unwrap();
        check_sites(&object, &plan);
        let cheap = plan
            .functions
            .iter()
            .filter(|function| function.entry.price == Price::Emulated)
            .count();
        let share = cheap * 100 / plan.functions.len();
        println!("{name}: {share} % of {} entries are cheap", plan.functions.len());
        assert!(share >= least, "{name}: only {share} % are cheap");
        let blind = plan
            .functions
            .iter()
            .filter(|function| matches!(function.returns, Returns::EntryOnly(_)))
            .count();
        assert!(
            blind * 100 / plan.functions.len() <= 6,
            "{name}: {blind} functions without returns"
        );
    }
}

/// Check that return probes go where they do no harm.
#[test]
fn allocators_get_return_probes_even_among_exceptions() {
    let (Some(libc), Some(libstdcxx)) = (library("libc.so.6", false), library("libstdc++.so.6", false))
    else {
        return;
    };
    let objects = [libstdcxx, libc];
    let asked = request(&[
        "malloc",
        "calloc",
        "operator new",
        "strtol",
        "setjmp",
        "qsort",
        "strlen",
    ]);
    let planned = plan(&objects, &asked, ProcessFacts::default()).unwrap();
    for name in ["malloc", "calloc", "strtol"] {
        assert_eq!(
            returns_of(&planned, name),
            &Returns::ReturnProbe(ReturnProbeReason::HarmlessLibrary),
            "{name}"
        );
    }
    let throws = returns_of(&planned, "operator new(unsigned long)");
    assert!(
        matches!(throws, Returns::ExitSites(_, ExitSitesReason::Unwinding)),
        "{throws:?}"
    );
    assert!(matches!(
        returns_of(&planned, "qsort"),
        Returns::ExitSites(_, ExitSitesReason::Unwinding)
    ));
    assert!(!matches!(returns_of(&planned, "setjmp"), Returns::ReturnProbe(_)));
    assert!(
        planned
            .left_out
            .iter()
            .any(|it| it.name == "strlen" && it.reason == LeftOutReason::Ifunc)
    );
    // Where the kernel has the defect there are none at all, not even on demand.
    let facts = ProcessFacts {
        return_probe_defect: true,
        ..ProcessFacts::default()
    };
    let asked = Request {
        returns: ReturnsChoice::ReturnProbe,
        ..request(&["malloc"])
    };
    let planned = plan(&objects, &asked, facts).unwrap();
    assert!(matches!(
        returns_of(&planned, "malloc"),
        Returns::ExitSites(_, ExitSitesReason::Seccomp)
    ));
}

/// A program with a function of each kind.
const PROGRAM: &str = r#"
#include <cstdlib>
#include <cstring>
#define KEEP extern "C" __attribute__((noinline, noclone, noipa))
KEEP int leaf(int n) { return n * 3; }
KEEP int calls_leaf(int n) { return leaf(n) + 1; }
KEEP int calls_strlen(const char *text) { return std::strlen(text) + 1; }
KEEP int throws(int n) { if (n > 5) throw n; return n; }
KEEP int calls_throwing(int n) { return throws(n) + 1; }
KEEP int calls_pointer(int (*f)(int)) { return f(1) + 1; }
KEEP int pings(int n);
KEEP int pongs(int n) { return n ? pings(n - 1) + 1 : 0; }
KEEP int pings(int n) { return n ? pongs(n - 1) + 1 : 0; }
KEEP void ends() { for (;;) { } }
int main(int n, char **a) {
    return calls_leaf(n) + calls_strlen(a[0]) + calls_throwing(n) + calls_pointer(leaf) + pings(n);
}"#;

/// Check a small program: what is a leaf, what calls only leaves, what throws, what never returns.
#[test]
fn returns_are_planned_by_what_a_function_calls() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("program.cc"), folder.path().join("program"));
    std::fs::write(&input, PROGRAM).unwrap();
    let built = std::process::Command::new("c++")
        .args(["-O2", "-w"])
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return;
    }
    let objects = [mapped(&output, true).unwrap()];
    let planned = plan(&objects, &Request::default(), ProcessFacts::default()).unwrap();
    check_sites(&objects[0], &planned);
    let probe = |name| match returns_of(&planned, name) {
        Returns::ReturnProbe(reason) => Some(*reason),
        Returns::ExitSites(..) | Returns::EntryOnly(_) => None,
    };
    assert_eq!(probe("leaf"), Some(ReturnProbeReason::Leaf));
    for name in ["calls_leaf", "calls_strlen", "pings", "pongs"] {
        assert_eq!(probe(name), Some(ReturnProbeReason::HarmlessCallees), "{name}");
    }
    for name in ["throws", "calls_throwing", "calls_pointer", "main"] {
        let returns = returns_of(&planned, name);
        assert!(
            matches!(returns, Returns::ExitSites(_, ExitSitesReason::Unwinding)),
            "{name}: {returns:?}"
        );
    }
    assert_eq!(
        returns_of(&planned, "ends"),
        &Returns::EntryOnly(EntryOnlyReason::NeverReturns)
    );
    assert_eq!(
        returns_of(&planned, "_start"),
        &Returns::EntryOnly(EntryOnlyReason::ForeignStack)
    );
    // No fragment is planned, but `throws` is left in its own, or throws there.
    assert!(
        planned
            .functions
            .iter()
            .all(|function| !function.name.contains(".cold"))
    );
}

/// Check that the numbers of functions are their places, and that focus and names are told.
#[test]
fn a_plan_says_what_was_named_and_what_is_focus() {
    let (Some(libc), Some(mathematics)) = (library("libc.so.6", false), library("libm.so.6", true)) else {
        return;
    };
    let asked = Request {
        focus: request(&["libc:free"]).functions,
        exclude: request(&["c*f"]).functions,
        ..request(&["c*", "libc:qsort"])
    };
    let planned = plan(&[mathematics, libc], &asked, ProcessFacts::default()).unwrap();
    assert!(
        planned
            .functions
            .iter()
            .enumerate()
            .all(|(index, function)| function.id.0 as usize == index)
    );
    let find = |name: &str| planned.functions.iter().find(|function| function.name == name);
    assert!(
        find("free")
            .is_some_and(|free| free.focus && free.named && planned.objects[free.object].name == "libc.so.6")
    );
    assert!(find("qsort").is_some_and(|qsort| !qsort.focus && qsort.named));
    assert!(
        find("cbrt").is_some_and(|cbrt| !cbrt.named),
        "a wildcard means the program itself"
    );
    assert!(find("calloc").is_none() && find("cbrtf").is_none());
    assert!(
        planned
            .left_out
            .iter()
            .any(|it| it.name == "cbrtf" && it.reason == LeftOutReason::Excluded)
    );
}

/// Check that with probes on first instructions, functions whose first one cannot be probed are told, not planned.
#[test]
fn a_function_whose_entry_cannot_be_probed_is_left_out_of_a_plan_of_entries() {
    let Some(libc) = library("libc.so.6", true) else {
        return;
    };
    let objects = [libc];
    let at_entry = Request {
        site: SiteChoice::Entry,
        returns: ReturnsChoice::Sites,
        ..Request::default()
    };
    let entries = plan(&objects, &at_entry, ProcessFacts::default()).unwrap();
    assert!(
        entries
            .functions
            .iter()
            .enumerate()
            .all(|(index, function)| function.id.0 as usize == index && function.entry.distance == 0)
    );
    let request = Request {
        site: SiteChoice::Planned,
        ..at_entry
    };
    let planned = plan(&objects, &request, ProcessFacts::default()).unwrap();
    let count = |plan: &Plan| {
        let refused = plan
            .left_out
            .iter()
            .filter(|it| it.reason == LeftOutReason::Refused);
        (plan.functions.len(), refused.count())
    };
    println!(
        "functions and refused ones: {:?} planned, {:?} at entries",
        count(&planned),
        count(&entries)
    );
    assert_eq!(
        planned.functions.len() + count(&planned).1,
        entries.functions.len() + count(&entries).1
    );
    assert!(count(&entries).1 >= count(&planned).1);
}

/// Check that a misspelt name is answered with the right one.
#[test]
fn a_pattern_without_matches_names_the_nearest() {
    let Some(libc) = library("libc.so.6", false) else {
        return;
    };
    let error = plan(
        std::slice::from_ref(&libc),
        &request(&["mallok"]),
        ProcessFacts::default(),
    )
    .unwrap_err();
    let PlanError::NothingMatched { pattern, nearest } = &error else {
        panic!("{error}")
    };
    assert_eq!(pattern, "mallok");
    assert!(
        nearest.len() <= 5 && nearest.contains(&"malloc".to_owned()),
        "{nearest:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with("no function matches `mallok`; the nearest are `malloc`"),
        "{error}"
    );
    // A wildcard that names no object is tried everywhere when the program has no match.
    let planned = plan(&[libc], &request(&["mallo*"]), ProcessFacts::default()).unwrap();
    assert!(
        planned
            .functions
            .iter()
            .any(|function| function.name == "malloc" && !function.named)
    );
}

/// Check that functions in OCaml get no return probe: its collector would not find their frames. Only those that call
/// nothing cannot meet it.
#[test]
fn functions_in_ocaml_get_no_return_probes() {
    let source = "#define KEEP __attribute__((noipa))\n\
        KEEP void caml_call_gc(void) { __asm__ volatile(\"\"); }\n\
        KEEP int camlM__leaf_1(int n) { return n * 3; }\n\
        KEEP int camlM__deep_2(int n) { caml_call_gc(); __asm__ volatile(\"call *%0\" :: \"r\"(caml_call_gc)); return n; }\n\
        #ifdef OCAML_5\n\
        KEEP void caml_call_realloc_stack(void) { __asm__ volatile(\"\"); }\n\
        #endif\n\
        int main(void) { return camlM__leaf_1(1) + camlM__deep_2(2); }";
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("program.c");
    std::fs::write(&input, source).unwrap();
    for version in ["-DOCAML_4", "-DOCAML_5"] {
        let output = folder.path().join(version);
        let built = std::process::Command::new("cc")
            .args(["-O1", "-w", version])
            .arg(&input)
            .arg("-o")
            .arg(&output)
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return;
        }
        let objects = [mapped(&output, true).unwrap()];
        let planned = plan(&objects, &Request::default(), ProcessFacts::default()).unwrap();
        let returns = |name| returns_of(&planned, name);
        if version == "-DOCAML_4" {
            assert_eq!(
                *returns("camlM__leaf_1"),
                Returns::ReturnProbe(ReturnProbeReason::Leaf)
            );
            assert!(
                matches!(
                    returns("camlM__deep_2"),
                    Returns::ExitSites(_, ExitSitesReason::StackScan)
                ),
                "{:?}",
                returns("camlM__deep_2")
            );
        } else {
            for name in ["camlM__leaf_1", "camlM__deep_2"] {
                assert_eq!(
                    *returns(name),
                    Returns::EntryOnly(EntryOnlyReason::MovingStack),
                    "{name}"
                );
            }
        }
    }
}
