//! Opens files whose paths somebody else may have chosen: what a target names is looked up below the target's root and
//! never beside it, and nothing but a plain file is opened. Opening a device can do things, and opening a pipe can wait.
//!
//! Paths are walked by hand, one name at a time, from descriptors that only name files (`O_PATH`): every kernel can do that,
//! and no symbolic link is followed before it has been looked at.
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

/// The most symbolic links on the way to a file, as for the kernel.
const MAX_LINKS: usize = 40;
/// The most folders within each other: each takes a descriptor while a path is walked.
const MAX_DEPTH: usize = 128;

/// Opens a plain file for reading; anything else is an error and stays untouched.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    reopen(&handle(path, libc::O_PATH)?)
}

/// Whether a path has nothing but names in it, so that it stays within what it is joined to.
pub(crate) fn is_plain_path(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// A path that names an open file as long as it is open, whatever becomes of its own path.
pub(crate) fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A folder below which paths are looked up as if it were the root: links that are absolute start there, and `..` does not
/// lead out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// `folder` itself is ours to choose, and taken as it is.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Whether it is the root of this process as well, so that paths mean the same to both.
    pub(crate) fn is_own(&self) -> bool {
        let identity = |path: &Path| {
            let metadata = std::fs::metadata(path)?;
            io::Result::Ok((metadata.dev(), metadata.ino()))
        };
        matches!((identity(&self.0), identity(Path::new("/"))), (Ok(one), Ok(other)) if one == other)
    }

    /// What a path below it looks like from outside, for messages.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Opens a plain file below it for reading.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        reopen(&self.find(path)?)
    }

    /// The same, unless the path itself is a symbolic link: somebody who may not read a file could lead there.
    pub(crate) fn open_unlinked(&self, path: &Path) -> io::Result<File> {
        reopen(&self.walk(path, false)?)
    }

    /// A descriptor that names a plain file below it.
    pub(crate) fn find_plain(&self, path: &Path) -> io::Result<File> {
        let found = self.find(path)?;
        if found.metadata()?.is_file() {
            Ok(found)
        } else {
            Err(not_plain())
        }
    }

    /// Whether there is a folder at a path below it.
    pub(crate) fn has_folder(&self, path: &Path) -> bool {
        let found = self.find(path).and_then(|found| found.metadata());
        found.is_ok_and(|metadata| metadata.is_dir())
    }

    /// The names in a folder below it; none where there is no such folder.
    pub(crate) fn names(&self, folder: &Path) -> Vec<OsString> {
        let entries = self
            .find(folder)
            .and_then(|found| std::fs::read_dir(path_of(&found)));
        let entries = entries.into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    }

    /// A descriptor that names what is at a path below it.
    fn find(&self, path: &Path) -> io::Result<File> {
        self.walk(path, true)
    }

    /// The same. `follow_last`: where the path itself is a link, that is followed, too.
    fn walk(&self, path: &Path, follow_last: bool) -> io::Result<File> {
        let mut way = vec![handle(&self.0, libc::O_PATH | libc::O_DIRECTORY)?];
        let mut left = Vec::new();
        push(&mut left, path);
        let mut links = 0;
        while let Some(name) = left.pop() {
            let Some(name) = name else {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            };
            let folder = way.last().ok_or(io::ErrorKind::NotFound)?;
            let place = path_of(folder).join(&name);
            let found = handle(&place, libc::O_PATH | libc::O_NOFOLLOW)?;
            if found.metadata()?.is_symlink() {
                links += 1;
                let may_follow = follow_last || !left.is_empty();
                if links > MAX_LINKS || !may_follow {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                let target = std::fs::read_link(&place)?;
                if target.is_absolute() {
                    way.truncate(1);
                }
                push(&mut left, &target);
            } else {
                way.push(found);
            }
            if way.len() > MAX_DEPTH {
                return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
            }
        }
        way.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Puts the parts of a path on a stack, the first on top; none = one folder up.
fn push(left: &mut Vec<Option<OsString>>, path: &Path) {
    for part in path.components().rev() {
        match part {
            Component::Normal(name) => left.push(Some(name.to_owned())),
            Component::ParentDir => left.push(None),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

fn handle(path: &Path, flags: libc::c_int) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Opens for reading what a descriptor names.
fn reopen(handle: &File) -> io::Result<File> {
    if !handle.metadata()?.is_file() {
        return Err(not_plain());
    }
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path_of(handle))
}

fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{self, Read as _};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use tempfile::TempDir;

    use super::{Root, is_plain_path, open_plain};

    /// A folder that holds `root`, and a file beside that nobody below may reach.
    struct Jail(TempDir);

    impl Jail {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("root/lib/deep")).unwrap();
            fs::write(folder.path().join("secret"), "outside").unwrap();
            fs::write(folder.path().join("root/lib/a.so"), "inside").unwrap();
            Self(folder)
        }

        fn root(&self) -> Root {
            Root::new(self.0.path().join("root"))
        }

        fn link(&self, target: &str, name: &str) {
            symlink(target, self.0.path().join("root").join(name)).unwrap();
        }

        fn read(&self, path: &str) -> io::Result<String> {
            let mut text = String::new();
            self.root().open(Path::new(path))?.read_to_string(&mut text)?;
            Ok(text)
        }
    }

    #[test]
    fn links_lead_to_where_the_target_itself_would_find_them() {
        let jail = Jail::new();
        for (target, name) in [
            ("/lib/a.so", "absolute"),
            ("lib/a.so", "relative"),
            ("../a.so", "lib/deep/up"),
            ("/lib/deep/../a.so", "both"),
            ("../../../../lib/a.so", "climbing"),
            ("/lib/deep", "folder"),
            ("absolute", "twice"),
        ] {
            jail.link(target, name);
        }
        for path in [
            "/lib/a.so",
            "lib/a.so",
            "/absolute",
            "/relative",
            "/lib/deep/up",
            "/both",
            "/climbing",
            "/folder/up",
            "/folder/../a.so",
            "/twice",
            "/../../lib/a.so",
        ] {
            assert_eq!(jail.read(path).unwrap(), "inside", "{path}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        let jail = Jail::new();
        let secret = jail.0.path().join("secret");
        jail.link("../secret", "up");
        jail.link(secret.to_str().unwrap(), "absolute");
        jail.link("loop", "loop");
        jail.link("lib/a.so/../../../secret", "through-a-file");
        for path in [
            "/up",
            "/absolute",
            "/../secret",
            "/through-a-file",
            "/lib/a.so/x",
            "/none",
        ] {
            assert!(jail.read(path).is_err(), "{path}");
        }
        assert!(jail.root().open_unlinked(Path::new("lib/a.so")).is_ok());
        jail.link("lib/a.so", "link");
        jail.link("lib", "links");
        assert!(jail.root().open_unlinked(Path::new("links/a.so")).is_ok());
        assert!(jail.root().open_unlinked(Path::new("link")).is_err());
        assert_eq!(jail.read("/loop").unwrap_err().raw_os_error(), Some(libc::ELOOP));
        let deep = "lib/../lib/deep/../../".repeat(100) + "lib/a.so";
        assert_eq!(jail.read(&deep).unwrap(), "inside");
    }

    #[test]
    fn what_is_no_plain_file_is_never_opened() {
        let jail = Jail::new();
        let pipe = jail.0.path().join("root/pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        jail.link("pipe", "to-a-pipe");
        for path in ["/pipe", "/to-a-pipe", "/lib"] {
            let error = jail.read(path).unwrap_err();
            assert_eq!(error.to_string(), "it is no plain file", "{path}");
            assert!(jail.root().find_plain(Path::new(path)).is_err());
        }
        for path in [&*pipe, Path::new("/dev/null"), jail.0.path()] {
            assert_eq!(open_plain(path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(open_plain(&jail.0.path().join("secret")).is_ok());
    }

    #[test]
    fn folders_are_listed_and_told_from_files() {
        let jail = Jail::new();
        jail.link("/lib", "usr");
        let mut names = jail.root().names(Path::new("/usr"));
        names.sort();
        assert_eq!(names, ["a.so", "deep"]);
        assert!(
            jail.root().has_folder(Path::new("usr/deep")) && !jail.root().has_folder(Path::new("usr/a.so"))
        );
        assert!(jail.root().names(Path::new("none")).is_empty());
        assert!(Root::new("/proc/self/root".into()).is_own() && !jail.root().is_own());
    }

    #[test]
    fn a_path_of_names_stays_where_it_is_joined() {
        for (path, expected) in [
            ("a/b", true),
            ("a", true),
            ("../a", false),
            ("a/../../b", false),
            ("/a", false),
        ] {
            assert_eq!(is_plain_path(Path::new(path)), expected, "{path}");
        }
    }
}
