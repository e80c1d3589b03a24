//! What is profiled: running processes ([`process`]), chosen by who they are ([`identity`], [`selector`]), or a command that
//! is started for it ([`command`]).
pub mod attribute;
mod choice;
pub mod code_texts;
pub mod command;
pub mod container;
pub mod directory;
pub mod error;
pub mod glob;
pub mod heap;
pub mod identity;
pub mod mappings;
#[doc(hidden)]
pub mod outside;
pub mod process;
pub mod selector;
pub mod usage;

mod cgroup;
mod containers;
mod mapped;
mod runtime;
mod users;

pub use error::TargetError;
