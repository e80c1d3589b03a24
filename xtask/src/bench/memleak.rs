//! bcc's `memleak`, where the distribution has it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::process::{Heard, Process};
use crate::{
    exec::{Failure, Outcome, note},
    workspace,
};

const SCRIPT: &str = "/usr/sbin/memleak-bpfcc";
/// The interpreter of the script, whatever comes first in `PATH`.
const PYTHON: &str = "/usr/bin/python3";
/// Where the distribution's kernel headers are.
const HEADERS: &str = "/usr/src";

/// Attaches it to a process.
pub(super) fn start(pid: u32) -> Outcome<Process> {
    find_headers();
    let mut command = Command::new(PYTHON);
    command
        .arg(workspace::root().join("xtask/src/bench/memleak.py"))
        .args([SCRIPT, "-p", &pid.to_string(), "1"]);
    let mut process = Process::start(&mut command, Heard::Stdout, "start memleak")?;
    process.wait_for("stacks with outstanding allocations")?;
    Ok(process)
}

/// bcc compiles against the headers of the kernel that runs, and looks for them in one place. Where that is empty those of
/// the distribution's kernel are put there: of the headers memleak uses the registers' names alone, which do not change.
fn find_headers() {
    if let Err(failure) = link_headers() {
        note(&format!("{failure}"));
    }
}

fn link_headers() -> Outcome<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = Path::new("/lib/modules").join(release.trim());
    if modules.join("build").exists() {
        return Ok(());
    }
    let (build, source) = distribution_headers()?;
    let failed = |error: io::Error| Failure::file("write", &modules, &error);
    fs::create_dir_all(&modules).map_err(failed)?;
    for (name, folder) in [("build", build), ("source", source)] {
        let link = modules.join(name);
        // One that leads nowhere.
        let _: io::Result<()> = fs::remove_file(&link);
        std::os::unix::fs::symlink(folder, link).map_err(failed)?;
    }
    Ok(())
}

/// The folders of a kernel's headers: those of this architecture, and those of all.
fn distribution_headers() -> Outcome<(PathBuf, PathBuf)> {
    let folder = Path::new(HEADERS);
    let entries = fs::read_dir(folder).map_err(|error| Failure::file("read", folder, &error))?;
    let found = entries.filter_map(Result::ok).find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let version = name.strip_prefix("linux-headers-")?.strip_suffix("-common")?;
        let architecture = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        let build = folder.join(format!("linux-headers-{version}-{architecture}"));
        build.exists().then(|| (build, entry.path()))
    });
    found.ok_or_else(|| {
        Failure::new(
            format!("there are no kernel headers in `{HEADERS}`"),
            "`cargo xtask setup --bench` installs the distribution's",
        )
    })
}
