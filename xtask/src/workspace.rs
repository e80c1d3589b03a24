//! Where things are, which programs there are, and who we are.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::exec::{Failure, Outcome, answer};

/// The repository's top folder.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// The build products' folder. Tools and the eBPF object are here whatever `CARGO_TARGET_DIR` says.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// A product of the host's cargo, which does obey `CARGO_TARGET_DIR`.
pub(crate) fn product(profile: &str, name: &str) -> PathBuf {
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(target, |dir| root().join(dir));
    folder.join(profile).join(name)
}

/// The cargo that runs us, in the repository's top folder.
pub(crate) fn cargo() -> Command {
    let mut command = tool(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A program without what `cargo run` puts into the environment of its child and another toolchain would stumble over.
pub(crate) fn tool(program: impl Into<OsString>) -> Command {
    let mut command = Command::new(program.into());
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// The target triple of this machine, as its compiler names it.
pub(crate) fn host() -> Outcome<String> {
    let version = answer(tool("rustc").arg("-vV")).unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| {
        Failure::new(
            "`rustc -vV` names no host",
            "install a Rust toolchain: https://rustup.rs",
        )
    })
}

/// Whether this process may attach probes without asking.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The path of a command. The system's own folders are searched too: a user's PATH often lacks them.
pub(crate) fn find_command(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// All files of the repository whose name ends in `extension`, in a stable order, without build products.
pub(crate) fn files(extension: &str) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| Failure::file("list", &folder, &error))?;
        for entry in entries {
            let path = entry
                .map_err(|error| Failure::file("list", &folder, &error))?
                .path();
            let hidden = path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.is_dir() && !path.is_symlink() {
                if !hidden && !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
