//! `list`: what was typed, and what is true.
use std::path::PathBuf;

use clap::builder::TypedValueParser;

use super::args::one_of;
use super::error::ConfigError;
use super::targets::{TARGETING, TargetArgs};
use crate::target::selector::Selector;
use crate::ui::Style;

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Processes.
    Processes,
    /// Containers in which processes run.
    Containers,
    /// Executables and libraries.
    Objects,
    /// Functions.
    Functions,
}

impl Listed {
    /// Everything that can be listed.
    pub const ALL: [Self; 4] = [Self::Processes, Self::Containers, Self::Objects, Self::Functions];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Containers => "containers",
            Self::Objects => "objects",
            Self::Functions => "functions",
        }
    }

    /// What is listed, and what its patterns match.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Processes => "processes, by name, program, container or id; no pattern = all",
            Self::Containers => "containers in which processes run, by name, image or id; no pattern = all",
            Self::Objects => {
                "executables and libraries that the processes map, by file name or path; no pattern = all"
            }
            Self::Functions => {
                "functions, by name or `object:name`, as for `attach --function`; no pattern = all of the program itself"
            }
        }
    }
}

/// `list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// What to list
    #[arg(value_name = "WHAT", value_parser = listed())]
    pub what: Listed,
    /// List only what matches one of these names or globs
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// Which processes.
    #[command(flatten)]
    pub targets: TargetArgs,
    /// Look into this executable or library in place of processes; may be repeated
    #[arg(long = "file", value_name = "PATH", help_heading = TARGETING)]
    pub files: Vec<PathBuf>,
    /// Print a JSON array with an object for each line
    #[arg(long)]
    pub json: bool,
    /// Do not use colours; the environment variable `NO_COLOR` says the same
    #[arg(long)]
    pub no_color: bool,
}

/// `list`, checked.
#[derive(Clone, Debug)]
pub struct ListConfig {
    /// What is listed.
    pub what: Listed,
    /// Of which processes; empty = of all, or of the files.
    pub selector: Selector,
    /// Of which files.
    pub files: Vec<PathBuf>,
    /// What of it; none = all.
    pub patterns: Vec<String>,
    /// How it is printed.
    pub format: ListFormat,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// A table for people, with colours where they are possible and wanted.
    Table(Style),
    /// A JSON array.
    Json,
}

impl TryFrom<ListArgs> for ListConfig {
    type Error = ConfigError;

    fn try_from(args: ListArgs) -> Result<Self, ConfigError> {
        let ListArgs {
            what,
            patterns,
            targets,
            files,
            json,
            no_color,
        } = args;
        let selector = targets.selector()?;
        match what {
            Listed::Processes | Listed::Containers if !files.is_empty() => {
                return Err(ConfigError::FileHasNone { what: what.name() });
            }
            Listed::Objects | Listed::Functions if selector.is_empty() && files.is_empty() => {
                return Err(ConfigError::NothingToListFrom { what: what.name() });
            }
            Listed::Processes | Listed::Containers | Listed::Objects | Listed::Functions => {}
        }
        let style = if no_color { Style::Plain } else { Style::Coloured };
        Ok(Self {
            what,
            selector,
            files,
            patterns,
            format: if json {
                ListFormat::Json
            } else {
                ListFormat::Table(style)
            },
        })
    }
}

fn listed() -> impl TypedValueParser<Value = Listed> {
    one_of(Listed::ALL.map(|listed| (listed.name(), listed.summary(), listed)))
}
