//! A unit's table of lines.
use std::cell::RefCell;
use std::sync::Arc;

use gimli::{DebugLineOffset, IncompleteLineProgram, LineProgramHeader, UnitRef};

use super::units::{Slice, Units};

/// The longest path that is believed, bytes.
const MAX_PATH: usize = 1 << 14;

/// What a byte of the table costs of the budget, as its rows take memory.
const ROWS_COST: u64 = 8;

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u32,
    line: u32,
}

/// A run of instructions without gaps.
#[derive(Debug)]
struct Sequence {
    begin: u64,
    end: u64,
    rows: std::ops::Range<usize>,
}

/// Which line each address of a unit belongs to.
#[derive(Debug)]
pub(super) struct LineTable<'a> {
    header: LineProgramHeader<Slice<'a>>,
    folder: Option<Slice<'a>>,
    rows: Vec<Row>,
    sequences: Vec<Sequence>,
    /// Names that were put together already, by number.
    names: RefCell<Vec<Option<Arc<str>>>>,
}

impl<'a> LineTable<'a> {
    pub(super) fn read(
        units: &Units<'a>,
        unit: UnitRef<'_, Slice<'a>>,
        offset: DebugLineOffset,
    ) -> Option<Self> {
        let (folder, name) = (unit.comp_dir, unit.name);
        let address_size = unit.header.address_size();
        let program: IncompleteLineProgram<Slice<'a>> = unit
            .dwarf
            .debug_line
            .program(offset, address_size, folder, name)
            .ok()?;
        let header = program.header().clone();
        units.spend(ROWS_COST.saturating_mul(header.unit_length() as u64))?;
        let mut table = Self {
            header,
            folder,
            rows: Vec::new(),
            sequences: Vec::new(),
            names: RefCell::default(),
        };
        let _complete = table.read_rows(program);
        table.rows.shrink_to_fit();
        table.sequences.sort_unstable_by_key(|sequence| sequence.begin);
        Some(table)
    }

    /// Up to the first damage.
    fn read_rows(&mut self, program: IncompleteLineProgram<Slice<'a>>) -> Option<()> {
        let mut first = 0;
        let mut rows = program.rows();
        while let Some((_, row)) = rows.next_row().ok()? {
            if row.end_sequence() {
                let begin = self.rows.get(first).map_or(0, |row| row.address);
                // What the linker has left out is said to be at 0.
                if begin != 0 && begin < row.address() {
                    self.sequences.push(Sequence {
                        begin,
                        end: row.address(),
                        rows: first..self.rows.len(),
                    });
                } else {
                    self.rows.truncate(first);
                }
                first = self.rows.len();
                continue;
            }
            let new = Row {
                address: row.address(),
                file: row.file_index() as u32,
                line: row.line().map_or(0, std::num::NonZeroU64::get) as u32,
            };
            match self.rows[first..].last_mut() {
                // The last of several rows of one address counts.
                Some(last) if last.address == new.address => *last = new,
                Some(last) if last.address > new.address => return None,
                Some(_) | None => self.rows.push(new),
            }
        }
        Some(())
    }

    /// File number and line of an address; 0 = code that belongs to no line.
    pub(super) fn at(&self, address: u64) -> Option<(u64, u32)> {
        let after = self
            .sequences
            .partition_point(|sequence| sequence.begin <= address);
        let sequence = self.sequences.get(after.checked_sub(1)?)?;
        if address >= sequence.end {
            return None;
        }
        let rows = self.rows.get(sequence.rows.clone())?;
        let after = rows.partition_point(|row| row.address <= address);
        let row = rows.get(after.checked_sub(1)?)?;
        Some((u64::from(row.file), row.line))
    }

    /// Address, file number and line of all rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u64, u64, u32)> {
        let rows = self
            .sequences
            .iter()
            .filter_map(|sequence| self.rows.get(sequence.rows.clone()));
        rows.flatten()
            .map(|row| (row.address, u64::from(row.file), row.line))
    }

    /// Beginnings and ends of what it tells about.
    pub(super) fn sequences(&self) -> impl Iterator<Item = (u64, u64)> {
        self.sequences
            .iter()
            .map(|sequence| (sequence.begin, sequence.end))
    }

    /// The path of a file: with the folder of the compilation, where it is relative.
    pub(super) fn file(
        &self,
        units: &Units<'a>,
        unit: UnitRef<'_, Slice<'a>>,
        index: u64,
    ) -> Option<Arc<str>> {
        let position = usize::try_from(index).ok()?;
        if let Some(Some(name)) = self.names.borrow().get(position) {
            return Some(Arc::clone(name));
        }
        let name: Arc<str> = self.path(unit, index)?.into();
        units.spend(name.len() as u64)?;
        let mut names = self.names.borrow_mut();
        if names.len() <= position {
            names.resize(position + 1, None);
        }
        names[position] = Some(Arc::clone(&name));
        Some(name)
    }

    fn path(&self, unit: UnitRef<'_, Slice<'a>>, index: u64) -> Option<String> {
        let file = self.header.file(index)?;
        let mut path = self.folder.map(text).unwrap_or_default();
        // Folder 0 is that of the compilation.
        if file.directory_index() != 0
            && let Some(folder) = file.directory(&self.header)
        {
            push(&mut path, &text(unit.attr_string(folder).ok()?));
        }
        push(&mut path, &text(unit.attr_string(file.path_name()).ok()?));
        Some(path)
    }
}

fn text(bytes: Slice<'_>) -> String {
    let bytes = bytes.slice();
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_PATH)]).into_owned()
}

fn push(path: &mut String, part: &str) {
    if part.starts_with('/') {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(part);
}
