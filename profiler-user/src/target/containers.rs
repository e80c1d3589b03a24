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
/// What is in no container is looked for again at least this often: a container may come to be in the same group.
const LAST: Duration = Duration::from_mins(1);
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
    /// Whether runtimes are asked what they know of a container, beside its id.
    asks: bool,
    /// By the text of `/proc/PID/cgroup`.
    places: HashMap<String, Known<Place>>,
    /// By the group.
    known: HashMap<String, Known<Arc<Container>>>,
}

#[derive(Debug)]
struct Known<T> {
    what: T,
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
            asks: true,
            places: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Runtimes may take a second from now on.
    pub(super) fn allow_time(&mut self) {
        self.state.allow_time();
    }

    /// Whether runtimes are asked what they know of a container, beside its id.
    pub(super) fn set_asking(&mut self, asks: bool) {
        self.asks = asks;
    }

    /// Where a process is, by the text of its `/proc/PID/cgroup`.
    pub(super) fn place(&mut self, pid: u32, uid: u32, text: &str) -> Place {
        let before = self.places.get(text);
        if let Some(known) = before.filter(|known| !known.until.is_past()) {
            return known.what.clone();
        }
        let since = before.map_or_else(Instant::now, |known| known.since);
        let membership = Membership::parse(text);
        let found = membership.container(|candidate| self.state.knows(candidate, uid));
        let (container, until) = match &found {
            Some((candidate, _)) => {
                let (container, until) = self.container(candidate, pid, uid);
                (Some(container), until)
            }
            None => (None, Until::after(pause(since.elapsed()))),
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
        let known = Known {
            what: place.clone(),
            until,
            since,
            pid,
        };
        self.places.insert(text.to_owned(), known);
        place
    }

    fn container(&mut self, candidate: &Candidate, pid: u32, uid: u32) -> (Arc<Container>, Until) {
        let before = self.known.get(&candidate.path);
        let before = before.filter(|known| known.what.id == candidate.id);
        if let Some(known) = before.filter(|known| !known.until.is_past()) {
            return (Arc::clone(&known.what), known.until);
        }
        let since = before.map_or_else(Instant::now, |known| known.since);
        let container = Arc::new(if self.asks {
            self.ask(candidate, pid, uid)
        } else {
            Container::unnamed(candidate.id.clone(), candidate.runtime)
        });
        let until = if container.is_named() || !self.asks {
            Until::End
        } else if since.elapsed() < YOUNG {
            Until::after(SOON)
        } else {
            Until::after(LATER)
        };
        let known = Known {
            what: Arc::clone(&container),
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

/// When to look again for the container of a group that has been in none for `age`.
fn pause(age: Duration) -> Duration {
    if age < YOUNG {
        SOON
    } else {
        (age / 2).clamp(LATER, LAST)
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
    fn what_is_in_no_container_is_looked_for_less_and_less() {
        for (age, expected) in [
            (0, 20),
            (1999, 20),
            (2000, 1000),
            (10_000, 5000),
            (1_000_000, 60_000),
        ] {
            let pause = super::pause(Duration::from_millis(age));
            assert_eq!(pause, Duration::from_millis(expected), "{age}");
        }
    }

    #[test]
    fn where_nobody_is_to_be_asked_the_id_is_all_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("var/lib/docker/containers").join(ID);
        std::fs::create_dir_all(&config).unwrap();
        std::fs::write(config.join("config.v2.json"), r#"{"Name":"/web-1"}"#).unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        let daemon = std::os::unix::net::UnixListener::bind(folder.path().join("run/docker.sock")).unwrap();
        daemon.set_nonblocking(true).unwrap();
        let mut containers = Containers::new(folder.path().to_owned());
        containers.set_asking(false);
        let place = containers.place(7, 0, &format!("0::/docker/{ID}\n"));
        let container = place.container.unwrap();
        assert_eq!((container.id.as_str(), container.is_named()), (ID, false));
        let asked = daemon.accept().map(|_| ()).unwrap_err().kind();
        assert_eq!(asked, std::io::ErrorKind::WouldBlock, "a daemon was asked");
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
