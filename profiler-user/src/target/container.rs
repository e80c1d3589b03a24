//! Containers, as their runtimes call them.
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Characters of an id that are shown.
const SHORT_ID: usize = 12;

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What its runtime knows it by: 64 hexadecimal digits for most, a name for others.
    pub id: String,
    /// Who runs it.
    pub runtime: Runtime,
    /// Its name; none = its runtime gives it none, or could not be asked.
    pub name: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Its labels or annotations.
    pub labels: BTreeMap<String, String>,
    /// The Kubernetes pod that it belongs to.
    pub pod: Option<Pod>,
}

/// A place in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The container's name within the pod; none = it is the sandbox, or it is not known.
    pub container: Option<String>,
}

/// Who runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, by itself or under Kubernetes.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// LXC, and what is built on it.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// runc or a kin of it, started by nobody that we know.
    Runc,
    /// Not known.
    Unknown,
}

impl Runtime {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
            Self::Nspawn => "systemd-nspawn",
            Self::Runc => "runc",
            Self::Unknown => "unknown",
        }
    }
}

impl Container {
    /// One of which nothing but the id is known.
    pub(super) fn unnamed(id: String, runtime: Runtime) -> Self {
        Self {
            id,
            runtime,
            name: None,
            image: None,
            labels: BTreeMap::new(),
            pod: None,
        }
    }

    /// The id as people write it: 12 digits of a long number, a name as it is.
    pub fn short_id(&self) -> &str {
        if is_long_id(&self.id) {
            &self.id[..SHORT_ID]
        } else {
            &self.id
        }
    }

    /// Whether there is something to call it by but its id.
    pub fn is_named(&self) -> bool {
        self.name.is_some() || self.pod.is_some()
    }

    /// What it is called where its pod is known: its name within that, else its name, else its id.
    pub fn short_name(&self) -> &str {
        let in_pod = self.pod.as_ref().and_then(|pod| pod.container.as_deref());
        in_pod.or(self.name.as_deref()).unwrap_or(self.short_id())
    }

    /// What it is called among all others: `namespace/pod/name` in a pod, since pods of one kind have containers of one
    /// name; else its name, else its id.
    pub fn display_name(&self) -> Cow<'_, str> {
        match &self.pod {
            Some(pod) => format!("{pod}/{}", self.short_name()).into(),
            None => self.short_name().into(),
        }
    }
}

/// Whether it is a number of 64 hexadecimal digits.
pub(super) fn is_long_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl std::fmt::Display for Pod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Container, Pod, Runtime};

    #[test]
    fn containers_of_one_name_in_different_pods_are_told_apart() {
        let container = |pod: Option<(&str, Option<&str>)>, name: Option<&str>| Container {
            id: "0123456789abcdef".repeat(4),
            runtime: Runtime::Containerd,
            name: name.map(str::to_owned),
            image: None,
            labels: BTreeMap::new(),
            pod: pod.map(|(name, container)| Pod {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
                container: container.map(str::to_owned),
            }),
        };
        for (pod, name, expected) in [
            (Some(("cart-1", Some("server"))), None, "shop/cart-1/server"),
            (
                Some(("cart-2", Some("server"))),
                Some("k8s_server"),
                "shop/cart-2/server",
            ),
            (Some(("cart-1", None)), None, "shop/cart-1/0123456789ab"),
            (None, Some("web-1"), "web-1"),
            (None, None, "0123456789ab"),
        ] {
            let container = container(pod, name);
            assert_eq!(container.display_name(), expected);
            let choice: crate::target::selector::ContainerChoice = expected.parse().unwrap();
            assert!(
                choice.matches(&container),
                "what is shown can be chosen: {expected}"
            );
        }
    }
}
