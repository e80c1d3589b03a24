//! The list of containers.
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::{Entry, List, ListError, chosen, column};
use crate::cli::list::ListConfig;
use crate::target::glob::{Glob, GlobError};
use crate::target::identity::{Container, Identity};
use crate::target::selector::ContainerChoice;
use crate::ui::listing::{ListColumn, ListShape};

const COLUMNS: &[ListColumn] = &[
    column("id", ListShape::Word, 0),
    column("name", ListShape::Name, 0),
    column("image", ListShape::Name, 0),
    column("runtime", ListShape::Word, 2),
    column("pod", ListShape::Name, 0),
    column("processes", ListShape::Number, 1),
];

/// Lists the containers of the processes that are asked for, by name.
pub(super) fn list(config: &ListConfig) -> Result<List, ListError> {
    let patterns = config
        .patterns
        .iter()
        .map(|text| Ok((text.parse()?, text.parse()?)))
        .collect::<Result<Vec<(ContainerChoice, Glob)>, GlobError>>()?;
    let is_meant = |container: &Container| {
        let image = container.image.as_deref();
        patterns.is_empty()
            || patterns.iter().any(|(choice, glob)| {
                choice.matches(container) || image.is_some_and(|image| glob.matches(image))
            })
    };
    let mut found = with_pids(&chosen(&config.selector)?);
    found.retain(|(container, _)| is_meant(container));
    Ok(List {
        columns: COLUMNS,
        entries: found
            .iter()
            .map(|(container, pids)| entry(container, pids))
            .collect(),
    })
}

/// A container, and the ids of its processes.
type WithPids = (Arc<Container>, Vec<u32>);

/// The containers, by name, with the ids of their processes.
pub(super) fn with_pids(processes: &[Identity]) -> Vec<WithPids> {
    let mut by_id: BTreeMap<(&str, &str), WithPids> = BTreeMap::new();
    for identity in processes {
        if let Some(container) = &identity.container {
            let key = (container.short_name(), container.id.as_str());
            let known = by_id.entry(key);
            known
                .or_insert_with(|| (Arc::clone(container), Vec::new()))
                .1
                .push(identity.pid);
        }
    }
    by_id.into_values().collect()
}

pub(super) fn entry(container: &Container, pids: &[u32]) -> Entry {
    let Container {
        id,
        runtime,
        name,
        image,
        labels,
        pod,
    } = container;
    let shown = if name.is_none() && pod.is_none() {
        String::new()
    } else {
        container.short_name().to_owned()
    };
    let cells = vec![
        container.short_id().to_owned(),
        shown,
        image.clone().unwrap_or_default(),
        runtime.name().to_owned(),
        pod.as_ref().map(ToString::to_string).unwrap_or_default(),
        pids.len().to_string(),
    ];
    let json = json!({
        "id": id,
        "name": name,
        "image": image,
        "runtime": runtime.name(),
        "pod": pod.as_ref().map(|pod| &pod.name),
        "namespace": pod.as_ref().map(|pod| &pod.namespace),
        "pod_container": pod.as_ref().and_then(|pod| pod.container.as_ref()),
        "labels": labels,
        "processes": pids.len(),
        "pids": pids,
    });
    Entry { cells, json }
}
