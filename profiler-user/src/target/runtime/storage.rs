//! `containers.json` of containers/storage, which Podman and CRI-O share: names and images.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::facts::{self, Facts};
use super::files;
use crate::rooted::Root;

/// Lists that are kept as long as they do not change.
#[derive(Debug, Default)]
pub(super) struct Lists {
    known: HashMap<PathBuf, List>,
}

#[derive(Debug)]
struct List {
    version: Version,
    by_id: HashMap<String, Facts>,
}

/// Changes with the file.
type Version = (SystemTime, u64);

impl Lists {
    /// What the list of a storage says of a container.
    pub(super) fn find(&mut self, root: &Root, storage: &Path, id: &str) -> Option<Facts> {
        let path = storage.join("overlay-containers/containers.json");
        let metadata = root.find_plain(&path).and_then(|file| file.metadata()).ok()?;
        let version = (metadata.modified().ok()?, metadata.len());
        if self.known.get(&path).is_none_or(|list| list.version != version) {
            let by_id = read(root, &path);
            self.known.insert(path.clone(), List { version, by_id });
        }
        self.known.get(&path)?.by_id.get(id).cloned()
    }
}

fn read(root: &Root, path: &Path) -> HashMap<String, Facts> {
    files::json(root, path).as_ref().map(listed).unwrap_or_default()
}

/// What a list says of each container.
pub(super) fn listed(list: &Value) -> HashMap<String, Facts> {
    let entries = list.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| Some((facts::text(entry.get("id"))?, described(entry))))
        .collect()
}

fn described(entry: &Value) -> Facts {
    // A document in a string.
    let metadata = entry.get("metadata").and_then(Value::as_str);
    let metadata = metadata.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let of_metadata = |name| facts::text(metadata.as_ref().and_then(|metadata| metadata.get(name)));
    Facts {
        name: of_metadata("name").or_else(|| facts::text(entry.pointer("/names/0"))),
        image: of_metadata("image-name").or_else(|| facts::text(entry.get("image"))),
        ..Facts::default()
    }
}
