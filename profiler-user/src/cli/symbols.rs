//! Names and source lines: where they come from, and how they are shown.
use std::path::PathBuf;

use crate::object::names::NameStyle;
use crate::resolve::PathStyle;

/// Where names and lines come from, and how they are shown.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Symbols")]
pub struct SymbolArgs {
    /// Look for separate debug files in this folder, too; may be repeated
    #[arg(long = "debug-dir", value_name = "FOLDER")]
    pub debug_dirs: Vec<PathBuf>,
    /// Fetch debug files that are not here from the servers in `DEBUGINFOD_URLS`
    #[arg(long)]
    pub debuginfod: bool,
    /// Leave out this beginning of source files' names; may be repeated
    #[arg(long = "strip-prefix", value_name = "PREFIX")]
    pub strip_prefixes: Vec<String>,
    /// Show at most this many last parts of source files' names
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub path_depth: Option<u16>,
    /// Count calls of functions that `--function` names where they were inlined, too
    #[arg(long, requires = "functions")]
    pub inlined: bool,
    /// Show functions' names as compilers write them
    #[arg(long)]
    pub raw_names: bool,
}

/// Where names and lines come from, and how they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolConfig {
    /// Folders with debug files, beside the standard ones.
    pub debug_dirs: Vec<PathBuf>,
    /// Whether servers are asked for debug files.
    pub download: Download,
    /// How source files' names are shown.
    pub paths: PathStyle,
    /// Whether places where functions were inlined are probed.
    pub inlined: Inlined,
    /// How functions' names are shown.
    pub names: NameStyle,
}

/// Whether places where functions were inlined are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inlined {
    /// They are not.
    #[default]
    Told,
    /// Each has a probe.
    Probed,
}

/// Whether servers are asked for debug files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Download {
    /// They are not.
    #[default]
    Never,
    /// Where a debug file is nowhere on this machine.
    WhenMissing,
}

impl From<SymbolArgs> for SymbolConfig {
    fn from(args: SymbolArgs) -> Self {
        let SymbolArgs {
            debug_dirs,
            debuginfod,
            strip_prefixes,
            path_depth,
            inlined,
            raw_names,
        } = args;
        Self {
            debug_dirs,
            download: if debuginfod {
                Download::WhenMissing
            } else {
                Download::Never
            },
            paths: PathStyle {
                strip_prefixes,
                depth: path_depth.map(usize::from),
            },
            inlined: if inlined { Inlined::Probed } else { Inlined::Told },
            names: if raw_names {
                NameStyle::Raw
            } else {
                NameStyle::Demangled
            },
        }
    }
}
