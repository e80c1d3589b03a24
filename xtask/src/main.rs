//! The project's own commands: `cargo xtask --help` lists them.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "telling what it does is this program's job"
)]

mod bench;
mod build;
mod clean;
mod docs;
mod exec;
mod lint;
mod run;
mod setup;
mod test;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

/// A command is a file with `Args` and `run`, a `mod` line, and a row here with its arm in `main`.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The commands of the ebpf-prof project"
)]
enum Xtask {
    /// Install what building needs: the eBPF toolchain and linker (quick when all is there)
    Setup(setup::Args),
    /// Set up, then build the profiler
    Build(build::Args),
    /// Set up, build, and profile a sample workload; or pass ARGS on to the profiler
    Run(run::Args),
    /// Set up, build, and run every test
    Test(test::Args),
    /// Set up, build, and measure what the profiler costs, beside bpftrace
    Bench(bench::Args),
    /// Check formatting, lints, file sizes, aarch64 and dependencies
    Lint(lint::Args),
    /// Regenerate the generated sections of the documents, build the API's, check links
    Docs(docs::Args),
    /// Remove everything that was built
    Clean(clean::Args),
}

fn main() -> ExitCode {
    let outcome = match Xtask::parse() {
        Xtask::Setup(args) => args.run(),
        Xtask::Build(args) => args.run(),
        Xtask::Run(args) => args.run(),
        Xtask::Test(args) => args.run(),
        Xtask::Bench(args) => args.run(),
        Xtask::Lint(args) => args.run(),
        Xtask::Docs(args) => args.run(),
        Xtask::Clean(args) => args.run(),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
