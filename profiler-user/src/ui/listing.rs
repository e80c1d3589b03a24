//! Plain tables, for lists of things.
use super::View;
use super::grid::{GridColumn, Shape, lines};
use crate::record::escape::escaped;

/// A column of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListColumn {
    /// Its header.
    pub header: &'static str,
    /// How it is laid out.
    pub shape: ListShape,
    /// When space is short: 0 = it stays, else the largest goes first.
    pub drop: u8,
}

/// How a column of a list is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListShape {
    /// Text that may be shortened when space is short.
    Name,
    /// Text that is shown as a whole.
    Word,
    /// A number.
    Number,
}

/// Characters that names keep when space is short.
const SHORTEST_NAME: usize = 8;

/// The list as text, its header first. A cell without text is shown as `-`. Ends with a line end.
pub fn render(columns: &[ListColumn], rows: &[Vec<String>], view: &View) -> String {
    let grid: Vec<GridColumn> = columns
        .iter()
        .map(|column| GridColumn {
            header: column.header.to_owned(),
            shape: match column.shape {
                ListShape::Name => Shape::Name(SHORTEST_NAME),
                ListShape::Word => Shape::Word,
                ListShape::Number => Shape::Number,
            },
            drop: column.drop,
        })
        .collect();
    let cell = |cell: &String| match cell.as_str() {
        "" => "-".to_owned(),
        text => escaped(text).into_owned(),
    };
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut lines = lines(&grid, &cells, view.width);
    lines[0] = view.style.bold(&lines[0]);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{ListColumn, ListShape, render};
    use crate::ui::View;

    #[test]
    fn a_list_has_a_header_marks_what_is_missing_and_obeys_no_name() {
        let column = |header, shape| ListColumn {
            header,
            shape,
            drop: 0,
        };
        let columns = [column("pid", ListShape::Number), column("name", ListShape::Name)];
        let rows = [
            vec!["1".to_owned(), "a\x1b[31m".to_owned()],
            vec!["23".to_owned(), String::new()],
        ];
        let text = render(&columns, &rows, &View::default());
        assert_eq!(text, "pid  name\n  1  a\\x1b[31m\n 23  -\n");
        assert_eq!(render(&columns, &[], &View::default()), "pid  name\n");
    }
}
