//! The command line: [`args`] is what was typed, [`config`] what is true. Everything behind sees only the latter.
pub mod args;
pub mod config;
mod error;
pub mod grouping;
pub mod list;
pub mod mem;
pub mod mem_config;
pub mod monitor;
mod parse;
pub mod plot;
pub mod symbols;
mod targets;
#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::Parser as _;
use clap::error::ErrorKind;

pub use args::Args;
pub use config::Command;
pub use error::ConfigError;

/// Why the words of a command line lead to no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Help or the version was asked for: this text belongs on standard output, and the exit status is 0.
    Print(String),
    /// They are wrong: this text belongs on standard error, and the exit status is 2.
    Wrong(String),
}

/// What the words of a command line ask for, the name of the program first.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Stop> {
    let args = Args::try_parse_from(words).map_err(|error| stop(&error))?;
    Command::try_from(args).map_err(|error| Stop::Wrong(format!("error: {error}\n")))
}

fn stop(error: &clap::Error) -> Stop {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return Stop::Print(text);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Stop::Wrong(text);
    }
    // One line: what is wrong, what is possible; then where to read on.
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"));
    let words: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("For more"))
        .collect();
    Stop::Wrong(format!(
        "{}; see --help\n",
        words.join(" ").replace(" tip: ", "; ")
    ))
}
