//! `cargo xtask clean`: back to a fresh checkout.

use std::process::ExitCode;

use crate::{
    exec::{Outcome, exec},
    workspace,
};

/// Nothing to choose.
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self) -> Outcome<ExitCode> {
        let Self {} = self;
        eprintln!(
            "removing `{}`: build products, the eBPF object, bpf-linker and the record of the toolchain.\n\
             Installed packages and monitor_records.* stay. `cargo xtask setup` brings back the rest.",
            workspace::target().display()
        );
        exec(
            workspace::cargo().arg("clean"),
            "remove the build products",
            "remove the folder by hand",
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
