//! The names of the host's users.
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

/// The host's list of users, read again when it changes.
#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    read: Option<SystemTime>,
    names: HashMap<u32, String>,
}

impl Users {
    /// The users of the list at `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: None,
            names: HashMap::new(),
        }
    }

    /// The name of a user.
    pub(super) fn name(&mut self, uid: u32) -> Option<String> {
        if !self.names.contains_key(&uid) {
            self.refresh();
        }
        self.names.get(&uid).cloned()
    }

    fn refresh(&mut self) {
        let changed = std::fs::metadata(&self.path)
            .and_then(|metadata| metadata.modified())
            .ok();
        if changed.is_none() || changed == self.read {
            return;
        }
        self.read = changed;
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        self.names = names(&String::from_utf8_lossy(&bytes));
    }
}

/// `name:password:uid:…`; the first name of a number counts.
fn names(passwd: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1));
        if let (Some(name), Some(uid)) = (name, uid.and_then(|uid| uid.parse().ok())) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{Users, names};

    #[test]
    fn the_first_name_of_a_number_counts_and_broken_lines_do_not() {
        let names = names("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\nbroken\nwww-data:x:33:33::/:\n");
        assert_eq!(names.len(), 2);
        assert_eq!((names[&0].as_str(), names[&33].as_str()), ("root", "www-data"));
    }

    #[test]
    fn a_user_that_is_added_later_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let mut users = Users::new(path.clone());
        assert_eq!(users.name(1000), None);
        std::fs::write(&path, "new:x:1000:1000::/:\n").unwrap();
        assert_eq!(users.name(1000).as_deref(), Some("new"));
    }
}
