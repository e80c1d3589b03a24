//! State as the runtimes leave it, below a folder that takes the host's place.
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::State;
use crate::target::cgroup::Membership;
use crate::target::container::{Container, Pod, Runtime};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A host with some files.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    /// With a file; `<ID>` stands for the id, `<ROOT>` for the folder.
    fn with(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path.replace("<ID>", ID));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let root = self.folder.path().display().to_string();
        std::fs::write(path, text.replace("<ID>", ID).replace("<ROOT>", &root)).unwrap();
        self
    }

    /// The container of a process of the user 100000 in this control group.
    fn find(&self, path: &str) -> Option<Container> {
        find(&mut self.state(), path)
    }

    fn state(&self) -> State {
        State::new(self.folder.path().to_owned())
    }
}

fn find(state: &mut State, path: &str) -> Option<Container> {
    let membership = Membership::parse(&format!("0::{}\n", path.replace("<ID>", ID)));
    let (candidate, _) = membership.container(|candidate| state.knows(candidate, 100_000))?;
    Some(state.container(&candidate, 7, 100_000))
}

fn unnamed(runtime: Runtime) -> Container {
    Container {
        id: ID.to_owned(),
        runtime,
        name: None,
        image: None,
        labels: BTreeMap::new(),
        pod: None,
    }
}

fn cart() -> Pod {
    Pod {
        namespace: "shop".to_owned(),
        name: "cart-5d".to_owned(),
        container: Some("server".to_owned()),
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

const DOCKER_CONFIG: &str = r#"{"ID":"<ID>","Name":"/web-1","Image":"sha256:12","Config":{"Image":"nginx:1.27",
    "Labels":{"team":"red","com.docker.compose.service":"web"}},"State":{"Pid":7}}"#;

#[test]
fn without_any_state_the_id_and_what_the_path_tells_are_left() {
    let host = Host::new();
    for (path, runtime) in [
        ("/system.slice/docker-<ID>.scope", Runtime::Docker),
        ("/k8s.io/<ID>", Runtime::Containerd),
        ("/machine.slice/libpod-<ID>.scope", Runtime::Podman),
        ("/kubepods/burstable/pod1/crio-<ID>", Runtime::CriO),
        ("/some/where/<ID>", Runtime::Unknown),
    ] {
        assert_eq!(host.find(path), Some(unnamed(runtime)), "{path}");
    }
    let lxc = host.find("/lxc.payload.web").unwrap();
    assert_eq!((lxc.id.as_str(), lxc.name.as_deref()), ("web", Some("web")));
    assert_eq!(host.find("/some/where/web"), None);
    assert_eq!(host.find("/some/where"), None);
}

#[test]
fn docker_is_known_by_its_files_whatever_the_group_is_called() {
    let host = Host::new().with("var/lib/docker/containers/<ID>/config.v2.json", DOCKER_CONFIG);
    let expected = Container {
        name: Some("web-1".into()),
        image: Some("nginx:1.27".into()),
        labels: labels(&[("team", "red"), ("com.docker.compose.service", "web")]),
        ..unnamed(Runtime::Docker)
    };
    for path in [
        "/docker/<ID>",
        "/system.slice/docker-<ID>.scope",
        "/teams/red/<ID>",
        "/kubepods/pod1/<ID>",
    ] {
        assert_eq!(host.find(path), Some(expected.clone()), "{path}");
    }
    let compose = expected.labels.get("com.docker.compose.service");
    assert_eq!(compose.map(String::as_str), Some("web"));
}

#[test]
fn docker_with_a_folder_of_its_own_is_known_by_what_is_mounted_in_the_container() {
    let inner = "9 8 8:1 /dk/containers/<ID>/hosts /etc/hosts rw - ext4 x rw\n";
    let host = Host::new()
        .with("proc/7/mountinfo", inner)
        .with("proc/self/mountinfo", "1 0 8:1 / /srv rw - ext4 x rw\n")
        .with("srv/dk/containers/<ID>/config.v2.json", DOCKER_CONFIG);
    for path in ["/docker/<ID>", "/teams/red/<ID>"] {
        let found = host.find(path).unwrap();
        assert_eq!(
            (found.name.as_deref(), found.runtime),
            (Some("web-1"), Runtime::Docker)
        );
    }
}

#[test]
fn kubernetes_on_docker_has_its_pod_in_the_labels() {
    let config = r#"{"Name":"/k8s_server_cart-5d_shop_u_0","Config":{"Image":"cart:3","Labels":{
        "io.kubernetes.pod.name":"cart-5d","io.kubernetes.pod.namespace":"shop","io.kubernetes.container.name":"server"}}}"#;
    let host = Host::new().with("var/lib/docker/containers/<ID>/config.v2.json", config);
    let found = host.find("/kubepods/burstable/pod1/<ID>").unwrap();
    assert_eq!(
        (found.runtime, found.pod.clone()),
        (Runtime::Docker, Some(cart()))
    );
    assert_eq!(found.short_name(), "server");
    let sandbox = config.replace("\"server\"", "\"POD\"");
    let host = Host::new().with("var/lib/docker/containers/<ID>/config.v2.json", &sandbox);
    let found = host.find("/kubepods/burstable/pod1/<ID>").unwrap();
    assert_eq!(found.pod.unwrap().container, None);
}

#[test]
fn containerd_under_kubernetes_is_known_by_its_bundles_annotations() {
    let config = r#"{"annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"server",
        "io.kubernetes.cri.sandbox-name":"cart-5d","io.kubernetes.cri.sandbox-namespace":"shop",
        "io.kubernetes.cri.image-name":"registry.local/cart:3"},"linux":{"cgroupsPath":"x:cri-containerd:<ID>"}}"#;
    for tasks in ["run/containerd", "run/k3s/containerd"] {
        let path = format!("{tasks}/io.containerd.runtime.v2.task/k8s.io/<ID>/config.json");
        let host = Host::new().with(&path, config);
        let found = host
            .find("/kubepods.slice/kubepods-pod1.slice/cri-containerd-<ID>.scope")
            .unwrap();
        assert_eq!(
            (found.runtime, found.pod.clone()),
            (Runtime::Containerd, Some(cart()))
        );
        assert_eq!(found.image.as_deref(), Some("registry.local/cart:3"));
        assert_eq!(found.short_name(), "server");
    }
    let sandbox = config.replace("io.kubernetes.cri.container-name", "other");
    let host = Host::new().with(
        "run/containerd/io.containerd.runtime.v2.task/k8s.io/<ID>/config.json",
        &sandbox,
    );
    let found = host.find("/kubepods/pod1/<ID>").unwrap();
    assert_eq!(found.pod.as_ref().unwrap().container, None);
    assert_eq!(found.short_name(), &ID[..12]);
}

#[test]
fn containers_of_ctr_and_nerdctl_are_known_by_their_bundles() {
    let task = "run/containerd/io.containerd.runtime.v2.task/default/web/config.json";
    let host = Host::new().with(task, r#"{"linux":{"cgroupsPath":"/default/web"}}"#);
    let found = host.find("/default/web").unwrap();
    assert_eq!((found.id.as_str(), found.runtime), ("web", Runtime::Containerd));
    assert_eq!(found.display_name(), "web");
    assert_eq!(
        host.find("/elsewhere/web"),
        None,
        "a group of the same name by chance"
    );
    let task = "run/containerd/io.containerd.runtime.v2.task/default/<ID>/config.json";
    let host = Host::new().with(task, r#"{"annotations":{"nerdctl/name":"web-1"}}"#);
    let found = host.find("/system.slice/nerdctl-<ID>.scope").unwrap();
    assert_eq!(found.name.as_deref(), Some("web-1"));
}

#[test]
fn cri_o_is_known_by_its_bundles_annotations() {
    let config = r#"{"annotations":{"io.container.manager":"cri-o","io.kubernetes.cri-o.Name":"k8s_server_cart-5d_shop_u_0",
        "io.kubernetes.container.name":"server","io.kubernetes.pod.name":"cart-5d","io.kubernetes.pod.namespace":"shop",
        "io.kubernetes.cri-o.ImageName":"quay.local/cart:3","io.kubernetes.cri-o.Labels":"{\"app\":\"cart\"}"}}"#;
    let host = Host::new().with(
        "run/containers/storage/overlay-containers/<ID>/userdata/config.json",
        config,
    );
    let found = host
        .find("/kubepods.slice/kubepods-pod1.slice/crio-<ID>.scope")
        .unwrap();
    let expected = Container {
        name: Some("k8s_server_cart-5d_shop_u_0".into()),
        image: Some("quay.local/cart:3".into()),
        labels: labels(&[("app", "cart")]),
        pod: Some(cart()),
        ..unnamed(Runtime::CriO)
    };
    assert_eq!(found, expected);
}

const PODMAN_LIST: &str = r#"[{"id":"other","names":["db"]},{"id":"<ID>","names":["web-1"],"image":"6e01",
    "metadata":"{\"image-name\":\"localhost/web:1\",\"image-id\":\"6e01\",\"name\":\"web-1\"}"}]"#;

#[test]
fn podman_is_known_by_the_list_of_its_storage_as_root_and_rootless() {
    let root = Host::new().with(
        "var/lib/containers/storage/overlay-containers/containers.json",
        PODMAN_LIST,
    );
    let found = root.find("/machine.slice/libpod-<ID>.scope/container").unwrap();
    assert_eq!(found.name.as_deref(), Some("web-1"));
    assert_eq!(found.image.as_deref(), Some("localhost/web:1"));
    assert_eq!(found.runtime, Runtime::Podman);
    let rootless = Host::new()
        .with("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n")
        .with(
            "home/ann/.local/share/containers/storage/overlay-containers/containers.json",
            PODMAN_LIST,
        );
    let path = "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<ID>.scope";
    let found = rootless.find(path).unwrap();
    assert_eq!(
        found.name.as_deref(),
        Some("web-1"),
        "though its processes have other users"
    );
}

#[test]
fn a_storage_at_a_place_of_its_own_is_found_through_the_bundle() {
    let state = r#"{"config":{"labels":["bundle=/srv/store/overlay-containers/<ID>/userdata"]},
        "cgroup_paths":{"":"/sys/fs/cgroup/unified/libpod_parent/libpod-<ID>"}}"#;
    let host = Host::new()
        .with("run/runc/<ID>/state.json", state)
        .with(
            "srv/store/overlay-containers/<ID>/userdata/config.json",
            r#"{"annotations":{"io.container.manager":"libpod"}}"#,
        )
        .with("srv/store/overlay-containers/containers.json", PODMAN_LIST);
    let found = host.find("/libpod_parent/libpod-<ID>").unwrap();
    assert_eq!(
        (found.name.as_deref(), found.image.as_deref()),
        (Some("web-1"), Some("localhost/web:1"))
    );
}

#[test]
fn containers_of_runc_and_crun_alone_are_known_by_their_state() {
    let state = r#"{"id":"web","config":{"labels":["bundle=/srv/web"]},
        "cgroup_paths":{"pids":"/sys/fs/cgroup/pids/team/web"}}"#;
    let runc = Host::new()
        .with("run/runc/web/state.json", state)
        .with("srv/web/config.json", r#"{"annotations":{"team":"red"}}"#);
    let found = runc.find("/team/web").unwrap();
    assert_eq!((found.id.as_str(), found.runtime), ("web", Runtime::Runc));
    assert_eq!(found.name.as_deref(), Some("web"));
    assert_eq!(found.labels, labels(&[("team", "red")]));
    assert_eq!(runc.find("/other/web"), None);
    let status = r#"{"pid":7,"bundle":"/srv/web","cgroup-path":"/user.slice/crun-web.scope"}"#;
    let crun = Host::new().with("run/crun/web/status", status);
    let found = crun.find("/user.slice/crun-web.scope").unwrap();
    assert_eq!((found.id.as_str(), found.runtime), ("web", Runtime::Runc));
    let rootless = Host::new().with("run/user/100000/crun/web/status", status);
    assert!(rootless.find("/user.slice/crun-web.scope").is_some());
}

#[test]
fn a_machine_is_known_to_systemd() {
    let host = Host::new().with(
        "run/systemd/machines/web",
        "NAME=web\nCLASS=container\nROOT=/var/lib/machines/web\n",
    );
    let found = host
        .find("/machine.slice/systemd-nspawn@web.service/payload")
        .unwrap();
    assert_eq!(found.image.as_deref(), Some("/var/lib/machines/web"));
    assert_eq!(
        (found.runtime, found.name.as_deref()),
        (Runtime::Nspawn, Some("web"))
    );
}

/// Answers every question with this body, until the folder is gone.
fn daemon(socket: &Path, body: &str) {
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut question = [0; 1024];
            let length = stream.read(&mut question).unwrap();
            assert!(question[..length].starts_with(format!("GET /containers/{ID}/json ").as_bytes()));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
}

#[test]
fn daemons_are_asked_over_their_sockets() {
    let host = Host::new();
    let body = DOCKER_CONFIG.replace("<ID>", ID);
    daemon(&host.folder.path().join("run/docker.sock"), &body);
    daemon(
        &host.folder.path().join("run/podman/podman.sock"),
        &body.replace("/web-1", "db-1"),
    );
    let docker = host.find("/docker/<ID>").unwrap();
    assert_eq!(
        (docker.name.as_deref(), docker.image.as_deref()),
        (Some("web-1"), Some("nginx:1.27"))
    );
    assert_eq!(host.find("/teams/red/<ID>").unwrap().runtime, Runtime::Docker);
    let podman = host.find("/machine.slice/libpod-<ID>.scope").unwrap();
    assert_eq!(
        (podman.name.as_deref(), podman.runtime),
        (Some("db-1"), Runtime::Podman)
    );
    assert_eq!(podman.labels.get("team").map(String::as_str), Some("red"));
}

#[test]
fn a_daemon_that_hangs_costs_a_second_once_for_all_containers() {
    let host = Host::new();
    let socket = host.folder.path().join("run/docker.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    let mut state = host.state();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(find(&mut state, "/docker/<ID>"), Some(unnamed(Runtime::Docker)));
    }
    let first = start.elapsed();
    assert!(
        first >= Duration::from_millis(900) && first < Duration::from_secs(3),
        "{first:?}"
    );
    state.allow_time();
    let again = Instant::now();
    assert_eq!(find(&mut state, "/docker/<ID>"), Some(unnamed(Runtime::Docker)));
    assert!(
        again.elapsed() < Duration::from_millis(500),
        "it is left alone for a while"
    );
    drop(listener);
}

/// Check that a daemon that answers, but takes its time, delays nobody again and again.
#[test]
fn a_daemon_that_is_slow_is_left_alone_for_a_while_too() {
    let host = Host::new();
    let socket = host.folder.path().join("run/docker.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    let (sender, questions) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if sender.send(()).is_err() {
                return;
            }
            // Slow, and within the second that a question may take.
            std::thread::sleep(Duration::from_millis(400));
            let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            // Who has asked may have gone.
            let _: std::io::Result<()> = stream.write_all(answer.as_bytes());
        }
    });
    let mut state = host.state();
    for _ in 0..20 {
        state.allow_time();
        assert_eq!(find(&mut state, "/docker/<ID>"), Some(unnamed(Runtime::Docker)));
    }
    assert_eq!(questions.try_iter().count(), 1);
}

#[test]
fn broken_state_files_are_as_good_as_none() {
    for text in ["", "{", "[]", "null", "7", r#"{"Name":7,"Config":[]}"#] {
        let host = Host::new()
            .with("var/lib/docker/containers/<ID>/config.v2.json", text)
            .with("run/runc/<ID>/state.json", text)
            .with("run/runc/web/state.json", text)
            .with(
                "run/containerd/io.containerd.runtime.v2.task/x/<ID>/config.json",
                text,
            )
            .with(
                "var/lib/containers/storage/overlay-containers/containers.json",
                text,
            );
        let found = host.find("/docker/<ID>");
        assert_eq!(found, Some(unnamed(Runtime::Docker)), "{text}");
        assert_eq!(host.find("/web"), None, "{text}");
        let podman = host.find("/machine.slice/libpod-<ID>.scope");
        assert_eq!(podman, Some(unnamed(Runtime::Podman)), "{text}");
    }
}

#[test]
fn a_pipe_in_place_of_a_state_file_hangs_nobody() {
    let host = Host::new().with("var/lib/docker/containers/<ID>/x", "");
    let folder = host.folder.path().join("var/lib/docker/containers").join(ID);
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("config.v2.json"))
        .status();
    assert!(made.unwrap().success());
    assert_eq!(host.find("/docker/<ID>"), Some(unnamed(Runtime::Docker)));
}

/// Check that a container in which a runtime runs cannot make its state that of the host.
#[test]
fn state_in_a_container_is_looked_up_below_its_root() {
    let config = "var/lib/docker/containers/<ID>/config.v2.json";
    let host = Host::new()
        .with(config, DOCKER_CONFIG)
        .with("proc/7/root/etc/passwd", "");
    let inner = host.folder.path().join("proc/7/root");
    let link = |target: &Path| {
        let containers = inner.join("var/lib/docker/containers");
        std::fs::create_dir_all(containers.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, containers).unwrap();
    };
    link(&host.folder.path().join("var/lib/docker/containers"));
    let mut inside = host.state().inside(7);
    assert_eq!(find(&mut inside, "/docker/<ID>"), Some(unnamed(Runtime::Docker)));
    std::fs::remove_file(inner.join("var/lib/docker/containers")).unwrap();
    link(Path::new("/data"));
    let host = host.with("proc/7/root/data/<ID>/config.v2.json", DOCKER_CONFIG);
    let named = find(&mut host.state().inside(7), "/docker/<ID>").unwrap();
    assert_eq!(named.name.as_deref(), Some("web-1"));
}

#[test]
fn labels_that_are_documents_are_left_out() {
    let config = DOCKER_CONFIG.replace("\"red\"", &format!("\"{}\"", "x".repeat(5000)));
    let host = Host::new().with("var/lib/docker/containers/<ID>/config.v2.json", &config);
    let found = host.find("/docker/<ID>").unwrap();
    assert_eq!(found.labels, labels(&[("com.docker.compose.service", "web")]));
}
