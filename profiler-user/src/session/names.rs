//! The names of functions that join the plan while records are written, on their way to the recording thread.
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::probe::plan::Plan;
use crate::recorder::NewNames;
use crate::resolve::{self, LinesAhead};

/// The end of the session.
pub(super) struct NamesSender(Sender<NewNames>);

/// A way from the session to the recording thread.
pub(super) fn names_channel() -> (NamesSender, Receiver<NewNames>) {
    let (sender, receiver) = channel();
    (NamesSender(sender), receiver)
}

impl NamesSender {
    /// Sends the names of the plan's functions from number `first` on, and where their lines will be.
    pub(super) fn send(&self, plan: &Plan, (first, lines): (usize, LinesAhead)) {
        let names = resolve::function_names(plan, first);
        // The recording may have ended already.
        drop(self.0.send(NewNames { first, names, lines }));
    }
}
