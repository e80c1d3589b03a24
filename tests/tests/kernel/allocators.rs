//! Allocators other than the C library's, and programs that bring their own: linked, static, in C and in Rust.
use profiler_common::loss::LossReason;
use tests::kernel::{for_each_attach_mode, with_kernel};
use tests::memory::{Numbers, follow};
use tests::profiler::Profiler;
use tests::program::Program;
use tests::report::Report;
use tests::target::{Outcome, Target};

/// The numbers of what one of the program's functions has asked for itself.
fn of_function(report: &Report, function: &str, family: &str) -> Numbers {
    report.memory(&|row| {
        let what = row["what"].as_str().unwrap_or_default();
        let name = what.split("+0x").next().unwrap_or_default();
        (name == function || name.ends_with(&format!("::{function}"))) && row["family"] == family
    })
}

fn assert_is_truth(found: &Numbers, outcome: &Outcome, (what, report): (&str, &Report)) {
    for (name, truth) in outcome.truth() {
        assert_eq!(found[name.as_str()], truth, "{what}: {name}: {:#}", report.json);
    }
    report.assert_memory_is_complete();
}

/// Runs `allocators.c`, built so, and compares.
fn assert_is_exact(label: &'static str, program: Program) {
    let program = program.labelled(label).build();
    with_kernel(|mode| {
        let (outcome, report) = follow(&program, &[], mode, &[]);
        assert_eq!(outcome.status, 0, "{label}: {}", outcome.stderr);
        assert_is_truth(&of_function(&report, "work", "heap"), &outcome, (label, &report));
        let blocks = ["missed_frees", "unknown_frees"].map(|number| report.family("heap", number));
        assert_eq!(blocks, [0, 0], "{label}: {:#}", report.json);
    });
}

fn allocators() -> Program {
    Program::new("allocators.c").flags(&["-O1", "-fno-builtin"])
}

/// The macros of a library's own functions.
fn api(functions: [&str; 5]) -> Vec<String> {
    let heads = [
        "ALLOC(size)",
        "ZERO(count,size)",
        "RESIZE(block,size)",
        "ALIGNED(alignment,size)",
        "FREE(block)",
    ];
    let macros = heads.iter().zip(functions);
    macros.map(|(head, body)| format!("-D{head}={body}")).collect()
}

/// Check that programs that have their C library in themselves are followed as exactly as others.
#[test]
fn static_programs_of_musl_and_glibc_are_counted_exactly() {
    assert_is_exact("glibc-static", allocators().flags(&["-static"]));
    let musl = allocators().compiled_by("musl-gcc").flags(&["-static"]);
    assert_is_exact("musl-static", musl);
}

/// Check that libraries that a program is linked to in place of the C library's are followed under the usual names.
#[test]
fn allocators_that_a_program_is_linked_to_are_counted_exactly() {
    for (label, library) in [
        ("jemalloc", "-ljemalloc"),
        ("tcmalloc", "-ltcmalloc_minimal"),
        ("mimalloc", "-lmimalloc"),
    ] {
        assert_is_exact(label, allocators().flags(&["-Wl,--no-as-needed", library]));
    }
}

/// Check that the libraries' own functions are followed, too.
#[test]
fn the_own_functions_of_jemalloc_tcmalloc_and_mimalloc_are_counted_exactly() {
    let jemalloc = [
        "mallocx(size,0)",
        "mallocx((count)*(size),MALLOCX_ZERO)",
        "rallocx(block,size,0)",
        "mallocx(size,MALLOCX_ALIGN(alignment))",
        "dallocx(block,0)",
    ];
    let tcmalloc = [
        "tc_malloc(size)",
        "tc_calloc(count,size)",
        "tc_realloc(block,size)",
        "tc_memalign(alignment,size)",
        "tc_free(block)",
    ];
    let mimalloc = [
        "mi_malloc(size)",
        "mi_calloc(count,size)",
        "mi_realloc(block,size)",
        "mi_malloc_aligned(size,alignment)",
        "mi_free(block)",
    ];
    for (label, header, library, functions) in [
        ("jemalloc-own", "jemalloc/jemalloc.h", "-ljemalloc", jemalloc),
        (
            "tcmalloc-own",
            "gperftools/tcmalloc.h",
            "-ltcmalloc_minimal",
            tcmalloc,
        ),
        ("mimalloc-own", "mimalloc.h", "-lmimalloc", mimalloc),
    ] {
        let program = allocators().flags(&api(functions));
        assert_is_exact(label, program.flags(&["-include", header, library]));
    }
}

/// Check that snmalloc's names are known: the distribution has no library of it, and a stand-in has its names.
#[test]
fn the_names_of_snmalloc_are_known() {
    let functions = [
        "sn_malloc(size)",
        "sn_calloc(count,size)",
        "sn_realloc(block,size)",
        "sn_aligned_alloc(alignment,size)",
        "sn_free(block)",
    ];
    let program = allocators().flags(&api(functions)).flags(&["-DPREFIXED"]);
    assert_is_exact("snmalloc", program);
}

/// Check that Rust's allocations are counted, by the system's allocator and by a jemalloc that is part of the program.
#[test]
fn rust_programs_are_counted_exactly_also_with_jemalloc() {
    let system = Program::new("boxes.rs").flags(&["-O"]);
    let names = ["mallocx", "rallocx", "sdallocx"];
    let names = names.map(|name| format!("-Clink-arg=-Wl,--defsym=_rjem_{name}={name}"));
    let jemalloc = Program::new("boxes.rs")
        .labelled("jemalloc")
        .flags(&["-O", "--cfg", "jemalloc"])
        .flags(&names)
        .flags(&[
            "-Clink-arg=-Wl,--push-state,-Bstatic,-ljemalloc,--pop-state",
            "-Clink-arg=-lstdc++",
            "-Clink-arg=-lm",
        ]);
    for (what, program) in [("system", system), ("jemalloc", jemalloc)] {
        let program = program.build();
        with_kernel(|mode| {
            let (outcome, report) = follow(&program, &[], mode, &[]);
            assert_eq!(outcome.status, 0, "{what}: {}", outcome.stderr);
            let found = report.memory(&|row| {
                let place = row["what"].as_str().unwrap_or_default();
                // Vectors grow within the standard library.
                let is_own = place.contains("boxes::") || place.contains("raw_vec");
                row["family"] == "heap" && is_own
            });
            assert_is_truth(&found, &outcome, (what, &report));
        });
    }
}

/// Check that `GLib`'s slices are a family of their own.
#[test]
fn slices_of_glib_are_counted_exactly() {
    let include = "/usr/include/glib-2.0";
    let config = "/usr/lib/x86_64-linux-gnu/glib-2.0/include";
    let flags = ["-O1", "-isystem", include, "-isystem", config, "-lglib-2.0"];
    let program = Program::new("slices.c").flags(&flags).build();
    with_kernel(|mode| {
        let (outcome, report) = follow(&program, &[], mode, &[]);
        assert_is_truth(
            &of_function(&report, "work", "glib"),
            &outcome,
            ("slices", &report),
        );
    });
}

/// Check that memory of CUDA is a family of its own: a library stands in for the runtime.
#[test]
fn memory_of_cuda_is_counted_exactly() {
    let library = Program::new("cudart.c")
        .flags(&["-O1", "-shared", "-fPIC"])
        .build();
    let path = library.display().to_string();
    let program = Program::new("device.c").flags(&["-O1", &path]).build();
    with_kernel(|mode| {
        let (outcome, report) = follow(&program, &[], mode, &[]);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert_is_truth(&of_function(&report, "work", "cuda"), &outcome, ("cuda", &report));
    });
}

/// Check that a call whose thread ends within it is no allocation, is said to have had no return, and is not taken for one of the
/// next thread on the same stack.
#[test]
fn a_thread_that_ends_within_an_allocator_leaves_the_numbers_right() {
    let program = Program::new("leavers.c").flags(&["-O1"]).build();
    for_each_attach_mode(|mode| {
        let rows = [
            "--allocator",
            "pool_take(size=1)->ptr",
            "--allocator",
            "pool_give(ptr=1)",
        ];
        let (outcome, report) = follow(&program, &[], mode, &rows);
        let found = report.memory(&|row| row["family"] == "user");
        for name in ["allocations", "bytes", "frees", "live_count", "live_bytes"] {
            assert_eq!(found[name], outcome.truth_of(name), "{name}: {:#}", report.json);
        }
        let ended = report.loss(LossReason::EntryWithoutReturn);
        assert_eq!(ended, outcome.truth_of("ended"), "{:#}", report.json);
    });
}

/// Check that an allocator that is loaded while the program runs is followed from then on, and that it is said that it came late.
#[test]
fn an_allocator_that_is_loaded_later_is_followed_and_said_to_have_come_late() {
    let program = Program::new("loads.c").flags(&["-O1", "-ldl"]).build();
    let library = "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2";
    with_kernel(|mode| {
        let mut target = Target::start(&program, &[library]);
        let pid = target.pid().to_string();
        let fixed = ["mem", "-p", &pid, "--attach-mode", mode.name()];
        let profiler = Profiler::start(&[&fixed[..], &["--log-level", "info"]].concat());
        profiler.wait_until_attached();
        target.go();
        target.wait_for_line("loaded");
        profiler.wait_for_message(&format!(
            "ebpf-prof: info: process {pid}: probed as well: libmimalloc.so.2"
        ));
        let outcome = target.finish();
        let report = profiler.wait().success();
        let found = of_function(&report, "work", "heap");
        assert_is_truth(&found, &outcome, ("mimalloc", &report));
        let says = |note: &String| note.contains("loaded while it ran") && note.contains("libmimalloc.so.2");
        assert!(report.notes.iter().any(says), "{:?}", report.notes);
    });
}
