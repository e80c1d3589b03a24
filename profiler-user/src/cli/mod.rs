//! The command line: [`args`] is what was typed, [`config`] what is true. Everything behind sees only the latter.
pub mod args;
pub mod config;
mod parse;
#[cfg(test)]
mod tests;

pub use args::Args;
pub use config::{Command, ConfigError};
