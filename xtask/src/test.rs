//! `cargo xtask test`: every test, those on a real kernel included.

use std::{
    env,
    process::{Command, ExitCode},
};

use crate::{
    build::{self, Profile},
    exec::{Outcome, answer, exec},
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
            .env("EBPF_PROF_BIN", profiler);
        if !workspace::is_root() {
            kernel.env(format!("CARGO_TARGET_{}_RUNNER", host_variable()?), sudo_runner());
        }
        let next =
            "read the failed tests' output above; `cargo xtask run -- doctor` tells what this kernel allows";
        let outcome = exec(&mut kernel, "pass the tests on the kernel", next);
        give_back_samples()?;
        outcome.map(|()| ExitCode::SUCCESS)
    }
}

/// The host's target triple as cargo spells it in variables.
fn host_variable() -> Outcome<String> {
    Ok(workspace::host()?.to_uppercase().replace('-', "_"))
}

/// Where we are not root, cargo builds as the user and starts only the tests through sudo. They compile sample programs,
/// for which they need the user's PATH.
fn sudo_runner() -> String {
    match env::var("PATH") {
        Ok(path) if !path.contains(char::is_whitespace) => format!("sudo -E env PATH={path}"),
        Ok(_) | Err(_) => "sudo -E".to_owned(),
    }
}

/// The sample programs that the tests compiled as root would stand in the way of the user's next build.
fn give_back_samples() -> Outcome<()> {
    let samples = workspace::product("debug", "sample-programs");
    let Some(user) =
        answer(Command::new("id").arg("-u")).filter(|_user| samples.is_dir() && !workspace::is_root())
    else {
        return Ok(());
    };
    exec(
        Command::new("sudo").args(["chown", "-R", &user]).arg(&samples),
        "give the sample programs back to you",
        "remove the folder as root",
    )
}
