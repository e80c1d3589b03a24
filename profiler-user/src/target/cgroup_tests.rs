//! The control groups of every runtime, as `/proc/PID/cgroup` shows them.
use super::{Candidate, Certainty, Membership};
use crate::target::container::Runtime;

const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

/// What a text says, if runtimes know containers of the ids `known` and no others.
fn read(text: &str, known: &[&str]) -> (Option<(Runtime, String)>, Option<String>, Option<String>) {
    let text = text.replace("<A>", A).replace("<B>", B);
    let membership = Membership::parse(&text);
    let found = membership.container(|candidate: &Candidate| {
        assert_eq!(candidate.certainty, Certainty::IfKnown);
        known.contains(&candidate.id.as_str())
    });
    let cgroup = found
        .as_ref()
        .map_or_else(|| membership.path(), |(_, path)| Some(path));
    let cgroup = cgroup.map(|path| path.replace(A, "<A>").replace(B, "<B>"));
    let unit = membership
        .unit()
        .map(|unit| unit.replace(A, "<A>").replace(B, "<B>"));
    let container = found.map(|(candidate, _)| (candidate.runtime, candidate.id));
    (container, cgroup, unit)
}

/// The container of a path in the unified hierarchy.
fn of(path: &str) -> Option<(Runtime, String)> {
    read(&format!("0::{path}\n"), &[]).0
}

fn assert_containers(cases: &[(&str, Runtime, &str)]) {
    for (path, runtime, id) in cases {
        assert_eq!(of(path), Some((*runtime, (*id).to_owned())), "{path}");
    }
}

#[test]
fn docker_and_containerd_are_told_by_their_groups() {
    assert_containers(&[
        // Docker: with cgroupfs, with systemd, below a parent of the user's, as a raw name for systemd.
        ("/docker/<A>", Runtime::Docker, A),
        ("/system.slice/docker-<A>.scope", Runtime::Docker, A),
        ("/system.slice/docker-<A>.scope/init.scope", Runtime::Docker, A),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-<A>.scope",
            Runtime::Docker,
            A,
        ),
        ("/teams/red/<A>", Runtime::Unknown, A),
        ("/system.slice:docker:<A>", Runtime::Docker, A),
        // containerd: under Kubernetes, by ctr, by nerdctl.
        ("/system.slice/cri-containerd-<A>.scope", Runtime::Containerd, A),
        ("/k8s.io/<A>", Runtime::Containerd, A),
        ("/default/<A>", Runtime::Containerd, A),
        ("/system.slice/nerdctl-<A>.scope", Runtime::Containerd, A),
    ]);
}

#[test]
fn kubernetes_is_told_by_its_groups() {
    assert_containers(&[
        // systemd and cgroupfs, each class of service, and what comes of mixing both.
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b_2c.slice/cri-containerd-<A>.scope",
            Runtime::Containerd,
            A,
        ),
        (
            "/kubepods.slice/kubepods-pod0a1b_2c.slice/crio-<A>.scope",
            Runtime::CriO,
            A,
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0a.slice/docker-<A>.scope",
            Runtime::Docker,
            A,
        ),
        ("/kubepods/burstable/pod0a1b-2c/<A>", Runtime::Containerd, A),
        ("/kubepods/pod0a1b-2c/<A>", Runtime::Containerd, A),
        ("/kubepods/besteffort/pod0a1b-2c/crio-<A>", Runtime::CriO, A),
        (
            "/kubepods-besteffort-pod0a.slice:cri-containerd:<A>",
            Runtime::Containerd,
            A,
        ),
        (
            "/system.slice/containerd.service/kubepods-burstable-pod0a.slice:cri-containerd:<A>",
            Runtime::Containerd,
            A,
        ),
    ]);
}

#[test]
fn podman_is_told_by_its_groups() {
    assert_containers(&[
        // Root, rootless, in a pod, with cgroupfs, split, with the group that it makes inside.
        ("/machine.slice/libpod-<A>.scope", Runtime::Podman, A),
        ("/machine.slice/libpod-<A>.scope/container", Runtime::Podman, A),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<A>.scope",
            Runtime::Podman,
            A,
        ),
        (
            "/machine.slice/machine-libpod_pod_<B>.slice/libpod-<A>.scope",
            Runtime::Podman,
            A,
        ),
        ("/libpod_parent/libpod-<A>", Runtime::Podman, A),
        ("/system.slice/web.service/libpod-payload-<A>", Runtime::Podman, A),
    ]);
}

#[test]
fn lxc_and_systemd_machines_are_told_by_their_groups() {
    assert_containers(&[
        ("/lxc/web", Runtime::Lxc, "web"),
        ("/lxc/web/init.scope", Runtime::Lxc, "web"),
        ("/lxc.payload.web/system.slice/ssh.service", Runtime::Lxc, "web"),
        ("/lxc.payload/web", Runtime::Lxc, "web"),
        ("/lxc/outer/lxc/inner", Runtime::Lxc, "inner"),
        (
            r"/machine.slice/machine-lxc\x2d42\x2dweb.scope",
            Runtime::Lxc,
            "web",
        ),
        // systemd-nspawn: by hand, and as a service.
        (
            r"/machine.slice/machine-web\x2d1.scope/payload/init.scope",
            Runtime::Nspawn,
            "web-1",
        ),
        ("/machine.slice/machine-web.scope", Runtime::Nspawn, "web"),
        (
            "/machine.slice/systemd-nspawn@web.service/payload/system.slice/cron.service",
            Runtime::Nspawn,
            "web",
        ),
    ]);
}

#[test]
fn of_containers_in_containers_the_innermost_is_found() {
    assert_containers(&[
        ("/docker/<B>/docker/<A>", Runtime::Docker, A),
        ("/system.slice/docker-<B>.scope/docker/<A>", Runtime::Docker, A),
        (
            "/docker/<B>/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod0a.slice/cri-containerd-<A>.scope",
            Runtime::Containerd,
            A,
        ),
        (
            "/docker/<B>/kubelet/kubepods/burstable/pod0a/<A>",
            Runtime::Containerd,
            A,
        ),
        ("/lxc/outer/docker/<A>", Runtime::Docker, A),
        ("/docker/<A>/system.slice/nginx.service", Runtime::Docker, A),
    ]);
}

#[test]
fn unknown_managers_and_views_from_other_namespaces_do_not_hide_a_container() {
    assert_containers(&[
        ("/system.slice/garden-<A>.scope", Runtime::Unknown, A),
        // As a process in another cgroup namespace sees it.
        ("/../../docker/<A>", Runtime::Docker, A),
        ("/../cri-containerd-<A>.scope", Runtime::Containerd, A),
        ("/docker/<A> (deleted)", Runtime::Docker, A),
    ]);
}

#[test]
fn helpers_of_runtimes_services_and_virtual_machines_are_no_containers() {
    for path in [
        "/",
        "/..",
        "/user.slice/user-1000.slice/session-3.scope",
        "/system.slice/docker.service",
        "/system.slice/containerd.service",
        "/init.scope",
        "/machine.slice/libpod-conmon-<A>.scope",
        "/kubepods.slice/kubepods-pod0a.slice/crio-conmon-<A>.scope",
        "/libpod_parent/conmon",
        "/libpod_parent/libpod-<A>/supervisor",
        "/machine.slice/machine-web.scope/supervisor",
        "/machine.slice/systemd-nspawn@web.service/supervisor",
        r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/emulator",
        "/lxc.monitor.web",
        "/lxc",
        "/kubepods/burstable/pod0a1b-2c",
        // Not 64 digits.
        "/docker/0123456789ab",
        "/process_api/02879c9f28793a2b491b8d99c64a8184",
    ] {
        assert_eq!(of(path), None, "{path}");
    }
    let in_kind = "/docker/<B>/kubepods/pod0a/crio-conmon-<A>.scope";
    assert_eq!(
        of(in_kind),
        Some((Runtime::Docker, B.to_owned())),
        "the node, which is a container"
    );
}

#[test]
fn a_name_that_says_nothing_is_a_container_if_a_runtime_knows_it() {
    for (path, known, id) in [
        ("/web", &["web"][..], Some("web")),
        ("/user.slice/web", &["web"], Some("web")),
        ("/default/web/inner", &["web"], Some("web")),
        ("/default/web/inner", &["web", "inner"], Some("inner")),
        ("/system.slice/runc-web.scope", &["web"], Some("web")),
        ("/system.slice/crun-web.scope", &["web"], Some("web")),
        ("/system.slice/web.scope", &["web"], Some("web")),
        ("/system.slice/web.service", &["web", "web.service"], None),
        ("/web", &[], None),
    ] {
        let found = read(&format!("0::{path}"), known).0;
        assert_eq!(found.map(|(_, id)| id).as_deref(), id, "{path} {known:?}");
    }
    let in_docker = read("0::/docker/<A>/web", &[]).0;
    assert_eq!(in_docker, Some((Runtime::Docker, A.to_owned())));
}

#[test]
fn every_layout_of_hierarchies_tells_group_unit_and_container() {
    let v1 = "\
12:pids:/docker/<A>
5:cpu,cpuacct:/docker/<A>
1:name=systemd:/docker/<A>
";
    let docker = Some((Runtime::Docker, A.to_owned()));
    assert_eq!(read(v1, &[]), (docker.clone(), Some("/docker/<A>".into()), None));
    // Docker without systemd's driver leaves the unified group at its own service.
    let hybrid = "\
12:memory:/docker/<A>
1:name=systemd:/docker/<A>
0::/system.slice/containerd.service
";
    assert_eq!(
        read(hybrid, &[]),
        (docker.clone(), Some("/docker/<A>".into()), None)
    );
    // Without systemd only some controllers have groups.
    let bare = "\
9:name=systemd:/
8:pids:/docker/<A>
4:memory:/docker/<A>
0::/
";
    assert_eq!(read(bare, &[]), (docker, Some("/docker/<A>".into()), None));
    let service = "\
11:cpuset:/
5:cpu,cpuacct:/system.slice/nginx.service
1:name=systemd:/system.slice/nginx.service
0::/system.slice/nginx.service
";
    let nginx = "/system.slice/nginx.service".to_owned();
    assert_eq!(
        read(service, &[]),
        (None, Some(nginx), Some("nginx.service".into()))
    );
    let nothing = "9:name=systemd:/\n4:memory:/process_api/0287\n0::/\n";
    assert_eq!(read(nothing, &[]), (None, Some("/process_api/0287".into()), None));
    assert_eq!(read("0::/\n", &[]), (None, Some("/".into()), None));
}

#[test]
fn the_unit_is_the_innermost_service_or_scope() {
    for (path, unit) in [
        ("/system.slice/nginx.service", Some("nginx.service")),
        (
            "/system.slice/system-getty.slice/getty@tty1.service",
            Some("getty@tty1.service"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service",
            Some("editor.service"),
        ),
        (
            "/user.slice/user-1000.slice/session-3.scope",
            Some("session-3.scope"),
        ),
        ("/system.slice/docker-<A>.scope", Some("docker-<A>.scope")),
        ("/lxc.payload.web/system.slice/ssh.service", Some("ssh.service")),
        ("/system.slice/nginx.service/worker", Some("nginx.service")),
        ("/system.slice", None),
        ("/.service", None),
        ("/", None),
    ] {
        assert_eq!(read(&format!("0::{path}"), &[]).2.as_deref(), unit, "{path}");
    }
}

#[test]
fn what_is_no_list_of_groups_says_nothing() {
    for text in ["", "\n", "0::", "0:", "nonsense", "1:name=systemd:relative\n"] {
        assert_eq!(read(text, &[]), (None, None, None), "{text:?}");
    }
    // A controller's path may hold colons.
    assert_eq!(read("0::/a:b", &[]).1.as_deref(), Some("/a:b"));
}
