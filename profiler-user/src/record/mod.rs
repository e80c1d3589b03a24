//! Output rows: named columns that carry units.
//!
//! A record borrows what it shows: names are interned once by whoever fills it, so that a row costs no allocation.
//! This module knows neither where records come from nor who writes them.
use std::borrow::Cow;

pub mod escape;
mod event;
mod function;
mod function_memory;

pub use event::EventRecord;
pub use function::{CallKind, FunctionRecord};
pub use function_memory::{FunctionMemoryRecord, ProcessMemory};

/// What the records of calls look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordForm {
    /// [`FunctionRecord`].
    #[default]
    Function,
    /// [`FunctionMemoryRecord`].
    FunctionMemory,
    /// [`EventRecord`].
    Event,
}

impl RecordForm {
    /// Their columns.
    pub const fn schema(self) -> Schema {
        match self {
            Self::Function => FunctionRecord::SCHEMA,
            Self::FunctionMemory => FunctionMemoryRecord::SCHEMA,
            Self::Event => EventRecord::SCHEMA,
        }
    }
}

/// What a column's numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// No unit: a name, an identifier, a count.
    None,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// A line of a source file.
    Line,
}

/// A column of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as in the header.
    pub name: &'static str,
    /// What its numbers count.
    pub unit: Unit,
    /// The least width of its cells in text output.
    pub width: usize,
    /// What it says.
    pub doc: &'static str,
}

/// The columns of one kind of record, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What the records are called.
    pub name: &'static str,
    /// Its columns.
    pub columns: Cow<'static, [Column]>,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Not known, or it does not apply.
    Empty,
    /// Words.
    Text(&'a str),
    /// A number in the column's unit.
    Number(u64),
    /// One that can be negative.
    Signed(i64),
}

/// One row: as many values as its schema has columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The cells, in the order of [`Schema::columns`].
    pub values: &'a [Value<'a>],
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(u64::from(number))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Signed(number)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value<'_> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Empty, Into::into)
    }
}

/// Declares a kind of record in one place: its struct, its schema and its cells.
///
/// `field: type = "column name", unit, least text width;`
macro_rules! record {
    ($(#[doc = $doc:literal])+ $name:ident as $kind:literal {
        $($(#[doc = $column_doc:literal])+ $field:ident: $type:ty = $column:literal, $unit:ident, $width:literal;)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a> {
            $($(#[doc = $column_doc])+ pub $field: $type,)+
        }

        impl<'a> $name<'a> {
            /// Its columns.
            pub const SCHEMA: $crate::record::Schema = $crate::record::Schema {
                name: $kind,
                columns: std::borrow::Cow::Borrowed(&[$($crate::record::Column {
                    name: $column,
                    unit: $crate::record::Unit::$unit,
                    width: $width,
                    doc: concat!($($column_doc),+),
                },)+]),
            };

            /// Its cells, in the order of the columns.
            #[inline]
            pub fn values(&self) -> [$crate::record::Value<'a>; [$($column),+].len()] {
                [$(self.$field.into(),)+]
            }
        }
    };
}
use record;
