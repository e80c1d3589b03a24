//! Where a container's files come from: Docker mounts `/etc/hosts` and others from its own folder, wherever that is.
use std::path::{Component, Path, PathBuf};

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mount<'a> {
    device: &'a str,
    /// What of the file system is mounted.
    root: &'a str,
    /// Where.
    point: &'a str,
}

/// The folder of the host that is called by the container's id, and of which a file is mounted in a container.
///
/// `of_process` and `of_host` are the texts of the `mountinfo` of a process in the container, and of one outside.
pub(super) fn folder(of_process: &str, of_host: &str, id: &str) -> Option<PathBuf> {
    let inner = mounts(of_process).find_map(|mount| {
        let (before, _) = mount.root.split_once(&format!("/{id}/"))?;
        Some((mount.device, format!("{before}/{id}")))
    });
    let (device, path) = inner?;
    let outer = mounts(of_host).filter(|mount| mount.device == device);
    let rests = outer.filter_map(|mount| {
        let rest = Path::new(&path).strip_prefix(mount.root).ok()?;
        Some(Path::new(mount.point).join(rest))
    });
    let is_plain = |path: &PathBuf| {
        let mut parts = path.components();
        parts.all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
    };
    rests.into_iter().find(is_plain)
}

/// `id parent device root point options…`; names with spaces are written with escapes and do not matter here.
fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(2);
        Some(Mount {
            device: fields.next()?,
            root: fields.next()?,
            point: fields.next()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::folder;

    const INNER: &str = "\
70 69 0:30 / / rw - overlay overlay rw
87 69 254:0 /docker/containers/abc/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw
";

    #[test]
    fn the_folder_is_found_on_whatever_file_system_it_is() {
        for (host, expected) in [
            (
                "27 1 254:0 / / rw - ext4 /dev/vda rw",
                Some("/docker/containers/abc"),
            ),
            (
                "27 1 254:0 / / rw - ext4 x rw\n28 1 254:1 / /home rw - ext4 x rw",
                Some("/docker/containers/abc"),
            ),
            (
                "28 1 254:0 / /var/lib rw - ext4 x rw",
                Some("/var/lib/docker/containers/abc"),
            ),
            (
                "28 1 254:0 /docker /srv/d rw - ext4 x rw",
                Some("/srv/d/containers/abc"),
            ),
            ("28 1 254:0 /other /srv/d rw - ext4 x rw", None),
            ("28 1 254:1 / /var/lib rw - ext4 x rw", None),
            ("", None),
        ] {
            let found = folder(INNER, host, "abc");
            assert_eq!(found.as_deref(), expected.map(Path::new), "{host}");
        }
        let host = "27 1 254:0 / / rw - ext4 /dev/vda rw";
        assert_eq!(folder(INNER, host, "ab"), None, "a part of the id is not the id");
        assert_eq!(folder("", host, "abc"), None);
        let climbing = "87 69 254:0 /x/../abc/hostname /etc/hostname rw - ext4 x rw";
        assert_eq!(folder(climbing, host, "abc"), None);
    }
}
