//! Bundles, which every runtime makes for runc and its kin: their annotations tell what Kubernetes and others call a
//! container.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::facts::{self, Facts};
use super::files;
use crate::rooted::Root;
use crate::target::container::{Pod, Runtime};

/// Where containerd keeps its bundles, by namespace: its own, Docker's, that of k3s.
const TASKS: [&str; 3] = [
    "run/containerd/io.containerd.runtime.v2.task",
    "run/docker/containerd/daemon/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
];

/// Where CRI-O and Podman, run by root, keep theirs.
const STORAGES: [&str; 2] = ["run/containers/storage", "var/lib/containers/storage"];

/// A bundle and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    /// Its folder, below the root.
    pub(super) path: PathBuf,
    runtime: Option<Runtime>,
    /// The control group that the runtime has written down.
    cgroup: Option<String>,
}

/// Where state is looked for.
#[derive(Clone, Debug)]
pub(super) struct Places<'a> {
    /// Below this folder.
    pub(super) root: &'a Root,
    /// Of this user, too.
    pub(super) uid: u32,
    /// The user's home.
    pub(super) home: Option<PathBuf>,
}

impl Places<'_> {
    /// The folders of containers/storage, for state that is lost at a boot and for state that is not.
    pub(super) fn storages(&self) -> Vec<PathBuf> {
        let user = PathBuf::from(format!("run/user/{}/containers", self.uid));
        let home = self
            .home
            .as_ref()
            .map(|home| home.join(".local/share/containers/storage"));
        let system = STORAGES.map(PathBuf::from);
        system.into_iter().chain([user]).chain(home).collect()
    }

    fn runtimes(&self, name: &str) -> [PathBuf; 2] {
        [
            Path::new("run").join(name),
            PathBuf::from(format!("run/user/{}/{name}", self.uid)),
        ]
    }
}

/// The bundle of a container.
pub(super) fn bundle(places: &Places<'_>, id: &str) -> Option<Bundle> {
    containerd(places, id)
        .or_else(|| runc(places, id))
        .or_else(|| crun(places, id))
        .or_else(|| storage(places, id))
}

/// Whether the bundle is that of a container whose control group is `path`.
pub(super) fn has_group(bundle: &Bundle, path: &str) -> bool {
    let Some(cgroup) = &bundle.cgroup else {
        return false;
    };
    // systemd's way of naming: `slice:prefix:name`.
    let mut parts = cgroup.split(':');
    if let (Some(_), Some(prefix), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    {
        let unit = path.rsplit('/').next().unwrap_or(path);
        return unit == format!("{prefix}-{name}.scope")
            || (prefix.is_empty() && unit == format!("{name}.scope"));
    }
    path == cgroup
        || cgroup.ends_with(path)
        || path.ends_with(&format!("/{}", cgroup.trim_start_matches('/')))
}

fn containerd(places: &Places<'_>, id: &str) -> Option<Bundle> {
    let namespaces = TASKS.iter().flat_map(|tasks| {
        let names = places.root.names(Path::new(tasks)).into_iter();
        names.map(|name| Path::new(tasks).join(name))
    });
    let path = namespaces
        .map(|namespace| namespace.join(id))
        .find(|path| places.root.has_folder(path))?;
    let namespace = path.parent().and_then(Path::file_name);
    let runtime = match namespace.and_then(|name| name.to_str()) {
        Some("moby") => Runtime::Docker,
        Some(_) | None => Runtime::Containerd,
    };
    let config = files::json(places.root, &path.join("config.json"));
    let cgroup = config.and_then(|config| facts::text(config.pointer("/linux/cgroupsPath")));
    Some(Bundle {
        path,
        runtime: Some(runtime),
        cgroup,
    })
}

fn runc(places: &Places<'_>, id: &str) -> Option<Bundle> {
    let states = places
        .runtimes("runc")
        .map(|folder| folder.join(id).join("state.json"));
    let state = states.iter().find_map(|path| files::json(places.root, path))?;
    let labels = state.pointer("/config/labels").and_then(Value::as_array);
    let path = labels
        .into_iter()
        .flatten()
        .find_map(|label| label.as_str()?.strip_prefix("bundle="));
    let groups = state.get("cgroup_paths").and_then(Value::as_object);
    let group = groups.into_iter().flatten().find_map(|(_, path)| path.as_str());
    Some(Bundle {
        path: PathBuf::from(path.unwrap_or_default()),
        runtime: Some(Runtime::Runc),
        cgroup: group.map(str::to_owned),
    })
}

fn crun(places: &Places<'_>, id: &str) -> Option<Bundle> {
    let states = places
        .runtimes("crun")
        .map(|folder| folder.join(id).join("status"));
    let state = states.iter().find_map(|path| files::json(places.root, path))?;
    let path = facts::text(state.get("bundle")).unwrap_or_default();
    Some(Bundle {
        path: PathBuf::from(path),
        runtime: Some(Runtime::Runc),
        cgroup: facts::text(state.get("cgroup-path")),
    })
}

fn storage(places: &Places<'_>, id: &str) -> Option<Bundle> {
    let folders = places.storages().into_iter();
    let paths = folders.map(|folder| folder.join("overlay-containers").join(id).join("userdata"));
    let path = paths
        .into_iter()
        .find(|path| places.root.find_plain(&path.join("config.json")).is_ok())?;
    Some(Bundle {
        path,
        runtime: None,
        cgroup: None,
    })
}

/// What a bundle's annotations tell.
pub(super) fn described(root: &Root, bundle: &Bundle) -> Facts {
    let config = files::json(root, &bundle.path.join("config.json"));
    let mut facts = config.as_ref().map(described_by).unwrap_or_default();
    facts.runtime = facts.runtime.or(bundle.runtime);
    facts
}

/// What the annotations in a bundle's `config.json` tell.
pub(super) fn described_by(config: &Value) -> Facts {
    let annotations = facts::labels(config.get("annotations"));
    let mut facts = of_annotations(&annotations);
    facts.labels = annotations;
    if let Some(labels) = facts.labels.get("io.kubernetes.cri-o.Labels")
        && let Ok(labels) = serde_json::from_str(labels)
    {
        facts.labels = facts::labels(Some(&labels));
    }
    facts
}

fn of_annotations(annotations: &BTreeMap<String, String>) -> Facts {
    let get = |key: &str| annotations.get(key).filter(|value| !value.is_empty()).cloned();
    let runtime = match get("io.container.manager").as_deref() {
        Some("libpod") => Some(Runtime::Podman),
        Some("cri-o") => Some(Runtime::CriO),
        Some(_) | None if annotations.contains_key("io.kubernetes.cri-o.ContainerID") => Some(Runtime::CriO),
        Some(_) | None if annotations.contains_key("io.kubernetes.cri.container-type") => {
            Some(Runtime::Containerd)
        }
        Some(_) | None => None,
    };
    let by_containerd = || {
        Some(Pod {
            namespace: get("io.kubernetes.cri.sandbox-namespace").unwrap_or_default(),
            name: get("io.kubernetes.cri.sandbox-name")?,
            container: get("io.kubernetes.cri.container-name"),
        })
    };
    Facts {
        runtime,
        name: get("io.kubernetes.cri-o.Name").or_else(|| get("nerdctl/name")),
        image: get("io.kubernetes.cri.image-name").or_else(|| get("io.kubernetes.cri-o.ImageName")),
        labels: BTreeMap::new(),
        pod: by_containerd().or_else(|| facts::pod(annotations)),
    }
}
