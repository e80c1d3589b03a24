//! `cargo xtask lint`: everything that can be found wrong without running the code.

mod sizes;

use std::{path::Path, process::ExitCode};

use crate::{
    exec::{Failure, Outcome, answer, exec, note, step},
    setup::{self, Toolchain},
    workspace,
};

/// A check; all of them run, so that one round shows everything.
struct Check {
    what: &'static str,
    takes: &'static str,
    run: fn(&Toolchain) -> Outcome<()>,
}

const CHECKS: &[Check] = &[
    Check {
        what: "format",
        takes: "a second",
        run: format,
    },
    Check {
        what: "file sizes",
        takes: "a second",
        run: |_toolchain| sizes::check(),
    },
    Check {
        what: "clippy in user space",
        takes: "a minute, less when repeated",
        run: clippy,
    },
    Check {
        what: "clippy on the eBPF programs",
        takes: "a minute, less when repeated",
        run: clippy_ebpf,
    },
    Check {
        what: "user space compiles for aarch64",
        takes: "a minute, less when repeated",
        run: aarch64,
    },
    Check {
        what: "dependencies",
        takes: "a few seconds",
        run: dependencies,
    },
];

/// Nothing to choose.
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self) -> Outcome<ExitCode> {
        let Self {} = self;
        let toolchain = setup::ensure()?;
        let mut failed = Vec::new();
        for check in CHECKS {
            step(check.what, check.takes);
            if let Err(failure) = (check.run)(&toolchain) {
                note(&failure.to_string());
                failed.push(check.what);
            }
        }
        if failed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        Err(Failure::new(
            format!("lint found fault with: {}", failed.join(", ")),
            "read the reports above",
        ))
    }
}

fn format(_toolchain: &Toolchain) -> Outcome<()> {
    const NEXT: &str = "cargo fmt --all; cargo fmt --manifest-path profiler-ebpf/Cargo.toml";
    exec(
        workspace::cargo().args(["fmt", "--all", "--check"]),
        "find user space formatted",
        NEXT,
    )?;
    let ebpf = ["fmt", "--manifest-path", "profiler-ebpf/Cargo.toml", "--check"];
    exec(
        workspace::cargo().args(ebpf),
        "find the eBPF crate formatted",
        NEXT,
    )
}

fn clippy(_toolchain: &Toolchain) -> Outcome<()> {
    exec(
        workspace::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        "find user space free of lint",
        "mend what clippy names, or `#[expect(lint, reason = \"…\")]` it",
    )
}

/// The real target and the real flags, for both architectures; between them with the feature and without.
fn clippy_ebpf(toolchain: &Toolchain) -> Outcome<()> {
    let clippy = toolchain.clippy()?;
    for (arch, features) in [("x86_64", None), ("aarch64", Some("--all-features"))] {
        let mut command = workspace::tool(&clippy);
        command
            .current_dir(workspace::root().join("profiler-ebpf"))
            .args(["clippy", "--release", "--target-dir"])
            .arg(workspace::target().join("ebpf").join(arch))
            .args(features)
            .args(["--", "-D", "warnings"])
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("CARGO", toolchain.cargo())
            .env("RUSTC", toolchain.rustc())
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", toolchain.linker())
            .env(
                "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
                format!("--cfg=bpf_target_arch=\"{arch}\""),
            );
        exec(
            &mut command,
            "find the eBPF crate free of lint",
            "mend what clippy names",
        )?;
    }
    Ok(())
}

/// With the other architecture's standard library where rustup has it, else with one that is built on the spot.
fn aarch64(toolchain: &Toolchain) -> Outcome<()> {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    const NEXT: &str = "read the compiler's message above: something is written for x86-64 only";
    const PURPOSE: &str = "compile user space for aarch64";
    let arguments = ["check", "--workspace", "--target", TARGET];
    if has_std_for(TARGET) {
        return exec(workspace::cargo().args(arguments), PURPOSE, NEXT);
    }
    note(
        "no standard library for aarch64 by way of rustup: building it with the eBPF toolchain, a minute more",
    );
    exec(
        workspace::tool(toolchain.cargo())
            .current_dir(workspace::root())
            .args(arguments)
            .args(["-Zbuild-std=std,panic_abort", "--target-dir"])
            .arg(workspace::target().join("aarch64"))
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("RUSTC", toolchain.rustc())
            .env("RUSTC_BOOTSTRAP", "1"),
        PURPOSE,
        NEXT,
    )
}

fn has_std_for(target: &str) -> bool {
    let sysroot = answer(
        workspace::tool("rustc")
            .current_dir(workspace::root())
            .args(["--print", "sysroot"]),
    );
    let is_there = |sysroot: String| {
        Path::new(&sysroot)
            .join("lib/rustlib")
            .join(target)
            .join("lib")
            .is_dir()
    };
    if sysroot.clone().is_some_and(is_there) {
        return true;
    }
    let add = exec(
        workspace::tool("rustup")
            .current_dir(workspace::root())
            .args(["target", "add", target]),
        "get the standard library for aarch64",
        "check the network",
    );
    if let Err(failure) = add {
        note(&failure.to_string());
    }
    sysroot.is_some_and(is_there)
}

fn dependencies(_toolchain: &Toolchain) -> Outcome<()> {
    if workspace::find_command("cargo-deny").is_none() {
        note("left out: there is no cargo-deny here (`cargo install --locked cargo-deny`, several minutes)");
        return Ok(());
    }
    exec(
        workspace::cargo().args(["deny", "check"]),
        "find the dependencies in order",
        "see deny.toml",
    )
}
