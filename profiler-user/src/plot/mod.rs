//! Pictures of recordings: a column of numbers against time, or against another column.
//!
//! `table` reads the file, `scale` chooses ticks and units, `figure` places everything, and a `canvas` draws it:
//! `svg` for browsers and papers, `png` for everything else. Neither needs a font of the machine.
mod canvas;
mod figure;
mod png;
mod scale;
mod steps;
mod svg;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use crate::cli::plot::{Picture, PlotConfig};
use figure::Figure;
use table::Table;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The recording cannot be opened.
    #[error("failed to open the recording `{}`: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no CSV.
    #[error("failed to read `{}`: {source}; `plot` reads what `--recording csv` writes", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// It has no rows.
    #[error("`{}` holds no records", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A column is not there.
    #[error("`{}` has no column `{column}`: it has {}", path.display(), columns.join(", "))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        column: String,
        /// Those that there are.
        columns: Vec<String>,
    },
    /// A cell is no number.
    #[error("column `{column}` is not numeric: line {line} of `{}` says `{cell}`", path.display())]
    NotNumeric {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The line in the file, from 1.
        line: u64,
        /// What is there.
        cell: String,
    },
    /// All cells are empty.
    #[error("column `{column}` of `{}` is empty in every row that has a `{other}`", path.display())]
    NoNumbers {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The other column.
        other: String,
    },
    /// The picture cannot be written.
    #[error("failed to write the picture `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Draws a recording into a file.
pub fn draw(config: &PlotConfig) -> Result<(), PlotError> {
    let table = Table::read(config)?;
    let file = config.file.file_name().unwrap_or_default().to_string_lossy();
    let title = config.title.clone();
    let title = title.unwrap_or_else(|| format!("{} in {file}", table.y.name));
    let figure = Figure::new(&table, title);
    let bytes = match config.picture {
        Picture::Svg => figure.draw(svg::SvgCanvas::new(figure::SIZE)),
        Picture::Png => figure.draw(png::PngCanvas::new(figure::SIZE)),
    };
    std::fs::write(&config.output, bytes).map_err(|source| PlotError::Write {
        path: config.output.clone(),
        source,
    })
}
