//! From control groups to containers, each of which is asked for once.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroup::{Candidate, Membership};
use super::container::Container;
use super::runtime::State;

/// For so long a group is believed to be no container's: runc writes its state between making the first process and letting
/// it execute the program.
const NO_CONTAINER: Duration = Duration::from_millis(20);
/// A container without a name is asked for again after this time.
const NO_NAME: Duration = Duration::from_secs(1);
/// What is known of the cgroups of so many processes is kept.
const PLACES: usize = 4096;

/// Where a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cgroup: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) container: Option<Arc<Container>>,
}

/// The containers of the host.
#[derive(Debug)]
pub(super) struct Containers {
    state: State,
    /// By the text of `/proc/PID/cgroup`.
    places: HashMap<String, (Place, Until)>,
    /// By the id and the group.
    known: HashMap<(String, String), (Arc<Container>, Until)>,
}

/// How long something is believed.
#[derive(Clone, Copy, Debug)]
enum Until {
    End,
    Then(Instant),
}

impl Until {
    fn is_past(self) -> bool {
        match self {
            Self::End => false,
            Self::Then(then) => Instant::now() >= then,
        }
    }

    fn after(time: Duration) -> Self {
        Self::Then(Instant::now() + time)
    }
}

impl Containers {
    /// Those of which the runtimes keep their state below `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            state: State::new(root),
            places: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Runtimes may take a second from now on.
    pub(super) fn allow_time(&mut self) {
        self.state.allow_time();
    }

    /// Where a process is, by the text of its `/proc/PID/cgroup`.
    pub(super) fn place(&mut self, pid: u32, uid: u32, text: &str) -> Place {
        if let Some((place, until)) = self.places.get(text)
            && !until.is_past()
        {
            return place.clone();
        }
        let membership = Membership::parse(text);
        let found = membership.container(|candidate| self.state.knows(candidate, uid));
        let (container, until) = match &found {
            Some((candidate, _)) => {
                let (container, until) = self.container(candidate, pid, uid);
                (Some(container), until)
            }
            None => (None, Until::after(NO_CONTAINER)),
        };
        let cgroup = found.map_or_else(|| membership.path(), |(_, path)| Some(path));
        let place = Place {
            cgroup: cgroup.map(str::to_owned),
            unit: membership.unit().map(str::to_owned),
            container,
        };
        if self.places.len() >= PLACES {
            self.places.clear();
        }
        self.places.insert(text.to_owned(), (place.clone(), until));
        place
    }

    fn container(&mut self, candidate: &Candidate, pid: u32, uid: u32) -> (Arc<Container>, Until) {
        let key = (candidate.id.clone(), candidate.path.clone());
        if let Some((container, until)) = self.known.get(&key)
            && !until.is_past()
        {
            return (Arc::clone(container), *until);
        }
        let container = Arc::new(self.state.container(candidate, pid, uid));
        let until = if container.name.is_some() || container.pod.is_some() {
            Until::End
        } else {
            Until::after(NO_NAME)
        };
        self.known.insert(key, (Arc::clone(&container), until));
        (container, until)
    }
}
