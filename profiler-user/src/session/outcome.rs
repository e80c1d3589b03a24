//! How a session went.
use std::process::ExitStatus;

use crate::target::command::shell_status;

/// How a session went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// How the command ended that was started for it.
    pub command: Option<ExitStatus>,
    /// Something was lost, and the user said that this is a failure.
    pub failed_on_loss: bool,
}

impl Outcome {
    /// The exit status: the command's own, or whether a loss was a failure.
    pub fn exit_status(&self) -> u8 {
        match self.command {
            Some(status) => match shell_status(status) {
                0 => self.failed_on_loss.into(),
                status => status,
            },
            None => self.failed_on_loss.into(),
        }
    }
}
