//! What options that choose processes name: users, control groups, containers, pods.
use std::fmt;
use std::str::FromStr;

use super::container::Container;
use super::glob::{Glob, GlobError};
use super::identity::Identity;

/// Hexadecimal digits from which on a text can be the beginning of an id.
const SHORTEST_ID: usize = 4;
/// Where control groups are mounted.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// The hierarchies of version 1 have folders of their own there.
const HIERARCHIES: [&str; 18] = [
    "unified",
    "systemd",
    "blkio",
    "cpu",
    "cpu,cpuacct",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_cls,net_prio",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// A user, by name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChoice {
    /// By number.
    Uid(u32),
    /// By name.
    Name(String),
}

/// A control group, by its path from the root of its hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPath(String);

/// A container, by its name (in a pod also as `namespace/pod/name`), a glob of names, or the beginning of its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerChoice(Glob);

/// A pod: `NAME` in any namespace, or `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodChoice {
    namespace: Option<Glob>,
    name: Glob,
}

impl FromStr for UserChoice {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        match text.parse() {
            Ok(uid) => Ok(Self::Uid(uid)),
            Err(_) if text.trim().is_empty() => Err(GlobError::Empty),
            Err(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for UserChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl UserChoice {
    pub(super) fn matches(&self, identity: &Identity) -> bool {
        match self {
            Self::Uid(uid) => *uid == identity.uid,
            Self::Name(name) => identity.user.as_deref() == Some(name),
        }
    }
}

impl FromStr for CgroupPath {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        if text.trim().is_empty() {
            return Err(GlobError::Empty);
        }
        let inner = match text.strip_prefix(CGROUP_ROOT) {
            Some(mounted) if mounted.is_empty() || mounted.starts_with('/') => without_hierarchy(mounted),
            Some(_) | None => text,
        };
        let path: String = inner
            .split('/')
            .filter(|part| !part.is_empty())
            .flat_map(|part| ["/", part])
            .collect();
        Ok(Self(if path.is_empty() { "/".to_owned() } else { path }))
    }
}

fn without_hierarchy(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if HIERARCHIES.contains(&first) { rest } else { path }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl CgroupPath {
    pub(super) fn matches(&self, identity: &Identity) -> bool {
        let below = |path: &str| {
            let rest = path.strip_prefix(self.0.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        identity.cgroup.as_deref().is_some_and(below)
    }
}

impl FromStr for ContainerChoice {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ContainerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ContainerChoice {
    /// Whether this container is meant.
    pub fn matches(&self, container: &Container) -> bool {
        let text = self.0.text();
        let is_beginning = text.len() >= SHORTEST_ID
            && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            && container.id.starts_with(&text.to_ascii_lowercase());
        let in_pod = container.pod.as_ref().and_then(|pod| pod.container.as_deref());
        let mut names = [container.name.as_deref(), in_pod, Some(&container.id)]
            .into_iter()
            .flatten();
        let whole = text.contains('/') && self.0.matches(&container.display_name());
        is_beginning || whole || names.any(|name| self.0.matches(name))
    }
}

impl FromStr for PodChoice {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace.parse()?), name),
            None => (None, text),
        };
        Ok(Self {
            namespace,
            name: name.parse()?,
        })
    }
}

impl fmt::Display for PodChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => self.name.fmt(f),
        }
    }
}

impl PodChoice {
    pub(super) fn matches(&self, container: &Container) -> bool {
        container.pod.as_ref().is_some_and(|pod| {
            let namespace = self.namespace.as_ref();
            self.name.matches(&pod.name) && namespace.is_none_or(|glob| glob.matches(&pod.namespace))
        })
    }
}
