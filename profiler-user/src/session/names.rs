//! The names of functions that join the plan while records are written, on their way to the recording thread.
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::event::FunctionNames;
use crate::probe::plan::Plan;
use crate::resolve;

/// The end of the session.
pub(super) struct NamesSender(Sender<FunctionNames>);

/// A way from the session to the recording thread.
pub(super) fn names_channel() -> (NamesSender, Receiver<FunctionNames>) {
    let (sender, receiver) = channel();
    (NamesSender(sender), receiver)
}

impl NamesSender {
    /// Sends the names of the plan's functions from number `first` on.
    pub(super) fn send(&self, plan: &Plan, first: usize) {
        // The recording may have ended already.
        drop(self.0.send(resolve::function_names(plan, first)));
    }
}
