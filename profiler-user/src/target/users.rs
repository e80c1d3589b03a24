//! The host's users.
use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::rooted::Root;

/// Where the list is, and how much of it is read, bytes.
const LIST: &str = "etc/passwd";
const LONGEST: u64 = 16 << 20;

/// The host's list of users, read again when it changes.
#[derive(Debug)]
pub(super) struct Users {
    root: Root,
    read: Option<SystemTime>,
    known: HashMap<u32, User>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    home: PathBuf,
}

impl Users {
    /// The users of the host that has this root.
    pub(super) fn new(root: Root) -> Self {
        Self {
            root,
            read: None,
            known: HashMap::new(),
        }
    }

    /// The name of a user.
    pub(super) fn name(&mut self, uid: u32) -> Option<String> {
        self.user(uid).map(|user| user.name.clone())
    }

    /// The home of a user.
    pub(super) fn home(&mut self, uid: u32) -> Option<PathBuf> {
        self.user(uid).map(|user| user.home.clone())
    }

    fn user(&mut self, uid: u32) -> Option<&User> {
        if !self.known.contains_key(&uid) {
            self.refresh();
        }
        self.known.get(&uid)
    }

    fn refresh(&mut self) {
        let path = Path::new(LIST);
        let changed = self
            .root
            .find_plain(path)
            .and_then(|file| file.metadata()?.modified())
            .ok();
        if changed.is_none() || changed == self.read {
            return;
        }
        self.read = changed;
        let mut bytes = Vec::new();
        let read = self
            .root
            .open(path)
            .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
        if read.is_ok() {
            self.known = users(&String::from_utf8_lossy(&bytes));
        }
    }
}

/// `name:password:uid:gid:comment:home:shell`; the first line of a number counts.
fn users(passwd: &str) -> HashMap<u32, User> {
    let mut users = HashMap::new();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [name, _, uid, _, _, home, ..] = fields[..]
            && let Ok(uid) = uid.parse()
        {
            let user = || User {
                name: name.to_owned(),
                home: PathBuf::from(home),
            };
            users.entry(uid).or_insert_with(user);
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Root, Users, users};

    #[test]
    fn the_first_name_of_a_number_counts_and_broken_lines_do_not() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\nbroken\nx:x:-1:0::/:\nwww-data:x:33:33::/var/www:\n";
        let users = users(passwd);
        assert_eq!(users.len(), 2);
        assert_eq!(
            (users[&0].name.as_str(), users[&33].name.as_str()),
            ("root", "www-data")
        );
        assert_eq!(users[&33].home, Path::new("/var/www"));
    }

    #[test]
    fn a_user_that_is_added_later_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/passwd");
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        let mut users = Users::new(Root::new(folder.path().to_owned()));
        assert_eq!(users.name(1000), None);
        std::fs::write(&path, "new:x:1000:1000::/:\n").unwrap();
        assert_eq!(users.name(1000).as_deref(), Some("new"));
    }
}
