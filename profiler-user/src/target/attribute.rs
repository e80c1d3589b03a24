//! What records can carry of a process, and tables can be grouped by.

/// A property of the process (or thread) in which something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// Process id, as the host sees it.
    Pid,
    /// Process id, as the process sees itself.
    InnerPid,
    /// Thread id, as the host sees it.
    Tid,
    /// The name of the process.
    Comm,
    /// The program.
    Exe,
    /// The user.
    User,
    /// The control group.
    Cgroup,
    /// The container's name, or its id.
    Container,
    /// The container's whole id.
    ContainerId,
    /// The container's image.
    Image,
    /// The Kubernetes pod.
    Pod,
    /// The pod's namespace.
    Namespace,
    /// The systemd unit.
    Unit,
}

impl Attribute {
    /// Every attribute.
    pub const ALL: [Self; 13] = [
        Self::Pid,
        Self::InnerPid,
        Self::Tid,
        Self::Comm,
        Self::Exe,
        Self::User,
        Self::Cgroup,
        Self::Container,
        Self::ContainerId,
        Self::Image,
        Self::Pod,
        Self::Namespace,
        Self::Unit,
    ];

    /// What the command line and files call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::InnerPid => "inner_pid",
            Self::Tid => "tid",
            Self::Comm => "comm",
            Self::Exe => "exe",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Container => "container",
            Self::ContainerId => "container_id",
            Self::Image => "image",
            Self::Pod => "pod",
            Self::Namespace => "namespace",
            Self::Unit => "unit",
        }
    }

    /// The attribute that is called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name)
    }

    /// What it is, for help and documentation.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Pid => "process id, as the host sees it",
            Self::InnerPid => "process id, as the process sees itself in its container",
            Self::Tid => "thread id, as the host sees it",
            Self::Comm => "name of the process",
            Self::Exe => "path of its program, as the process knows it",
            Self::User => "name of its user, or the number where the host knows none",
            Self::Cgroup => "path of its control group",
            Self::Container => {
                "name of its container, in a pod as namespace/pod/name; the first 12 digits of the id where no name is known"
            }
            Self::ContainerId => "id of its container, as its runtime knows it",
            Self::Image => "image of its container",
            Self::Pod => "its Kubernetes pod, as namespace/name",
            Self::Namespace => "namespace of its Kubernetes pod",
            Self::Unit => "its systemd unit",
        }
    }
}
