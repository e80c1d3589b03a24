//! The profiler against real programs on the running kernel, as root. The tests may run in parallel: each has its own
//! process, those that measure time wait until they are alone, and the suite needs no `--test-threads`.
#![expect(
    clippy::expect_used,
    reason = "a panic is how a helper of tests says that the test failed"
)]

mod kernel {
    mod allocators;
    mod allocators_real;
    mod builds;
    mod changes;
    mod containers;
    mod counts;
    mod course;
    mod durations;
    mod ends;
    mod entries;
    mod errors;
    mod events;
    mod focus;
    mod following;
    mod function_memory;
    mod go;
    mod governor;
    mod grouping;
    mod growth;
    mod harmless;
    mod leaving;
    mod lines;
    mod loss;
    mod memory;
    mod memory_output;
    mod output;
    mod run;
    mod sites;
    mod stops;
}
