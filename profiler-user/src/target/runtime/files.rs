//! State files, read with a bound. Some are in places where others than root can put what they like.
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::rooted::Root;

/// Bytes of a file that are read.
const LONGEST: u64 = 16 << 20;

/// The document in a file below `root`; none = it is not there, may not be read, or is none.
pub(super) fn json(root: &Root, path: &Path) -> Option<Value> {
    serde_json::from_slice(&bytes(root, path)?).ok()
}

/// The text of a file.
pub(super) fn text(root: &Root, path: &Path) -> Option<String> {
    String::from_utf8(bytes(root, path)?).ok()
}

fn bytes(root: &Root, path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    root.open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
