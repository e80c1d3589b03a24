//! State files, read with a bound.
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

/// Bytes of a file that are read.
const LONGEST: u64 = 16 << 20;

/// The document in a file; none = it is not there, may not be read, or is none.
pub(super) fn json(path: &Path) -> Option<Value> {
    let file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
