//! The forms that debug information has.
use super::{Built, check};
use crate::object::names::demangle;

/// Check that both versions are read, plain and compressed in each way.
#[test]
fn every_version_and_compression_gives_the_same_answers() {
    let mut forms = 0;
    for options in [
        &["-gdwarf-4"][..],
        &["-gdwarf-5"],
        &["-gdwarf-4", "-gz=zlib"],
        &["-gdwarf-5", "-gz=zlib"],
        &["-gdwarf-4", "-gz=zlib-gnu"],
        &["-gdwarf-5", "-gz=zstd"],
        &["-gdwarf-4", "-ffunction-sections", "-Wl,--gc-sections"],
        &["-gdwarf-5", "-ffunction-sections", "-Wl,--gc-sections"],
        &["-gdwarf-5", "-flto"],
        &["-gdwarf-5", "-no-pie"],
    ] {
        if let Some(built) = Built::new(options) {
            check(&built.open());
            forms += 1;
        }
    }
    assert!(forms == 0 || forms >= 5, "only {forms} forms");
}

#[test]
fn a_section_that_objcopy_compressed_with_zstandard_is_read() {
    let Some(built) = Built::new(&["-gdwarf-5"]) else {
        return;
    };
    // Older ones do not know it.
    if built.run("objcopy", &["--compress-debug-sections=zstd", "program"]) {
        check(&built.open());
    }
}

/// Check that the larger part is found where the compiler has put it, and beside the program after a move.
#[test]
fn split_debug_information_is_read_from_each_units_file() {
    for options in [
        &["-gdwarf-4", "-gsplit-dwarf"][..],
        &["-gdwarf-5", "-gsplit-dwarf"],
    ] {
        let Some(mut built) = Built::new(options) else {
            return;
        };
        check(&built.open());
        let elsewhere = built.path("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        for file in ["program", "program-main.dwo", "program-parser.dwo"] {
            std::fs::rename(built.path(file), elsewhere.join(file)).unwrap();
        }
        built.program = elsewhere.join("program");
        check(&built.open());
        // Without them the lines are still known, and nothing else is made up.
        std::fs::remove_file(elsewhere.join("program-parser.dwo")).unwrap();
        let file = built.open();
        let debug = file.debug().load().unwrap();
        let units = debug.units().unwrap();
        let number = super::address(&file, "parse_number");
        assert!(super::short(units.declaration(number).as_ref()).starts_with("parser.c:"));
        assert!(units.inlined(&|_| true).is_empty());
    }
}

#[test]
fn split_debug_information_of_another_build_is_not_used() {
    let Some(built) = Built::new(&["-gdwarf-5", "-gsplit-dwarf"]) else {
        return;
    };
    std::fs::rename(built.path("program"), built.path("kept")).unwrap();
    let other = format!("\n\n\n{}", super::PARSER);
    std::fs::write(built.path("src/parser.c"), other).unwrap();
    assert!(built.run(
        "cc",
        &[
            "-O1",
            "-gdwarf-5",
            "-gsplit-dwarf",
            "-o",
            "program",
            "src/main.c",
            "src/parser.c"
        ]
    ));
    std::fs::rename(built.path("kept"), built.path("program")).unwrap();
    let file = built.open();
    let debug = file.debug().load().unwrap();
    assert!(debug.units().unwrap().inlined(&|name| name == "twice").is_empty());
}

#[test]
fn split_debug_information_is_read_from_a_package() {
    let Some(built) = Built::new(&["-gdwarf-4", "-gsplit-dwarf"]) else {
        return;
    };
    // That of binutils 2.40 crashes on version 5.
    if built.run("dwp", &["-e", "program", "-o", "program.dwp"]) {
        for file in ["program-main.dwo", "program-parser.dwo"] {
            std::fs::remove_file(built.path(file)).unwrap();
        }
        check(&built.open());
    }
}

/// Check that what dwz has moved to a common file is found there, and that its absence is no disaster.
#[test]
fn debug_information_that_is_shared_with_other_files_is_read() {
    // The names are long enough, and used often enough, to be worth moving.
    let headers = [
        "-include",
        "stdio.h",
        "-include",
        "stdlib.h",
        "-include",
        "unistd.h",
        "-include",
        "pthread.h",
    ];
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let Some(built) = Built::new(&[&headers[..], &[version]].concat()) else {
            return;
        };
        std::fs::copy(built.path("program"), built.path("other")).unwrap();
        if !built.run("dwz", &["-m", "shared.debug", "program", "other"])
            || !built.path("shared.debug").exists()
        {
            return;
        }
        let links = built.run(
            "objcopy",
            &["--dump-section", ".gnu_debugaltlink=link", "program", "copy"],
        );
        assert!(links, "dwz has shared nothing");
        check(&built.open());
        std::fs::remove_file(built.path("shared.debug")).unwrap();
        let file = built.open();
        let debug = file.debug().load().unwrap();
        let units = debug.units().unwrap();
        let entry = super::address(&file, "parse_number");
        assert!(super::short(units.location(entry).as_ref()).starts_with("parser.c:"));
    }
}

/// Check that functions that only one unit sees, for whom compilers write no linker's name, have their full name.
#[test]
fn names_without_a_linkers_name_have_the_scopes_around_them() {
    let text = "\
#define INLINE static inline __attribute__((always_inline))
namespace outer { namespace inner { INLINE int one(volatile int *n) { return *n * 2; } } }
namespace { INLINE int two(volatile int *n) { return *n * 3; } }
struct Type { __attribute__((always_inline)) int three(volatile int *n) const { return *n * 4; } };
INLINE int four(volatile int *n) { return *n * 5; }
namespace outer {
__attribute__((noinline)) static int around(volatile int *n) {
    return inner::one(n) + two(n) + Type().three(n) + four(n);
}
}
int main(int count, char **) { volatile int n = count; return outer::around(&n); }
";
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let Some(built) = Built::new(&[version]) else {
            return;
        };
        std::fs::write(built.path("src/names.cc"), text).unwrap();
        if !built.run("c++", &["-O1", version, "-o", "program", "src/names.cc"]) {
            return;
        }
        let file = built.open();
        let debug = file.debug().load().unwrap();
        let units = debug.units().unwrap();
        let places = units.inlined(&|_| true);
        let mut names: Vec<String> = places
            .iter()
            .map(|place| {
                let caller = place.caller_name.as_deref().unwrap();
                format!("{} in {}", demangle(&place.function), demangle(caller))
            })
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "(anonymous namespace)::two in outer::around",
                "Type::three(int volatile*) const in outer::around",
                "four in outer::around",
                "outer::inner::one in outer::around",
            ]
        );
    }
}
