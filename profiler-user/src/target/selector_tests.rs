//! Which processes a selector means.
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::{CgroupPath, Selector};
use crate::target::identity::{Container, Directory, Identity, Pod, Runtime};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// nginx of the container `web-1`, which is `nginx` of the pod `shop/cart-5d`.
fn nginx() -> Identity {
    Identity {
        pid: 100,
        inner_pid: 1,
        parent: 50,
        start_ticks: 7,
        comm: "nginx".into(),
        exe: Some("/usr/sbin/nginx".into()),
        uid: 33,
        user: Some("www-data".into()),
        cgroup: Some("/system.slice/docker-0123.scope".into()),
        unit: Some("nginx.service".into()),
        container: Some(Arc::new(Container {
            id: ID.into(),
            runtime: Runtime::Docker,
            name: Some("web-1".into()),
            image: Some("nginx:1.27".into()),
            labels: BTreeMap::new(),
            pod: Some(Pod {
                namespace: "shop".into(),
                name: "cart-5d".into(),
                container: Some("server".into()),
            }),
        })),
    }
}

fn other(pid: u32, parent: u32) -> Identity {
    Identity {
        pid,
        parent,
        comm: "other".into(),
        container: None,
        unit: None,
        cgroup: None,
        exe: None,
        user: None,
        uid: 0,
        ..nginx()
    }
}

fn by(change: impl FnOnce(&mut Selector)) -> Selector {
    let mut selector = Selector::default();
    change(&mut selector);
    selector
}

#[test]
fn each_option_matches_what_it_names_and_nothing_else() {
    let by_container = |text: &str| by(|it| it.containers = vec![text.parse().unwrap()]);
    let by_pod = |text: &str| by(|it| it.pods = vec![text.parse().unwrap()]);
    let by_unit = |text: &str| by(|it| it.units = vec![text.parse().unwrap()]);
    let by_exe = |text: &str| by(|it| it.exe = vec![text.parse().unwrap()]);
    let by_user = |text: &str| by(|it| it.users = vec![text.parse().unwrap()]);
    let by_cgroup = |text: &str| by(|it| it.cgroups = vec![text.parse().unwrap()]);
    let by_comm = |text: &str| by(|it| it.comm = vec![text.parse().unwrap()]);
    for (selector, matches) in [
        (by_container("web-1"), true),
        (by_container("web-?"), true),
        (by_container("web"), false),
        (by_container("server"), true),
        (by_container("0123"), true),
        (by_container("0123456789AB"), true),
        (by_container(ID), true),
        (by_container("012"), false),
        (by_container("1234"), false),
        (by_pod("cart-5d"), true),
        (by_pod("cart-*"), true),
        (by_pod("shop/cart-5d"), true),
        (by_pod("s*/cart-5d"), true),
        (by_pod("other/cart-5d"), false),
        (by_pod("cart"), false),
        (by_unit("nginx"), true),
        (by_unit("nginx.service"), true),
        (by_unit("ngin?"), true),
        (by_unit("ngin"), false),
        (by_exe("/usr/sbin/nginx"), true),
        (by_exe("nginx"), true),
        (by_exe("/usr/*"), true),
        (by_exe("sbin/nginx"), false),
        (by_exe("ngin"), false),
        (by_user("www-data"), true),
        (by_user("33"), true),
        (by_user("root"), false),
        (by_user("0"), false),
        (by_cgroup("/system.slice"), true),
        (by_cgroup("system.slice/"), true),
        (by_cgroup("/sys/fs/cgroup/system.slice"), true),
        (by_cgroup("/sys/fs/cgroup/unified/system.slice"), true),
        (by_cgroup("/"), true),
        (by_cgroup("/system"), false),
        (by_cgroup("/system.slice/docker-0123.scope/inner"), false),
        (by_comm("nginx"), true),
        (by_comm("n*x"), true),
        (by_comm("ngin"), false),
        (by(|it| it.pids = vec![100]), true),
        (by(|it| it.pids = vec![1]), false),
        (by(|it| it.all = true), true),
        (Selector::default(), false),
        (by(|it| it.children = true), false),
    ] {
        assert_eq!(selector.matches(&nginx()), matches, "{selector}");
        if matches && !selector.all && selector.pids.is_empty() {
            assert!(!selector.matches(&other(7, 1)), "{selector}");
        }
    }
}

#[test]
fn any_value_of_an_option_does_and_all_options_must_hold() {
    let mut selector = by(|it| it.comm = vec!["a".parse().unwrap(), "nginx".parse().unwrap()]);
    assert!(selector.matches(&nginx()));
    selector.users = vec!["root".parse().unwrap()];
    assert!(!selector.matches(&nginx()));
    selector.users.push("www-data".parse().unwrap());
    assert!(selector.matches(&nginx()));
    selector.pids = vec![1];
    assert!(!selector.matches(&nginx()));
    let all = by(|it| {
        it.all = true;
        it.comm = vec!["a".parse().unwrap()];
    });
    assert!(!all.matches(&nginx()), "`-a` does not widen what else is said");
}

#[test]
fn only_ids_alone_are_fixed() {
    let ids = by(|it| it.pids = vec![1, 2]);
    assert!(ids.is_fixed());
    assert!(!Selector::default().is_fixed());
    for selector in [
        Selector {
            children: true,
            ..ids.clone()
        },
        Selector {
            all: true,
            ..ids.clone()
        },
        Selector {
            comm: vec!["a".parse().unwrap()],
            ..ids
        },
    ] {
        assert!(!selector.is_fixed(), "{selector}");
    }
}

#[test]
fn descendants_are_children_of_children_too_and_of_those_that_match() {
    let processes = vec![
        other(12, 11),
        other(11, 100),
        nginx(),
        other(50, 1),
        other(13, 50),
        other(1, 0),
    ];
    let mut selector = by(|it| it.comm = vec!["nginx".parse().unwrap()]);
    let ids = |selector: &Selector| {
        let chosen = selector.choose(processes.clone());
        chosen.iter().map(|identity| identity.pid).collect::<Vec<_>>()
    };
    assert_eq!(ids(&selector), [100]);
    selector.children = true;
    assert_eq!(ids(&selector), [12, 11, 100]);
}

#[test]
fn a_selector_reads_well_in_a_title() {
    for (selector, text) in [
        (by(|it| it.pids = vec![1]), "process 1"),
        (by(|it| it.pids = vec![1, 2]), "processes 1, 2"),
        (by(|it| it.pids = (1..=9).collect()), "processes 1, 2, 3, 4, 5, …"),
        (
            by(|it| {
                it.pids = vec![1];
                it.children = true;
            }),
            "process 1 and children",
        ),
        (Selector::default(), "no process"),
    ] {
        assert_eq!(selector.to_string(), text);
    }
}

#[test]
fn mount_points_and_slashes_in_front_of_a_control_group_do_not_matter() {
    for (text, path) in [
        ("/", "/"),
        ("/sys/fs/cgroup", "/"),
        ("/sys/fs/cgroup/", "/"),
        ("/sys/fs/cgroup/systemd", "/"),
        ("/sys/fs/cgroup/cpu,cpuacct/a/b/", "/a/b"),
        ("a//b", "/a/b"),
        ("/sys/fs/cgroupish", "/sys/fs/cgroupish"),
    ] {
        assert_eq!(text.parse::<CgroupPath>().unwrap().to_string(), path, "{text}");
    }
    assert!("".parse::<CgroupPath>().is_err());
}

#[test]
fn children_of_this_process_are_found_and_this_process_is_not() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut directory = Directory::new();
    let selector = by(|it| {
        it.pids = vec![std::process::id()];
        it.children = true;
    });
    let found: Vec<u32> = selector.find(&mut directory).iter().map(|it| it.pid).collect();
    assert!(found.contains(&child.id()), "{found:?}");
    assert!(!found.contains(&std::process::id()));
    let fixed = by(|it| it.pids = vec![child.id(), std::process::id()]);
    let found: Vec<u32> = fixed.find(&mut directory).iter().map(|it| it.pid).collect();
    assert_eq!(found, [child.id()]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fixed.find(&mut directory), []);
}
