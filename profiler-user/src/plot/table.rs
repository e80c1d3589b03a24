//! A recording, as the points of a picture.
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use super::PlotError;
use super::scale::unit_of;
use crate::cli::plot::PlotConfig;
use crate::record::Unit;

/// What records tell the time by, in ns; and what events call it, which have this column beside it.
const TIME: &str = "time_ns";
const EVENT_TIME: &str = "time";
const EVENT_VALUE: &str = "value2";
/// What tells lines about processes from those about containers, and about all.
const WHO: &str = "who";
/// The column with the kind of a record, and the kind that is none.
const KIND: &str = "type";
const LOST: &str = "lost";

/// What an axis shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// What it is called.
    pub(super) name: String,
    /// What it counts.
    pub(super) unit: Unit,
}

/// Points of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// What they are called; empty where there is one series.
    pub(super) name: String,
    /// In the order of x.
    pub(super) points: Vec<(f64, f64)>,
}

/// The points of a picture.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// The one with most points first; each has some.
    pub(super) series: Vec<Series>,
}

/// Where the cells are.
struct Columns {
    x: Option<usize>,
    x_is_time: bool,
    y: usize,
    by: Option<usize>,
    kind: Option<usize>,
}

/// A number as it is written: whole ones are exact.
#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Broken(f64),
}

impl Number {
    fn parse(cell: &str) -> Option<Self> {
        let whole = cell.parse().map(Self::Whole).ok();
        whole.or_else(|| {
            let broken: f64 = cell.parse().ok()?;
            broken.is_finite().then_some(Self::Broken(broken))
        })
    }

    fn value(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Broken(broken) => broken,
        }
    }

    /// The distance from `start`. Times since the machine was started can have more digits than a float.
    fn since(self, start: Self) -> f64 {
        match (self, start) {
            (Self::Whole(end), Self::Whole(start)) => end.wrapping_sub(start) as f64,
            (end, start) => end.value() - start.value(),
        }
    }
}

impl Axis {
    /// Time is shown from the first record on.
    fn named(self, is_time: bool) -> Self {
        if is_time {
            Self {
                name: "time since the first record".to_owned(),
                ..self
            }
        } else {
            self
        }
    }

    /// What numbers are that were added up.
    fn summed(self, is_sum: bool) -> Self {
        if is_sum {
            Self {
                name: format!("sum of {}", self.name),
                ..self
            }
        } else {
            self
        }
    }
}

/// Whether a column tells the time, in ns.
fn is_time(header: &[String], name: &str) -> bool {
    name == TIME || (name == EVENT_TIME && header.iter().any(|other| other == EVENT_VALUE))
}

/// Each point becomes the sum of all until then.
fn add_up(points: &mut [(f64, f64)]) {
    let mut sum = 0.0;
    for (_, y) in points {
        sum += *y;
        *y = sum;
    }
}

impl Table {
    /// Reads what the configuration asks for.
    pub(super) fn read(config: &PlotConfig) -> Result<Self, PlotError> {
        let path = config.file.clone();
        let file = File::open(&path).map_err(|source| PlotError::Open { path, source })?;
        let reader = csv::ReaderBuilder::new().from_reader(std::io::BufReader::new(file));
        Reading {
            config,
            path: &config.file,
        }
        .table(reader)
    }
}

/// What is being read.
struct Reading<'a> {
    config: &'a PlotConfig,
    path: &'a Path,
}

impl Reading<'_> {
    fn table<R: std::io::Read>(&self, mut reader: csv::Reader<R>) -> Result<Table, PlotError> {
        let header: Vec<String> = reader
            .headers()
            .map_err(|source| self.unreadable(source))?
            .iter()
            .map(str::to_owned)
            .collect();
        if header.iter().all(String::is_empty) {
            return Err(self.empty());
        }
        let (columns, x, y) = self.columns(&header)?;
        let (series, rows) = self.series(&mut reader, &columns, (&x, &y))?;
        if rows == 0 {
            return Err(self.empty());
        }
        let mut series: Vec<Series> = series.into_iter().filter(|it| !it.points.is_empty()).collect();
        if series.is_empty() {
            return Err(PlotError::NoNumbers {
                path: self.path.to_owned(),
                column: y.name,
                other: x.name,
            });
        }
        series.sort_by_key(|series| std::cmp::Reverse(series.points.len()));
        for series in &mut series {
            // Records of different CPUs can change places.
            series.points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            if self.config.sum {
                add_up(&mut series.points);
            }
        }
        Ok(Table {
            x: x.named(columns.x_is_time),
            y: y.summed(self.config.sum),
            series,
        })
    }

    fn columns(&self, header: &[String]) -> Result<(Columns, Axis, Axis), PlotError> {
        let found = |name: &String| self.column(header, name);
        let y = found(&self.config.y)?;
        let x = match &self.config.x {
            Some(name) => Some(found(name)?),
            None => header.iter().position(|name| is_time(header, name)),
        };
        let by = match &self.config.by {
            Some(name) => Some(found(name)?),
            None => header.iter().position(|name| name == WHO),
        };
        let axis = |column: usize| Axis {
            name: header[column].clone(),
            unit: if is_time(header, &header[column]) {
                Unit::Nanoseconds
            } else {
                unit_of(&header[column])
            },
        };
        let record = || Axis {
            name: "record".to_owned(),
            unit: Unit::None,
        };
        let columns = Columns {
            x,
            x_is_time: x.is_some_and(|x| is_time(header, &header[x])),
            y,
            by,
            kind: header.iter().position(|name| name == KIND),
        };
        Ok((columns, x.map_or_else(record, axis), axis(y)))
    }

    /// A column by its name; upper and lower case matter only where two differ in nothing else.
    fn column(&self, header: &[String], name: &str) -> Result<usize, PlotError> {
        let exact = header.iter().position(|column| column == name);
        let alike = || header.iter().position(|column| column.eq_ignore_ascii_case(name));
        exact.or_else(alike).ok_or_else(|| PlotError::NoColumn {
            path: self.path.to_owned(),
            column: name.to_owned(),
            columns: header.to_vec(),
        })
    }

    /// The points by series, and how many records there were.
    fn series<R: std::io::Read>(
        &self,
        reader: &mut csv::Reader<R>,
        columns: &Columns,
        (x_axis, y_axis): (&Axis, &Axis),
    ) -> Result<(Vec<Series>, u64), PlotError> {
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut series: Vec<Series> = Vec::new();
        let mut row = csv::StringRecord::new();
        let mut start = None;
        let mut rows = 0;
        while reader
            .read_record(&mut row)
            .map_err(|source| self.unreadable(source))?
        {
            if columns.kind.is_some_and(|kind| &row[kind] == LOST) {
                continue;
            }
            let index = Number::Whole(rows);
            rows += 1;
            let x = match columns.x {
                Some(column) => self.number(&row, column, x_axis)?,
                None => Some(index),
            };
            let Some((x, y)) = x.zip(self.number(&row, columns.y, y_axis)?) else {
                continue;
            };
            let x = if columns.x_is_time {
                x.since(*start.get_or_insert(x))
            } else {
                x.value()
            };
            let name = columns.by.map_or("", |column| &row[column]);
            let number = numbers.get(name).copied().unwrap_or_else(|| {
                numbers.insert(name.to_owned(), series.len());
                series.push(Series {
                    name: name.to_owned(),
                    points: Vec::new(),
                });
                series.len() - 1
            });
            series[number].points.push((x, y.value()));
        }
        Ok((series, rows as u64))
    }

    /// The number in a cell; none = it is empty.
    fn number(
        &self,
        row: &csv::StringRecord,
        column: usize,
        axis: &Axis,
    ) -> Result<Option<Number>, PlotError> {
        let cell = row[column].trim();
        if cell.is_empty() {
            return Ok(None);
        }
        Number::parse(cell)
            .map(Some)
            .ok_or_else(|| PlotError::NotNumeric {
                path: self.path.to_owned(),
                column: axis.name.clone(),
                line: row.position().map_or(0, csv::Position::line),
                cell: crate::record::escape::escaped(cell).into_owned(),
            })
    }

    fn unreadable(&self, source: csv::Error) -> PlotError {
        PlotError::Read {
            path: self.path.to_owned(),
            source,
        }
    }

    fn empty(&self) -> PlotError {
        PlotError::Empty {
            path: self.path.to_owned(),
        }
    }
}
