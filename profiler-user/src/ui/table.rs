//! The table of functions.
use super::grid::{GridColumn, Shape, lines};
use super::number::{duration, percent, thousands};
use super::{Row, SortKey, Summary, View, footer};
use crate::record::escape::escaped;

/// A column: its header, when it goes, its cell. `None` is shown as `-`.
struct TableColumn {
    header: &'static str,
    shape: Shape,
    drop: u8,
    cell: fn(&Row, &Whole) -> Option<String>,
}

/// What shares are shares of.
struct Whole {
    self_ns: u64,
}

const fn number(header: &'static str, drop: u8, cell: fn(&Row, &Whole) -> Option<String>) -> TableColumn {
    TableColumn {
        header,
        shape: Shape::Number,
        drop,
        cell,
    }
}

const fn name(header: &'static str, drop: u8, cell: fn(&Row, &Whole) -> Option<String>) -> TableColumn {
    TableColumn {
        header,
        shape: Shape::Name(if drop == 0 { 20 } else { 8 }),
        drop,
        cell,
    }
}

static COLUMNS: &[TableColumn] = &[
    name("function", 0, |row, _| Some(escaped(&row.function).into_owned())),
    name("object", 4, |row, _| Some(escaped(&row.object).into_owned())),
    number("calls", 0, |row, _| Some(thousands(row.totals.calls))),
    number("total", 0, |row, _| timed(row, Some(row.totals.total_ns))),
    number("self", 1, |row, _| timed(row, Some(row.totals.self_ns))),
    number("self %", 5, |row, whole| {
        let share = row.totals.self_ns as f64 / whole.self_ns as f64;
        (row.totals.returns > 0 && whole.self_ns > 0).then(|| percent(share))
    }),
    number("avg", 0, |row, _| timed(row, row.totals.mean_ns())),
    number("min", 8, |row, _| {
        timed(row, row.totals.extremes_ns.map(|(min, _)| min))
    }),
    number("p50", 6, |row, _| timed(row, row.totals.quantile_ns(0.5))),
    number("p90", 9, |row, _| timed(row, row.totals.quantile_ns(0.9))),
    number("p99", 2, |row, _| timed(row, row.totals.quantile_ns(0.99))),
    number("p99.9", 10, |row, _| timed(row, row.totals.quantile_ns(0.999))),
    number("max", 3, |row, _| {
        timed(row, row.totals.extremes_ns.map(|(_, max)| max))
    }),
    number("in flight", 7, |row, _| {
        row.untimed.is_none().then(|| thousands(row.totals.in_flight()))
    }),
];

fn timed(row: &Row, nanoseconds: Option<u64>) -> Option<String> {
    nanoseconds.filter(|_| row.totals.returns > 0).map(duration)
}

fn key(row: &Row, sort: SortKey) -> u64 {
    let totals = &row.totals;
    match sort {
        SortKey::Calls => totals.calls,
        SortKey::Total => totals.total_ns,
        SortKey::SelfTime => totals.self_ns,
        SortKey::Avg => totals.mean_ns().unwrap_or(0),
        SortKey::P99 => totals.quantile_ns(0.99).unwrap_or(0),
        SortKey::Max => totals.extremes_ns.map_or(0, |(_, max)| max),
    }
}

/// The called functions, sorted: by the key, then by calls, then by name.
pub fn sorted(rows: &[Row], sort: SortKey) -> Vec<&Row> {
    let positions = order(rows, sort).into_iter();
    positions.map(|position| &rows[position]).collect()
}

/// The positions of the called functions, sorted: by the key, then by calls, then by name.
pub fn order(rows: &[Row], sort: SortKey) -> Vec<usize> {
    let mut keyed: Vec<_> = (0..rows.len())
        .filter(|position| rows[*position].totals.calls > 0)
        .map(|position| (key(&rows[position], sort), position))
        .collect();
    keyed.sort_by(|(one, first), (other, second)| {
        let (first, second) = (&rows[*first], &rows[*second]);
        let calls = second.totals.calls.cmp(&first.totals.calls);
        other
            .cmp(one)
            .then(calls)
            .then_with(|| first.function.cmp(&second.function))
            .then_with(|| first.group.cmp(&second.group))
    });
    keyed.into_iter().map(|(_, position)| position).collect()
}

/// The whole summary: title, table, footer. Ends with a line end.
pub fn render(summary: &Summary, view: &View) -> String {
    let rows = sorted(&summary.rows, view.sort);
    let footer = footer::lines(summary, view);
    let mut shown = view.top.unwrap_or(rows.len()).min(rows.len());
    if let Some(height) = view.height {
        // Title, header, what is hidden, blank line, the line of the cursor.
        shown = shown.min(height.saturating_sub(footer.len() + 5));
    }
    let mut text = vec![view.style.bold(&title(summary, view))];
    text.extend(table(&rows[..shown], summary, view));
    text.extend(hidden(summary, rows.len(), shown).map(|line| view.style.dim(&view.fit(&line))));
    text.push(String::new());
    text.extend(footer);
    text.join("\n") + "\n"
}

fn title(summary: &Summary, view: &View) -> String {
    let elapsed = duration(summary.elapsed.as_nanos().try_into().unwrap_or(u64::MAX));
    let title = format!("{} · {elapsed}", escaped(&summary.title));
    view.fit(&title)
}

fn table(rows: &[&Row], summary: &Summary, view: &View) -> Vec<String> {
    let whole = Whole {
        self_ns: summary.rows.iter().map(|row| row.totals.self_ns).sum(),
    };
    let groups = summary.group_by.iter().map(|name| GridColumn {
        header: (*name).to_owned(),
        shape: Shape::Name(8),
        drop: 0,
    });
    let columns: Vec<GridColumn> = groups
        .chain(COLUMNS.iter().map(|column| GridColumn {
            header: header(column, view.sort),
            shape: column.shape,
            drop: column.drop,
        }))
        .collect();
    let cell = |row, column: &TableColumn| (column.cell)(row, &whole).unwrap_or_else(|| "-".to_owned());
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let group = row.group.iter().map(|value| escaped(value).into_owned());
            group
                .chain(COLUMNS.iter().map(|column| cell(row, column)))
                .collect()
        })
        .collect();
    let mut lines = lines(&columns, &cells, view.width);
    lines[0] = view.style.bold(&lines[0]);
    lines
}

fn header(column: &TableColumn, sort: SortKey) -> String {
    let mark = if column.header == sort.name() { "↓" } else { "" };
    format!("{}{mark}", column.header)
}

fn hidden(summary: &Summary, called: usize, shown: usize) -> Option<String> {
    let count = |count: usize| thousands(count as u64);
    let more = (called > shown).then(|| {
        format!(
            "also called: {} functions (--top shows more)",
            count(called - shown)
        )
    });
    let silent = summary.rows.len() - called;
    let silent = (silent > 0).then(|| format!("not called: {}", count(silent)));
    let parts: Vec<String> = more.into_iter().chain(silent).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
