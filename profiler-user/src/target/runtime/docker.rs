//! Docker's own files, and the words in which it and Podman answer over their sockets.
use std::path::Path;

use serde_json::Value;

use super::facts::{self, Facts};
use super::files;
use super::mounts;
use crate::rooted::Root;
use crate::target::container::Runtime;

/// What Docker has written down of a container: `config.v2.json`.
pub(super) fn from_files(root: &Root, id: &str) -> Option<Facts> {
    in_folder(root, &Path::new("var/lib/docker/containers").join(id))
}

/// The same, where Docker keeps its files at a place of its own: a process in the container shows it.
pub(super) fn from_mounts(root: &Root, pid: u32, id: &str) -> Option<Facts> {
    let of = |process: &str| files::text(root, &Path::new("proc").join(process).join("mountinfo"));
    let folder = mounts::folder(&of(&pid.to_string())?, &of("self")?, id)?;
    in_folder(root, &folder)
}

fn in_folder(root: &Root, folder: &Path) -> Option<Facts> {
    let config = files::json(root, &folder.join("config.v2.json"))?;
    Some(described(&config, Runtime::Docker))
}

/// What `GET /containers/ID/json` says. The file has the same words for what matters.
pub(super) fn described(container: &Value, runtime: Runtime) -> Facts {
    let config = container.get("Config");
    let of_config = |name| config.and_then(|config| config.get(name));
    let labels = facts::labels(of_config("Labels"));
    // Podman has the image's name in a place of its own.
    let image = facts::text(container.get("ImageName")).or_else(|| facts::text(of_config("Image")));
    Facts {
        runtime: Some(runtime),
        name: facts::text(container.get("Name")).map(|name| name.trim_start_matches('/').to_owned()),
        image,
        pod: facts::pod(&labels),
        labels,
    }
}
