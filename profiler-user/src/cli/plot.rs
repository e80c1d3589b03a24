//! `plot`: what was typed, and what is true.
use std::path::PathBuf;

use super::error::ConfigError;

/// `plot`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlotArgs {
    /// The recording: what `--recording csv` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Draw this column
    #[arg(long, value_name = "COLUMN")]
    pub y: String,
    /// Against this column.
    #[arg(
        long,
        value_name = "COLUMN",
        help = "Against this column [default: the time, or the number of the record]"
    )]
    pub x: Option<String>,
    /// Draw a line for each value of this column, such as pid, tid or function
    #[arg(
        long,
        value_name = "COLUMN",
        help = "Draw a line for each value of this column, such as pid, tid or function [default: who, if there is one]"
    )]
    pub by: Option<String>,
    /// Draw the sum of all numbers until then: of value2 of events, what is alive
    #[arg(long)]
    pub sum: bool,
    /// Write this above the picture [default: the column and the file]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Where the picture goes: a name that ends in .svg or .png
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// A picture that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlotConfig {
    /// The recording.
    pub file: PathBuf,
    /// The column that is drawn.
    pub y: String,
    /// Against which; none = time, or the number of the record.
    pub x: Option<String>,
    /// A line for each of its values.
    pub by: Option<String>,
    /// Numbers are added up.
    pub sum: bool,
    /// What is written above it; none = what it shows.
    pub title: Option<String>,
    /// Where it goes.
    pub output: PathBuf,
    /// In which format.
    pub picture: Picture,
}

/// Formats of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Lines and words, of any size.
    Svg,
    /// Pixels.
    Png,
}

impl TryFrom<PlotArgs> for PlotConfig {
    type Error = ConfigError;

    fn try_from(
        PlotArgs {
            file,
            y,
            x,
            by,
            sum,
            title,
            output,
        }: PlotArgs,
    ) -> Result<Self, ConfigError> {
        let ends_in = |known: &str| {
            output
                .extension()
                .is_some_and(|it| it.eq_ignore_ascii_case(known))
        };
        let picture = if ends_in("svg") {
            Picture::Svg
        } else if ends_in("png") {
            Picture::Png
        } else {
            return Err(ConfigError::UnknownPicture { output });
        };
        Ok(Self {
            file,
            y,
            x,
            by,
            sum,
            title,
            output,
            picture,
        })
    }
}
