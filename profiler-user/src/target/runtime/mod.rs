//! What runtimes know of their containers: names, images, labels, pods.
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::cgroup::Candidate;
use super::container::Container;

/// The runtimes' state.
#[derive(Debug)]
pub(super) struct State {
    root: PathBuf,
}

impl State {
    /// Looks for it below `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Runtimes may take a second from now on.
    pub(super) fn allow_time(&mut self) {}

    /// Whether a runtime has this container.
    pub(super) fn knows(&mut self, candidate: &Candidate, _uid: u32) -> bool {
        let state = self.root.join("run/runc").join(&candidate.id).join("state.json");
        state.exists()
    }

    /// All that can be found out of a container.
    pub(super) fn container(&mut self, candidate: &Candidate, _pid: u32, _uid: u32) -> Container {
        Container {
            id: candidate.id.clone(),
            runtime: candidate.runtime,
            name: None,
            image: None,
            labels: BTreeMap::new(),
            pod: None,
        }
    }
}
