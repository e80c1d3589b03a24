//! From control groups to containers, each of which is asked for once.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroup::{Candidate, Membership};
use super::container::Container;
use super::runtime::State;

/// What is not known yet is asked for again after this time: runc writes its state between making a container's first process
/// and letting it execute the program.
const SOON: Duration = Duration::from_millis(20);
/// What is still not known when a container has been there for some time is asked for again after this time.
const LATER: Duration = Duration::from_secs(1);
/// When that is.
const YOUNG: Duration = Duration::from_secs(2);
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
    /// By the group.
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    container: Arc<Container>,
    until: Until,
    since: Instant,
    /// A process in it.
    pid: u32,
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
            None => (None, Until::after(SOON)),
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
        let before = self.known.get(&candidate.path);
        let before = before.filter(|known| known.container.id == candidate.id);
        if let Some(known) = before.filter(|known| !known.until.is_past()) {
            return (Arc::clone(&known.container), known.until);
        }
        let since = before.map_or_else(Instant::now, |known| known.since);
        let container = Arc::new(self.ask(candidate, pid, uid));
        let until = if container.is_named() {
            Until::End
        } else if since.elapsed() < YOUNG {
            Until::after(SOON)
        } else {
            Until::after(LATER)
        };
        let known = Known {
            container: Arc::clone(&container),
            until,
            since,
            pid,
        };
        if self.known.len() >= PLACES {
            self.known.clear();
        }
        self.known.insert(candidate.path.clone(), known);
        (container, until)
    }

    /// Asks the runtimes of the host, and those that run in the containers around it.
    fn ask(&mut self, candidate: &Candidate, pid: u32, uid: u32) -> Container {
        let container = self.state.container(candidate, pid, uid);
        if container.is_named() {
            return container;
        }
        let parents = candidate
            .path
            .match_indices('/')
            .skip(1)
            .map(|(end, _)| &candidate.path[..end]);
        let around = parents.filter_map(|path| Some(self.known.get(path)?.pid));
        // The nearest last.
        let Some(outer) = around.last().filter(|outer| *outer != pid) else {
            return container;
        };
        let inner = self.state.inside(outer).container(candidate, pid, uid);
        if inner.is_named() { inner } else { container }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::Containers;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// Looks again and again for what must be known soon, and much sooner than what is given up for unknown.
    fn poll<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_millis(800);
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "it is not known soon");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn of_a_container_in_a_container_the_outer_ones_runtime_knows_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let inner = ID.replace('0', "f");
        let config = "var/lib/docker/containers";
        write(&format!("{config}/{ID}/config.v2.json"), r#"{"Name":"/node"}"#);
        write(
            &format!("proc/7/root/{config}/{inner}/config.v2.json"),
            r#"{"Name":"/web-1"}"#,
        );
        let name = |containers: &mut Containers, pid, group: &str| {
            let container = containers
                .place(pid, 0, &format!("0::{group}\n"))
                .container
                .unwrap();
            container.name.clone()
        };
        let group = format!("/docker/{ID}/kubelet/docker/{inner}");
        let mut alone = Containers::new(folder.path().to_owned());
        assert_eq!(
            name(&mut alone, 9, &group),
            None,
            "nobody in the outer one is known"
        );
        let mut containers = Containers::new(folder.path().to_owned());
        assert_eq!(
            name(&mut containers, 7, &format!("/docker/{ID}")).as_deref(),
            Some("node")
        );
        assert_eq!(name(&mut containers, 9, &group).as_deref(), Some("web-1"));
    }

    #[test]
    fn what_a_runtime_writes_late_is_known_soon() {
        let folder = tempfile::tempdir().unwrap();
        let mut containers = Containers::new(folder.path().to_owned());
        let docker = format!("0::/docker/{ID}\n");
        let mut place = |text: &str| containers.place(7, 0, text);
        let nameless = place(&docker).container.unwrap();
        assert_eq!((nameless.id.as_str(), &nameless.name), (ID, &None));
        assert_eq!(place("0::/web\n").container, None);
        let config = folder.path().join("var/lib/docker/containers").join(ID);
        std::fs::create_dir_all(&config).unwrap();
        std::fs::write(config.join("config.v2.json"), r#"{"Name":"/web-1"}"#).unwrap();
        let state = folder.path().join("run/runc/web");
        std::fs::create_dir_all(&state).unwrap();
        std::fs::write(
            state.join("state.json"),
            r#"{"cgroup_paths":{"":"/sys/fs/cgroup/web"}}"#,
        )
        .unwrap();
        let named = poll(|| place(&docker).container.filter(|it| it.name.is_some()));
        assert_eq!(named.name.as_deref(), Some("web-1"));
        let runc = poll(|| place("0::/web\n").container);
        assert_eq!(runc.name.as_deref(), Some("web"));
        // What is known is not asked for again.
        std::fs::remove_dir_all(folder.path().join("var")).unwrap();
        let again = place(&format!("0::/docker/{ID}/inner\n")).container.unwrap();
        assert!(
            Arc::ptr_eq(&again, &named),
            "a process in a group below is in the same container"
        );
    }
}
