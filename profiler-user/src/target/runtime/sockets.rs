//! The daemons that answer over a socket: Docker, and Podman in Docker's words.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::docker;
use super::facts::Facts;
use super::http;
use crate::target::container::Runtime;

/// All questions together may take so long, counted from [`Sockets::allow_time`].
const PATIENCE: Duration = Duration::from_secs(1);
/// A question that takes so long is not asked again soon, whatever the answer: there may be many of its kind.
const SLOW: Duration = Duration::from_millis(250);
/// Who did not answer in time, or is slow, is not asked again for so long.
const REST: Duration = Duration::from_secs(30);

/// The sockets, and what they cost.
#[derive(Debug)]
pub(super) struct Sockets {
    root: PathBuf,
    /// From `DOCKER_HOST`.
    docker_host: Option<PathBuf>,
    deadline: Instant,
    /// Those that did not answer in time, or are slow, and when they may be asked again.
    resting: HashMap<PathBuf, Instant>,
}

impl Sockets {
    /// Those below `root`. `docker_host` is what the environment says of Docker's.
    pub(super) fn new(root: &Path, docker_host: Option<&str>) -> Self {
        let docker_host = docker_host.and_then(|host| host.strip_prefix("unix://"));
        Self {
            root: root.to_owned(),
            docker_host: docker_host.map(PathBuf::from),
            deadline: Instant::now() + PATIENCE,
            resting: HashMap::new(),
        }
    }

    /// From now on questions may take their time again.
    pub(super) fn allow_time(&mut self) {
        self.deadline = Instant::now() + PATIENCE;
    }

    /// What Docker says of a container.
    pub(super) fn docker(&mut self, id: &str, uid: u32) -> Option<Facts> {
        let paths = [
            self.docker_host.clone(),
            Some(self.root.join("run/docker.sock")),
            Some(self.root.join("var/run/docker.sock")),
            Some(self.root.join(format!("run/user/{uid}/docker.sock"))),
        ];
        self.first(paths.into_iter().flatten(), id, Runtime::Docker)
    }

    /// What Podman says of a container.
    pub(super) fn podman(&mut self, id: &str, uid: u32) -> Option<Facts> {
        let paths = [
            self.root.join("run/podman/podman.sock"),
            self.root.join(format!("run/user/{uid}/podman/podman.sock")),
        ];
        self.first(paths.into_iter(), id, Runtime::Podman)
    }

    fn first(&mut self, paths: impl Iterator<Item = PathBuf>, id: &str, runtime: Runtime) -> Option<Facts> {
        let mut asked: Vec<PathBuf> = Vec::new();
        for path in paths {
            // `/var/run` is `/run` nearly everywhere.
            let Ok(real) = path.canonicalize() else { continue };
            if asked.contains(&real) {
                continue;
            }
            if let Some(facts) = self.ask(&real, id, runtime) {
                return Some(facts);
            }
            asked.push(real);
        }
        None
    }

    fn ask(&mut self, path: &Path, id: &str, runtime: Runtime) -> Option<Facts> {
        if self
            .resting
            .get(path)
            .is_some_and(|until| Instant::now() < *until)
        {
            return None;
        }
        let asked = Instant::now();
        let answer = http::get(path, &format!("/containers/{id}/json"), self.deadline);
        if asked.elapsed() >= SLOW || Instant::now() >= self.deadline {
            log::warn!(
                "`{}` takes long to answer: it is left alone for {} seconds, containers may be shown by their ids",
                path.display(),
                REST.as_secs()
            );
            self.resting.insert(path.to_owned(), Instant::now() + REST);
        }
        match answer {
            Ok(body) => {
                let answer = serde_json::from_slice(&body?).ok()?;
                Some(docker::described(&answer, runtime))
            }
            Err(error) => {
                log::debug!("failed to ask `{}`: {error}", path.display());
                None
            }
        }
    }
}
