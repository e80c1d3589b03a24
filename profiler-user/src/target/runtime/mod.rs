//! What runtimes know of their containers: names, images, labels, pods.
//!
//! Files are looked at first: reading them cannot hang, while a daemon may answer no question about a container that it is
//! starting, which is when it matters. What nobody knows stays unknown, and the container has its id.
mod docker;
mod facts;
mod files;
mod http;
mod mounts;
mod oci;
mod sockets;
mod storage;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::cgroup::Candidate;
use super::container::{Container, Runtime};
use super::users::Users;
use crate::rooted::Root;
use facts::Facts;
use oci::{Bundle, Places};
use sockets::Sockets;
use storage::Lists;

/// The runtimes' state.
#[derive(Debug)]
pub(super) struct State {
    /// Paths of the runtimes are meant below it.
    folder: PathBuf,
    root: Root,
    users: Users,
    /// None = daemons are not asked.
    sockets: Option<Sockets>,
    lists: Lists,
}

impl State {
    /// Looks for it below `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        // What the environment says is about this host.
        let is_host = folder == Path::new("/");
        let docker_host = is_host.then(|| std::env::var("DOCKER_HOST").ok()).flatten();
        Self {
            sockets: Some(Sockets::new(&folder, docker_host.as_deref())),
            ..Self::without_daemons(folder)
        }
    }

    /// The state of the runtimes that run where the process `pid` is. Their daemons are not asked: whoever is in a container
    /// must not be able to delay us.
    pub(super) fn inside(&self, pid: u32) -> Self {
        Self::without_daemons(self.folder.join(format!("proc/{pid}/root")))
    }

    fn without_daemons(folder: PathBuf) -> Self {
        let root = Root::new(folder.clone());
        Self {
            users: Users::new(root.clone()),
            sockets: None,
            lists: Lists::default(),
            root,
            folder,
        }
    }

    /// Runtimes may take a second from now on.
    pub(super) fn allow_time(&mut self) {
        if let Some(sockets) = &mut self.sockets {
            sockets.allow_time();
        }
    }

    /// Whether a runtime has a container of this id in this control group.
    pub(super) fn knows(&mut self, candidate: &Candidate, uid: u32) -> bool {
        if matches!(candidate.id.as_str(), "." | "..") {
            return false;
        }
        let places = places(&self.root, &mut self.users, &candidate.path, uid);
        let bundle = oci::bundle(&places, &candidate.id);
        bundle.is_some_and(|bundle| oci::has_group(&bundle, &candidate.path))
    }

    /// All that can be found out of a container in which the process `pid` of the user `uid` is.
    pub(super) fn container(&mut self, candidate: &Candidate, pid: u32, uid: u32) -> Container {
        let Facts {
            runtime,
            name,
            image,
            labels,
            pod,
        } = self.facts(candidate, pid, uid);
        Container {
            id: candidate.id.clone(),
            runtime: runtime.unwrap_or(candidate.runtime),
            name,
            image,
            labels,
            pod,
        }
    }

    fn facts(&mut self, candidate: &Candidate, pid: u32, uid: u32) -> Facts {
        let Candidate {
            runtime,
            id,
            path,
            certainty: _,
        } = candidate;
        let places = places(&self.root, &mut self.users, path, uid);
        match runtime {
            Runtime::Lxc => Facts {
                name: Some(id.clone()),
                ..Facts::default()
            },
            Runtime::Nspawn => machine(&self.root, id),
            Runtime::Docker => {
                let files = docker::from_files(&self.root, id);
                let files = files.or_else(|| docker::from_mounts(&self.root, pid, id));
                files
                    .or_else(|| self.sockets.as_mut()?.docker(id, places.uid))
                    .unwrap_or_default()
            }
            Runtime::Podman => {
                let mut facts = bundled(&mut self.lists, &places, id);
                if !facts.is_named() {
                    let sockets = self.sockets.as_mut();
                    let said = sockets.and_then(|sockets| sockets.podman(id, places.uid));
                    facts.complete(said.unwrap_or_default());
                }
                facts.runtime = Some(*runtime);
                facts
            }
            Runtime::Containerd | Runtime::CriO | Runtime::Runc | Runtime::Unknown => {
                let mut facts = docker::from_files(&self.root, id).unwrap_or_default();
                if !facts.is_named() {
                    facts.complete(bundled(&mut self.lists, &places, id));
                }
                // Docker may be told to put its containers into any group.
                let may_be_docker = matches!(facts.runtime, None | Some(Runtime::Docker));
                if !facts.is_named() && may_be_docker {
                    let files = docker::from_mounts(&self.root, pid, id);
                    let docker = files.or_else(|| self.sockets.as_mut()?.docker(id, places.uid));
                    facts.complete(docker.unwrap_or_default());
                }
                facts
            }
        }
    }
}

/// See [`mounts::folder`]; the container and the host have the same mounts.
pub(super) fn folder_in(mountinfo: &str, id: &str) -> Option<PathBuf> {
    mounts::folder(mountinfo, mountinfo, id)
}

/// What a document says, read as each of those that runtimes write.
pub(super) fn described_by(document: &[u8]) -> Vec<Container> {
    let Ok(value) = serde_json::from_slice(document) else {
        return Vec::new();
    };
    let mut facts = vec![
        docker::described(&value, Runtime::Docker),
        oci::described_by(&value),
    ];
    facts.extend(storage::listed(&value).into_values());
    let containers = facts.into_iter().map(|facts| {
        let mut container = Container::unnamed(String::new(), facts.runtime.unwrap_or(Runtime::Unknown));
        (container.name, container.image, container.pod) = (facts.name, facts.image, facts.pod);
        container
    });
    containers.collect()
}

/// The body of a daemon's answer, when it is all there.
pub(super) fn body_of(answer: &[u8]) -> Option<Vec<u8>> {
    http::body(answer)
}

/// Where state is: a rootless container is run by the user in whose slice it is, whoever its processes are.
fn places<'a>(root: &'a Root, users: &mut Users, path: &str, uid: u32) -> Places<'a> {
    let of_slice = path.split('/').find_map(|part| {
        let uid = part.strip_prefix("user-")?.strip_suffix(".slice")?;
        uid.parse::<u32>().ok()
    });
    let uid = of_slice.unwrap_or(uid);
    Places {
        root,
        uid,
        home: users.home(uid),
    }
}

/// What bundle and storage tell.
fn bundled(lists: &mut Lists, places: &Places<'_>, id: &str) -> Facts {
    let bundle = oci::bundle(places, id);
    let mut facts = bundle
        .as_ref()
        .map(|bundle| oci::described(places.root, bundle))
        .unwrap_or_default();
    let beside = bundle.as_ref().and_then(beside);
    for storage in beside.into_iter().chain(places.storages()) {
        if let Some(listed) = lists.find(places.root, &storage, id) {
            facts.complete(listed);
            break;
        }
    }
    // runc knows a container by nothing but its id, which is the name that its user has given.
    if facts.runtime == Some(Runtime::Runc) && !facts.is_named() && !super::container::is_long_id(id) {
        facts.name = Some(id.to_owned());
    }
    facts
}

/// The storage that a bundle is in: `STORAGE/overlay-containers/ID/userdata`.
fn beside(bundle: &Bundle) -> Option<PathBuf> {
    bundle.path.ancestors().nth(3).map(Path::to_owned)
}

/// What systemd knows of a machine.
fn machine(root: &Root, name: &str) -> Facts {
    let text = files::text(root, &Path::new("run/systemd/machines").join(name)).unwrap_or_default();
    let image = text.lines().find_map(|line| line.strip_prefix("ROOT="));
    Facts {
        name: Some(name.to_owned()),
        image: image.map(str::to_owned),
        ..Facts::default()
    }
}
