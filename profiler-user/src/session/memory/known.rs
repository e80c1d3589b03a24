//! What a session about memory knows of processes: who they are, and what lies where in them.
use std::collections::HashMap;

use super::sites::SiteNames;
use crate::kernel::lifecycle::Mapping;
use crate::target::identity::{Attribute, Identity};

/// Who a process is.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct Who {
    pub(in crate::session) comm: String,
    pub(in crate::session) container: String,
}

/// What is known of processes. One that has ended stays as it was known.
pub(in crate::session) struct Known {
    pub(in crate::session) names: SiteNames,
    pub(in crate::session) who: HashMap<u32, Who>,
}

impl Known {
    pub(in crate::session) fn new() -> Self {
        Self {
            names: SiteNames::new(),
            who: HashMap::new(),
        }
    }

    /// A process has joined, or executed another program and been looked at.
    pub(in crate::session) fn meet(&mut self, pid: u32, identity: Option<&Identity>) {
        self.names.learn(pid);
        if let Some(identity) = identity {
            let who = Who {
                comm: identity.comm.clone(),
                container: identity.value(Attribute::Container).into_owned(),
            };
            self.who.insert(pid, who);
        }
    }

    /// A target has mapped a file.
    pub(in crate::session) fn mapped(&mut self, pid: u32) {
        self.names.learn(pid);
    }

    /// A process of the host has mapped a file: it may be gone before anybody can look.
    pub(in crate::session) fn told(&mut self, mapping: &Mapping) {
        self.names.told(mapping);
    }
}
