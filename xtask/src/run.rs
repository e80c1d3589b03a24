//! `cargo xtask run`: from a fresh checkout to a first profile.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitCode},
};

use crate::{
    build::{self, Profile},
    exec::{Outcome, exit_status},
    workspace,
};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments of the profiler, e.g. `-- attach -p PID`; without them it profiles a sample workload
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Args {
    pub(crate) fn run(self) -> Outcome<ExitCode> {
        let Self { mut args } = self;
        let profiler = build::profiler(Profile::Release)?;
        if args.is_empty() {
            args = ["run", "--recording", "csv", "-o", "monitor_records.csv", "--"]
                .map(OsString::from)
                .to_vec();
            // It ends by itself after about three seconds.
            args.push(build::sample()?.into_os_string());
        }
        let mut command = if workspace::is_root() {
            Command::new(&profiler)
        } else {
            let mut sudo = Command::new("sudo");
            sudo.arg(&profiler);
            sudo
        };
        let next = "where sudo is the trouble, run the command as root";
        let status = exit_status(command.args(&args), "start the profiler", next)?;
        // As a shell does it: 128 + the signal.
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        Ok(code
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
