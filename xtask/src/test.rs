//! `cargo xtask test`: every test, those on a real kernel included.

use std::process::{Command, ExitCode};

use crate::{
    build::{self, Profile},
    exec::{Outcome, exec},
    setup::{self, Group},
    workspace,
};

/// The crate whose tests attach probes.
const KERNEL_CRATE: &str = "tests";
/// Its tests measure and count on real threads of their own: one after the other.
const KERNEL_TEST_THREADS: &str = "--test-threads=1";

/// Which tests.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the tests whose name contains this
    filter: Option<String>,
}

impl Args {
    pub(crate) fn run(self) -> Outcome<ExitCode> {
        let Self { filter } = self;
        setup::ensure_group(Group::Tests)?;
        let profiler = build::profiler(Profile::Release)?;
        let mut user_space = workspace::cargo();
        user_space
            .args(["test", "--workspace", "--exclude", KERNEL_CRATE])
            .args(&filter);
        exec(
            &mut user_space,
            "pass the tests of user space",
            "read the failed tests' output above",
        )?;

        let mut kernel = workspace::cargo();
        kernel
            .args(["test", "--package", KERNEL_CRATE])
            .args(&filter)
            .args(["--", KERNEL_TEST_THREADS]);
        // Without a kernel that lets us in they fail instead of being skipped.
        kernel
            .env("EBPF_PROF_REQUIRE_KERNEL", "1")
            .env("EBPF_PROF_BINARY", profiler);
        through_sudo(&mut kernel)?;
        let next =
            "read the failed tests' output above; `cargo xtask run -- doctor` tells what this kernel allows";
        exec(&mut kernel, "pass the tests on the kernel", next)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Where we are not root, cargo builds as the user and starts only the tests through sudo.
fn through_sudo(cargo: &mut Command) -> Outcome<()> {
    if !workspace::is_root() {
        let host = workspace::host()?.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{host}_RUNNER"), "sudo -E");
    }
    Ok(())
}
