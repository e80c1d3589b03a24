//! State files, read with a bound. Some are in places where others than root can put what they like.
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::Value;

/// Bytes of a file that are read.
const LONGEST: u64 = 16 << 20;

/// The document in a file; none = it is not there, may not be read, or is none.
pub(super) fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&bytes(path)?).ok()
}

/// The text of a file.
pub(super) fn text(path: &Path) -> Option<String> {
    String::from_utf8(bytes(path)?).ok()
}

fn bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A regular file: opening or reading a pipe or a device could take for ever.
fn open(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file())
        .then_some(file)
}
