//! The list of processes.
use serde_json::json;

use super::{Entry, List, ListError, chosen, column};
use crate::cli::list::ListConfig;
use crate::target::glob::Glob;
use crate::target::identity::{Attribute, Container, Identity};
use crate::target::selector::ContainerChoice;
use crate::ui::listing::{ListColumn, ListShape};

const COLUMNS: &[ListColumn] = &[
    column("pid", ListShape::Number, 0),
    column("inner pid", ListShape::Number, 3),
    column("user", ListShape::Word, 2),
    column("comm", ListShape::Word, 0),
    column("container", ListShape::Name, 0),
    column("unit", ListShape::Name, 1),
    column("exe", ListShape::Name, 0),
];

/// Lists the processes that are asked for, by id.
pub(super) fn list(config: &ListConfig) -> Result<List, ListError> {
    let patterns = config
        .patterns
        .iter()
        .map(|text| text.parse::<Glob>())
        .collect::<Result<Vec<_>, _>>()?;
    let mut processes = chosen(&config.selector)?;
    processes.retain(|identity| patterns.is_empty() || patterns.iter().any(|glob| is_meant(glob, identity)));
    processes.sort_by_key(|identity| identity.pid);
    Ok(List {
        columns: COLUMNS,
        entries: processes.iter().map(entry).collect(),
    })
}

fn is_meant(glob: &Glob, identity: &Identity) -> bool {
    let file = identity.exe.as_ref().and_then(|exe| exe.file_name());
    let names = [
        identity.comm.clone(),
        identity.pid.to_string(),
        identity.value(Attribute::Exe).into_owned(),
        file.map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
    ];
    let choice: Option<ContainerChoice> = glob.text().parse().ok();
    let container = identity.container.as_deref();
    names.iter().any(|name| glob.matches(name))
        || container.is_some_and(|container| choice.is_some_and(|choice| choice.matches(container)))
}

pub(super) fn entry(identity: &Identity) -> Entry {
    let Identity {
        pid,
        inner_pid,
        parent,
        start_ticks,
        comm,
        exe,
        uid,
        user,
        cgroup,
        unit,
        container,
    } = identity;
    let of = |attribute| identity.value(attribute).into_owned();
    let cells = vec![
        pid.to_string(),
        inner_pid.to_string(),
        of(Attribute::User),
        comm.clone(),
        of(Attribute::Container),
        of(Attribute::Unit),
        of(Attribute::Exe),
    ];
    let container = container.as_deref();
    let pod = container.and_then(|container| container.pod.as_ref());
    let json = json!({
        "pid": pid,
        "inner_pid": inner_pid,
        "parent": parent,
        "start_ticks": start_ticks,
        "comm": comm,
        "exe": exe.as_ref().map(|exe| exe.to_string_lossy()),
        "uid": uid,
        "user": user,
        "cgroup": cgroup,
        "unit": unit,
        "container": container.map(Container::display_name),
        "container_id": container.map(|container| &container.id),
        "image": container.and_then(|container| container.image.as_ref()),
        "pod": pod.map(|pod| &pod.name),
        "namespace": pod.map(|pod| &pod.namespace),
    });
    Entry { cells, json }
}
