//! What is profiled: running processes ([`process`]), or a command that is started for it ([`command`]).
pub mod command;
pub mod error;
pub mod process;

pub use error::TargetError;
