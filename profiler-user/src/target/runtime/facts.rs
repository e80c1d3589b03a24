//! What the sources tell of a container, and the words that they use for it.
use std::collections::BTreeMap;

use serde_json::Value;

use crate::target::container::{Pod, Runtime};

/// Longer labels are left out: some hold whole documents. No name is longer.
const LONGEST: usize = 4096;

/// What is known of a container; empty = unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) runtime: Option<Runtime>,
    pub(super) name: Option<String>,
    pub(super) image: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) pod: Option<Pod>,
}

impl Facts {
    /// Whether there is something to call it by.
    pub(super) fn is_named(&self) -> bool {
        self.name.is_some() || self.pod.is_some()
    }

    /// Takes what is unknown from `other`.
    pub(super) fn complete(&mut self, other: Self) {
        let Self {
            runtime,
            name,
            image,
            labels,
            pod,
        } = other;
        self.runtime = self.runtime.or(runtime);
        self.name = self.name.take().or(name);
        self.image = self.image.take().or(image);
        self.pod = self.pod.take().or(pod);
        if self.labels.is_empty() {
            self.labels = labels;
        }
    }
}

/// A text that is not empty.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    let text = value.and_then(Value::as_str)?;
    (1..=LONGEST).contains(&text.len()).then(|| text.to_owned())
}

/// The strings of an object.
pub(super) fn labels(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    let strings = entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    strings.filter(|(_, value)| value.len() <= LONGEST).collect()
}

/// The pod, as the kubelet and CRI-O label its containers.
pub(super) fn pod(labels: &BTreeMap<String, String>) -> Option<Pod> {
    let name = labels.get("io.kubernetes.pod.name")?;
    let container = labels.get("io.kubernetes.container.name");
    Some(Pod {
        namespace: labels
            .get("io.kubernetes.pod.namespace")
            .cloned()
            .unwrap_or_default(),
        name: name.clone(),
        // The sandbox, which holds the pod's namespaces.
        container: container.filter(|name| *name != "POD").cloned(),
    })
}
