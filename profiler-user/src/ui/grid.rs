//! Columns of text that fit a width: names are shortened in the middle, and the least useful columns go first.
use std::fmt::Write as _;

const GAP: usize = 2;
/// Where nothing limits the width, a column of names is not made wider than this: longer names stick out. One C++ name of
/// tens of thousands of characters would else pad every line to its length.
const WIDEST_NAMES: usize = 100;

/// How a column behaves.
#[derive(Clone, Debug)]
pub(super) struct GridColumn {
    /// Its header.
    pub(super) header: String,
    /// How its cells are laid out.
    pub(super) shape: Shape,
    /// When space is short: 0 = it stays, else the largest goes first.
    pub(super) drop: u8,
}

/// How cells are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Left-aligned; may be shortened to this many characters.
    Name(usize),
    /// Left-aligned.
    Word,
    /// Right-aligned.
    Number,
}

/// The lines of a grid, its header first. Cells hold no control characters.
pub(super) fn lines(columns: &[GridColumn], rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            rows.iter()
                .map(|row| length(&row[index]))
                .fold(length(&column.header), usize::max)
        })
        .collect();
    let widths = width.map_or_else(
        || unlimited(columns, &natural),
        |limit| fit(columns, &natural, limit),
    );
    let header: Vec<String> = columns.iter().map(|column| column.header.clone()).collect();
    std::iter::once(&header)
        .chain(rows)
        .map(|row| {
            let line = line(columns, row, &widths, width.is_some());
            width.map_or_else(|| line.clone(), |limit| shortened_at_end(&line, limit))
        })
        .collect()
}

/// `text` in at most `width` characters, its middle replaced by an ellipsis.
pub(super) fn shortened(text: &str, width: usize) -> String {
    let length = length(text);
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let head: String = text.chars().take(kept.div_ceil(2)).collect();
    let tail: String = text.chars().skip(length - kept / 2).collect();
    format!("{head}…{tail}")
}

/// `text` in at most `width` characters, its end replaced by an ellipsis.
pub(super) fn shortened_at_end(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn length(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}

fn unlimited(columns: &[GridColumn], natural: &[usize]) -> Vec<Option<usize>> {
    let width = |(column, natural): (&GridColumn, &usize)| match column.shape {
        Shape::Name(_) => *natural.min(&WIDEST_NAMES),
        Shape::Word | Shape::Number => *natural,
    };
    columns.iter().zip(natural).map(width).map(Some).collect()
}

/// The width of each column; none = it is left out.
fn fit(columns: &[GridColumn], natural: &[usize], limit: usize) -> Vec<Option<usize>> {
    let least = |index: usize| match columns[index].shape {
        Shape::Name(least) => least.max(length(&columns[index].header)).min(natural[index]),
        Shape::Word | Shape::Number => natural[index],
    };
    let mut widths: Vec<Option<usize>> = (0..columns.len()).map(|index| Some(least(index))).collect();
    while total(&widths) > limit {
        let kept = (0..columns.len()).filter(|index| widths[*index].is_some() && columns[*index].drop > 0);
        let Some(worst) = kept.max_by_key(|index| columns[*index].drop) else {
            break;
        };
        widths[worst] = None;
    }
    let mut spare = limit.saturating_sub(total(&widths));
    while spare > 0 {
        let growing =
            (0..columns.len()).filter(|index| widths[*index].is_some_and(|width| width < natural[*index]));
        let Some(narrowest) = growing.min_by_key(|index| widths[*index]) else {
            break;
        };
        widths[narrowest] = widths[narrowest].map(|width| width + 1);
        spare -= 1;
    }
    widths
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

fn line(columns: &[GridColumn], row: &[String], widths: &[Option<usize>], shorten: bool) -> String {
    let mut line = String::new();
    for ((column, cell), width) in columns.iter().zip(row).zip(widths) {
        let Some(width) = *width else { continue };
        if !line.is_empty() {
            line.push_str(&" ".repeat(GAP));
        }
        // Writing to a string cannot fail.
        let _ = match column.shape {
            Shape::Name(_) if shorten => write!(line, "{:<width$}", shortened(cell, width)),
            Shape::Name(_) | Shape::Word => write!(line, "{cell:<width$}"),
            Shape::Number => write!(line, "{cell:>width$}"),
        };
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::{GridColumn, Shape, lines, shortened, shortened_at_end};

    fn columns() -> Vec<GridColumn> {
        let column = |header: &str, shape, drop| GridColumn {
            header: header.into(),
            shape,
            drop,
        };
        vec![
            column("name", Shape::Name(8), 0),
            column("file", Shape::Name(6), 1),
            column("n", Shape::Number, 0),
            column("max", Shape::Number, 2),
        ]
    }

    fn rows() -> Vec<Vec<String>> {
        vec![
            ["a_long_function_name", "libfile.so", "12", "3"]
                .map(String::from)
                .to_vec(),
            ["größe", "x", "4", "56"].map(String::from).to_vec(),
        ]
    }

    #[test]
    fn without_a_limit_everything_is_shown() {
        let expected = "\
name                  file         n  max
a_long_function_name  libfile.so  12    3
größe                 x            4   56";
        assert_eq!(lines(&columns(), &rows(), None).join("\n"), expected);
    }

    #[test]
    fn one_endless_name_does_not_widen_every_line() {
        let mut rows = rows();
        rows[0][0] = "x".repeat(10_000);
        let lines = lines(&columns(), &rows, None);
        assert!(lines[1].contains(&rows[0][0]), "shown in full");
        assert!(lines[2].len() < 200, "{}", lines[2]);
    }

    #[test]
    fn names_are_shortened_first_and_columns_dropped_then() {
        for limit in 1..60 {
            let lines = lines(&columns(), &rows(), Some(limit));
            assert!(
                lines.iter().all(|line| line.chars().count() <= limit),
                "{limit}: {lines:?}"
            );
            assert_eq!(
                lines[0].contains("max"),
                limit >= 8 + 6 + 2 + 3 + 3 * 2,
                "{limit}: {lines:?}"
            );
        }
        let shown = lines(&columns(), &rows(), Some(31)).join("\n");
        assert_eq!(
            shown,
            "name        file         n  max\na_lon…name  libfile.so  12    3\ngröße       x            4   56"
        );
    }

    #[test]
    fn shortening_keeps_both_ends() {
        assert_eq!(shortened("std::vector<int>::push_back", 11), "std::…_back");
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcd", 1), "…");
        assert_eq!(shortened("größengröße", 5), "gr…ße");
        assert_eq!(shortened_at_end("abcdef", 4), "abc…");
    }
}
