//! `cargo xtask build`: the profiler, ready to run.

use std::{path::PathBuf, process::ExitCode};

use crate::{
    exec::{Outcome, exec},
    setup, workspace,
};

/// How to build.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build without optimization
    #[arg(long)]
    debug: bool,
}

impl Args {
    pub(crate) fn run(self) -> Outcome<ExitCode> {
        let Self { debug } = self;
        let binary = profiler(if debug { Profile::Debug } else { Profile::Release })?;
        println!("{}", binary.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Which of cargo's profiles.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// Sets up, builds the profiler, and returns its path.
pub(crate) fn profiler(profile: Profile) -> Outcome<PathBuf> {
    setup::ensure()?;
    cargo_build(profile, &["--package", "ebpf-prof"])?;
    Ok(workspace::product(profile.folder(), "ebpf-prof"))
}

/// Builds the sample workload, and returns its path.
pub(crate) fn sample() -> Outcome<PathBuf> {
    cargo_build(Profile::Release, &["--package", "xtask", "--example", "workload"])?;
    Ok(workspace::product(Profile::Release.folder(), "examples/workload"))
}

/// Builds one of the library's examples, which the benchmark uses, and returns its path.
pub(crate) fn example(name: &str) -> Outcome<PathBuf> {
    cargo_build(Profile::Release, &["--package", "ebpf-prof", "--example", name])?;
    let path = format!("examples/{name}");
    Ok(workspace::product(Profile::Release.folder(), &path))
}

fn cargo_build(profile: Profile, what: &[&str]) -> Outcome<()> {
    let mut cargo = workspace::cargo();
    cargo.arg("build").args(what);
    if let Profile::Release = profile {
        cargo.arg("--release");
    }
    exec(&mut cargo, "build", "read the compiler's message above")
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}
