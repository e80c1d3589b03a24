//! What runtimes know of their containers: names, images, labels, pods.
//!
//! Files are looked at first where they tell as much as the daemon: reading them cannot hang. What nobody knows stays
//! unknown, and the container has its id.
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
use facts::Facts;
use oci::{Bundle, Places};
use sockets::Sockets;
use storage::Lists;

/// The runtimes' state.
#[derive(Debug)]
pub(super) struct State {
    root: PathBuf,
    users: Users,
    sockets: Sockets,
    lists: Lists,
}

impl State {
    /// Looks for it below `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        // What the environment says is about this host.
        let is_host = root == Path::new("/");
        let docker_host = is_host.then(|| std::env::var("DOCKER_HOST").ok()).flatten();
        Self {
            users: Users::new(root.join("etc/passwd")),
            sockets: Sockets::new(&root, docker_host.as_deref()),
            lists: Lists::default(),
            root,
        }
    }

    /// Runtimes may take a second from now on.
    pub(super) fn allow_time(&mut self) {
        self.sockets.allow_time();
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
        let Candidate {
            runtime,
            id,
            path,
            certainty: _,
        } = candidate;
        let mut facts = self.facts(*runtime, id, path, uid);
        let may_be_docker = matches!(
            facts.runtime.unwrap_or(*runtime),
            Runtime::Docker | Runtime::Unknown
        );
        if !facts.is_named() && may_be_docker {
            facts.complete(docker::from_mounts(&self.root, pid, id).unwrap_or_default());
        }
        let Facts {
            runtime: found,
            name,
            image,
            labels,
            pod,
        } = facts;
        Container {
            id: id.clone(),
            runtime: found.unwrap_or(*runtime),
            name,
            image,
            labels,
            pod,
        }
    }

    fn facts(&mut self, runtime: Runtime, id: &str, path: &str, uid: u32) -> Facts {
        let places = places(&self.root, &mut self.users, path, uid);
        let uid = places.uid;
        let mut facts = Facts::default();
        match runtime {
            Runtime::Lxc => facts.name = Some(id.to_owned()),
            Runtime::Nspawn => facts = machine(&self.root, id),
            Runtime::Docker => {
                facts = docker::from_files(&self.root, id).unwrap_or_default();
                if !facts.is_named() {
                    facts.complete(self.sockets.docker(id, uid).unwrap_or_default());
                }
                facts.runtime = Some(runtime);
            }
            Runtime::Podman => {
                // Only the daemon knows the labels.
                facts = self.sockets.podman(id, uid).unwrap_or_default();
                if !facts.is_named() {
                    facts.complete(bundled(&mut self.lists, &places, id));
                }
                facts.runtime = Some(runtime);
            }
            Runtime::Containerd | Runtime::CriO | Runtime::Runc | Runtime::Unknown => {
                facts = docker::from_files(&self.root, id).unwrap_or_default();
                if !facts.is_named() {
                    facts.complete(bundled(&mut self.lists, &places, id));
                }
                let may_be_docker = matches!(facts.runtime, None | Some(Runtime::Docker));
                if !facts.is_named() && may_be_docker {
                    facts.complete(self.sockets.docker(id, uid).unwrap_or_default());
                }
            }
        }
        facts
    }
}

/// Where state is: a rootless container is run by the user in whose slice it is, whoever its processes are.
fn places<'a>(root: &'a Path, users: &mut Users, path: &str, uid: u32) -> Places<'a> {
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
    let mut facts = bundle.as_ref().map(oci::described).unwrap_or_default();
    let beside = bundle.as_ref().and_then(beside);
    for storage in beside.into_iter().chain(places.storages()) {
        if let Some(listed) = lists.find(&storage, id) {
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
fn machine(root: &Path, name: &str) -> Facts {
    let text = std::fs::read_to_string(root.join("run/systemd/machines").join(name)).unwrap_or_default();
    let image = text.lines().find_map(|line| line.strip_prefix("ROOT="));
    Facts {
        name: Some(name.to_owned()),
        image: image.map(str::to_owned),
        ..Facts::default()
    }
}
