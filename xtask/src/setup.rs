//! `cargo xtask setup`: installs what is missing, and only that.

mod linker;
mod packages;
mod toolchain;

use std::process::ExitCode;

use crate::exec::Outcome;
pub(crate) use toolchain::Toolchain;

/// What to set up beside the toolchain.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also install what the tests need: C and C++ compilers, bpftrace, redis
    #[arg(long)]
    tests: bool,
    /// Also install what the benchmark needs: the tests' programs and what it compares with
    #[arg(long)]
    bench: bool,
}

impl Args {
    pub(crate) fn run(self) -> Outcome<ExitCode> {
        let Self { tests, bench } = self;
        let toolchain = ensure()?;
        if tests {
            ensure_group(Group::Tests)?;
        }
        if bench {
            ensure_group(Group::Bench)?;
        }
        eprintln!("set up: {toolchain}");
        Ok(ExitCode::SUCCESS)
    }
}

/// Programs that are needed only for one command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Group {
    Tests,
    Bench,
}

/// The toolchain of the kernel side: the one written down if it still works, else the first that can be had.
pub(crate) fn ensure() -> Outcome<Toolchain> {
    match Toolchain::recorded() {
        Some(toolchain) => Ok(toolchain),
        None => Toolchain::install(),
    }
}

/// Installs the group's programs that this machine lacks.
pub(crate) fn ensure_group(group: Group) -> Outcome<()> {
    match group {
        Group::Tests => packages::ensure(packages::TESTS, "the tests"),
        Group::Bench => packages::ensure(packages::BENCH, "the benchmark"),
    }
}
