//! Who a process is: everything that records and tables can be grouped by.
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

pub use super::attribute::Attribute;
pub use super::container::{Container, Pod, Runtime};
pub use super::directory::Directory;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id, as the host sees it.
    pub pid: u32,
    /// Its id, as it sees itself: in the innermost namespace. 0 = unknown.
    pub inner_pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// When it started, in clock ticks since the boot: tells a process from an earlier one with the same id.
    pub start_ticks: u64,
    /// Its name.
    pub comm: String,
    /// Its program, as the process knows it; none = it may not be read.
    pub exe: Option<PathBuf>,
    /// Its effective user.
    pub uid: u32,
    /// The name of that user on the host.
    pub user: Option<String>,
    /// Its control group: that of the container if it is in one, else that of the unified or of systemd's hierarchy.
    pub cgroup: Option<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
    /// Its container.
    pub container: Option<Arc<Container>>,
}

impl Identity {
    /// What it has of an attribute; empty where that is unknown. A thread's id is not its business.
    pub fn value(&self, attribute: Attribute) -> Cow<'_, str> {
        let container = self.container.as_deref();
        let pod = container.and_then(|container| container.pod.as_ref());
        match attribute {
            Attribute::Pid => self.pid.to_string().into(),
            Attribute::InnerPid if self.inner_pid == 0 => "".into(),
            Attribute::InnerPid => self.inner_pid.to_string().into(),
            Attribute::Tid => "".into(),
            Attribute::Comm => self.comm.as_str().into(),
            Attribute::Exe => self.exe.as_ref().map_or("".into(), |exe| exe.to_string_lossy()),
            Attribute::User => match &self.user {
                Some(user) => user.as_str().into(),
                None => self.uid.to_string().into(),
            },
            Attribute::Cgroup => self.cgroup.as_deref().unwrap_or_default().into(),
            Attribute::Container => container.map_or("".into(), Container::display_name),
            Attribute::ContainerId => container.map_or("", |container| &container.id).into(),
            Attribute::Image => {
                let image = container.and_then(|container| container.image.as_deref());
                image.unwrap_or_default().into()
            }
            Attribute::Pod => pod.map_or("".into(), |pod| pod.to_string().into()),
            Attribute::Namespace => pod.map_or("", |pod| &pod.namespace).into(),
            Attribute::Unit => self.unit.as_deref().unwrap_or_default().into(),
        }
    }
}
