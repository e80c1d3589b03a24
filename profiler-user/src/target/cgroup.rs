//! What the control groups of a process say: its systemd unit, and the container that it may be in.
//!
//! Every runtime names its groups in a way of its own; this is the only place that knows them. A group within a group
//! of a container is looked at from the inside out, so that a container in a container is found as itself.
use super::container::{Runtime, is_long_id};

/// Names of scopes and groups that hold a container, in front of its id.
const PREFIXES: [(&str, Runtime); 8] = [
    ("docker-", Runtime::Docker),
    ("cri-containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
    ("libpod-payload-", Runtime::Podman),
    ("libpod-", Runtime::Podman),
    ("runc-", Runtime::Runc),
    ("crun-", Runtime::Runc),
];

/// Groups within a container's that hold the runtime's own helper and not the container.
const HELPERS: [&str; 2] = ["supervisor", "conmon"];

/// What `/proc/PID/cgroup` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// The paths that are told, the most telling hierarchy first: systemd's, the unified one, the others.
    paths: Vec<(Hierarchy, String)>,
}

/// A container that a group may belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Who runs it, as far as the path tells.
    pub(super) runtime: Runtime,
    /// Its id.
    pub(super) id: String,
    /// The path of its group.
    pub(super) path: String,
    /// Whether the path alone is enough.
    pub(super) certainty: Certainty,
}

/// Whether a path alone tells that it is a container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It does.
    Sure,
    /// Only if a runtime has a container of this id with this path.
    IfKnown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hierarchy {
    Systemd,
    Unified,
    Other,
}

impl Membership {
    /// Reads `/proc/PID/cgroup`.
    pub(super) fn parse(text: &str) -> Self {
        let mut paths: Vec<_> = text.lines().filter_map(line).collect();
        paths.sort_by_key(|(hierarchy, _)| *hierarchy);
        Self { paths }
    }

    /// The innermost container, and the path of the process's group in the hierarchy that tells it.
    pub(super) fn container(
        &self,
        mut is_known: impl FnMut(&Candidate) -> bool,
    ) -> Option<(Candidate, &str)> {
        let mut found = |path| {
            let mut candidates = candidates(path).into_iter();
            candidates.find(|candidate| match candidate.certainty {
                Certainty::Sure => true,
                Certainty::IfKnown => is_known(candidate),
            })
        };
        let mut seen: Vec<&str> = Vec::new();
        self.paths.iter().find_map(|(_, path)| {
            if seen.contains(&path.as_str()) {
                return None;
            }
            seen.push(path);
            found(path).map(|candidate| (candidate, path.as_str()))
        })
    }

    /// The path of the process's group: the unified hierarchy's or systemd's, else of the first where it is not the root.
    pub(super) fn path(&self) -> Option<&str> {
        let of = |wanted: Hierarchy| {
            let mut paths = self.paths.iter();
            paths.find(|(hierarchy, path)| *hierarchy == wanted && path != "/")
        };
        let found = of(Hierarchy::Unified)
            .or_else(|| of(Hierarchy::Systemd))
            .or_else(|| of(Hierarchy::Other))
            .or_else(|| self.paths.first());
        found.map(|(_, path)| path.as_str())
    }

    /// The systemd unit: the innermost service or scope.
    pub(super) fn unit(&self) -> Option<&str> {
        // The unified path of a hybrid host may be that of whoever started the container.
        let (_, path) = self
            .paths
            .iter()
            .find(|(hierarchy, _)| *hierarchy != Hierarchy::Other)?;
        let is_unit = |name: &&str| {
            let stem = name
                .strip_suffix(".service")
                .or_else(|| name.strip_suffix(".scope"));
            stem.is_some_and(|stem| !stem.is_empty())
        };
        path.rsplit('/').find(is_unit)
    }
}

/// `number:controllers:path`; the path may hold colons.
fn line(line: &str) -> Option<(Hierarchy, String)> {
    let (number, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let hierarchy = match (number, controllers) {
        ("0", "") => Hierarchy::Unified,
        (_, "name=systemd") => Hierarchy::Systemd,
        (_, _) => Hierarchy::Other,
    };
    path.starts_with('/').then(|| (hierarchy, from_root(path)))
}

/// A group outside our own root is told from there: `/../../kubepods/…`. What remains is the best that can be had.
fn from_root(path: &str) -> String {
    // systemd and runc leave `(deleted)` behind the path of a group that has gone.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let mut rest = path;
    while let Some(inner) = rest.strip_prefix("/..")
        && (inner.is_empty() || inner.starts_with('/'))
    {
        rest = inner;
    }
    if rest.is_empty() {
        "/".to_owned()
    } else {
        rest.to_owned()
    }
}

/// The containers that a path may belong to, the innermost first.
fn candidates(path: &str) -> Vec<Candidate> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let candidate = |index: usize| {
        let (runtime, id, certainty) = classified(&parts, index)?;
        let path = format!("/{}", parts[..=index].join("/"));
        Some(Candidate {
            runtime,
            id,
            path,
            certainty,
        })
    };
    (0..parts.len()).rev().filter_map(candidate).collect()
}

/// What the group at `index` is.
fn classified(parts: &[&str], index: usize) -> Option<(Runtime, String, Certainty)> {
    let part = parts[index];
    let inner = parts.get(index + 1);
    if inner.is_some_and(|inner| HELPERS.contains(inner)) {
        return None;
    }
    let parent = index.checked_sub(1).map(|parent| parts[parent]);
    if let Some(found) = lxc(parent, part).or_else(|| machine(part)) {
        return Some((found.0, found.1, Certainty::Sure));
    }
    // `slice:prefix:id`, which only systemd understands, where groups are made without it.
    if let Some((prefix, id)) = part.rsplit_once(':')
        && is_long_id(id)
    {
        let prefix = prefix.rsplit(':').next().unwrap_or(prefix);
        return Some((by_prefix(&format!("{prefix}-")), id.to_owned(), Certainty::Sure));
    }
    let name = part.strip_suffix(".scope").unwrap_or(part);
    if is_long_id(name) {
        return Some((by_parents(&parts[..index]), name.to_owned(), Certainty::Sure));
    }
    if let Some((prefix, id)) = name.rsplit_once('-')
        && is_long_id(id)
    {
        let is_helper = prefix.ends_with("conmon");
        let runtime = by_prefix(&name[..=prefix.len()]);
        return (!is_helper).then(|| (runtime, id.to_owned(), Certainty::Sure));
    }
    if [".slice", ".service"]
        .iter()
        .any(|suffix| part.strip_suffix(suffix).is_some())
    {
        return None;
    }
    let named = ["runc-", "crun-"]
        .into_iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    let id = named.filter(|_| name.len() < part.len()).unwrap_or(name);
    Some((Runtime::Unknown, id.to_owned(), Certainty::IfKnown))
}

fn by_prefix(prefix: &str) -> Runtime {
    let known = PREFIXES.iter().find(|(known, _)| *known == prefix);
    known.map_or(Runtime::Unknown, |(_, runtime)| *runtime)
}

/// The runtime of a group that is named by the bare id.
fn by_parents(parents: &[&str]) -> Runtime {
    match parents.last() {
        Some(&"docker" | &"moby") => Runtime::Docker,
        Some(&"libpod_parent") => Runtime::Podman,
        Some(&("k8s.io" | "default")) => Runtime::Containerd,
        // CRI-O puts its prefix in front; Docker under Kubernetes is told by its own state.
        Some(pod) if pod.starts_with("pod") && parents.iter().any(|part| part.starts_with("kubepods")) => {
            Runtime::Containerd
        }
        Some(slice) if slice.starts_with("kubepods") => Runtime::Containerd,
        Some(_) | None => Runtime::Unknown,
    }
}

fn lxc(parent: Option<&str>, part: &str) -> Option<(Runtime, String)> {
    let name = match part.strip_prefix("lxc.payload.") {
        Some(name) => name,
        None if matches!(parent, Some("lxc" | "lxc.payload")) => part,
        None => return None,
    };
    (!name.is_empty()).then(|| (Runtime::Lxc, name.to_owned()))
}

/// Machines that systemd knows.
fn machine(part: &str) -> Option<(Runtime, String)> {
    let scope = part
        .strip_prefix("machine-")
        .and_then(|rest| rest.strip_suffix(".scope"));
    let service = || part.strip_prefix("systemd-nspawn@")?.strip_suffix(".service");
    let name = unescaped(scope.or_else(service)?);
    if let Some(name) = name.strip_prefix("lxc-") {
        // libvirt: `lxc-NUMBER-NAME`.
        let name = name.split_once('-').map_or(name, |(_, name)| name);
        return Some((Runtime::Lxc, name.to_owned()));
    }
    // A virtual machine's processes are not ours to see.
    (!name.starts_with("qemu-") && !name.is_empty()).then_some((Runtime::Nspawn, name))
}

/// systemd writes what a unit's name may not hold as `\x2d`.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escape = rest.strip_prefix(b"\\x").and_then(|digits| digits.get(..2));
        let byte = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[4..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
