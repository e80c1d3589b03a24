//! Libraries that are named and not mapped yet: where they can be found, they are probed ahead, so that the kernel plants
//! their probes as they are mapped and not even their first call is missed.
use std::path::{Path, PathBuf};

use crate::probe::selection::Request;
use crate::target::process::{MappedFile, Process};

/// Where libraries lie, beside what the process itself says.
const FOLDERS: [&str; 8] = [
    "/lib",
    "/usr/lib",
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/local/lib",
    "/usr/local/lib64",
];

/// The files of the process's view that the request names.
pub(super) fn files(process: &Process, request: &Request) -> Vec<MappedFile> {
    let by_pattern = request
        .functions
        .iter()
        .chain(&request.focus)
        .filter_map(|pattern| pattern.object());
    let objects = request.objects.iter().chain(by_pattern);
    let names: Vec<&str> = objects.filter_map(|object| object.literal()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let folders: Vec<PathBuf> = process
        .library_folders()
        .into_iter()
        .chain(FOLDERS.map(PathBuf::from))
        .collect();
    names
        .into_iter()
        .filter_map(|name| find(process, name, &folders))
        .collect()
}

fn find(process: &Process, name: &str, folders: &[PathBuf]) -> Option<MappedFile> {
    if name.starts_with('/') {
        return process.file_at(Path::new(name));
    }
    // A name that is no file name, or one that is not whole (`libc` for `libc.so.6`), is found when it is mapped.
    if name.contains('/') || !name.contains(".so") {
        return None;
    }
    folders
        .iter()
        .find_map(|folder| process.file_at(&folder.join(name)))
}
