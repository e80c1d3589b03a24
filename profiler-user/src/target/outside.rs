//! What is understood of texts that others write, for the tests and the fuzzing of the parsers alone: everything else takes
//! the ways that lead here.
use std::path::PathBuf;

use super::cgroup::Membership;
use super::container::Container;
use super::runtime;

/// The container's id and the group's path of a text like `/proc/PID/cgroup`; every group that may be a container's is one.
pub fn cgroup(text: &str) -> (Option<String>, Option<String>) {
    let membership = Membership::parse(text);
    let _unit = membership.unit();
    let found = membership.container(|_| true);
    let id = found.map(|(candidate, _)| candidate.id);
    (id, membership.path().map(str::to_owned))
}

/// The folder of a container, by a text like `/proc/PID/mountinfo` of a process in it and on the host.
pub fn mountinfo(text: &str, id: &str) -> Option<PathBuf> {
    runtime::folder_in(text, id)
}

/// What a document says of a container, if it is one of any runtime.
pub fn document(bytes: &[u8]) -> Vec<Container> {
    runtime::described_by(bytes)
}

/// The body of a daemon's answer.
pub fn answer(bytes: &[u8]) -> Option<Vec<u8>> {
    runtime::body_of(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_tested_is_what_is_understood() {
        let id = "0123456789abcdef".repeat(4);
        let (found, path) = super::cgroup(&format!("0::/docker/{id}\n"));
        assert_eq!((found, path), (Some(id.clone()), Some(format!("/docker/{id}"))));
        let mounts = format!("9 8 8:1 / / rw - ext4 x rw\n9 8 8:1 /c/{id}/hosts /etc/hosts rw - ext4 x rw\n");
        assert_eq!(super::mountinfo(&mounts, &id), Some(format!("/c/{id}").into()));
        let names: Vec<_> = super::document(br#"{"Name":"/web"}"#)
            .into_iter()
            .filter_map(|container| container.name)
            .collect();
        assert_eq!(names, ["web"]);
        let answer = super::answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(answer.as_deref(), Some(&b"hi"[..]));
    }
}
