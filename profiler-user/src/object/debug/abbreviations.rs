//! Abbreviations: which attributes the entries of a unit have.
use std::collections::HashMap;
use std::sync::Arc;

use gimli::{
    DebugAbbrev, DebugAbbrevOffset, Dwarf, LittleEndian, Reader as _, Section as _, UnitHeader, constants,
};

use super::units::{Slice, slice};

/// More attributes of one entry than any compiler gives. Some take no bytes in the entry, which then would cost much
/// more than its length.
const MAX_ATTRIBUTES: usize = 200;

/// The table at this place of a section, unless an entry of it has more attributes than make sense.
pub(super) fn table(section: &[u8], offset: DebugAbbrevOffset) -> Option<Arc<gimli::Abbreviations>> {
    makes_sense(section.get(offset.0..)?)
        .ok()
        .filter(|sense| *sense)?;
    let section = DebugAbbrev::new(section, LittleEndian);
    section.abbreviations(offset).ok().map(Arc::new)
}

/// Code, kind and whether there are children, then pairs of name and form up to one of zeros; for each entry, up to a zero.
fn makes_sense(table: &[u8]) -> gimli::Result<bool> {
    let mut input = slice(table);
    while !input.is_empty() && input.read_uleb128()? != 0 {
        input.read_uleb128()?;
        input.read_u8()?;
        let mut attributes = 0;
        loop {
            let (name, form) = (input.read_uleb128()?, input.read_uleb128()?);
            if (name, form) == (0, 0) {
                break;
            }
            if form == u64::from(constants::DW_FORM_implicit_const.0) {
                input.read_sleb128()?;
            }
            attributes += 1;
            if attributes > MAX_ATTRIBUTES {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Abbreviations of the units of one file, each table read once and no farther than to the next one.
pub(super) struct Abbreviations<'a> {
    section: &'a [u8],
    /// Where tables start.
    starts: Vec<usize>,
    read: HashMap<usize, Option<Arc<gimli::Abbreviations>>>,
}

impl<'a> Abbreviations<'a> {
    pub(super) fn new(dwarf: &Dwarf<Slice<'a>>, headers: &[UnitHeader<Slice<'a>>]) -> Self {
        let mut starts: Vec<usize> = headers
            .iter()
            .map(|header| header.debug_abbrev_offset().0)
            .collect();
        starts.sort_unstable();
        starts.dedup();
        Self {
            section: dwarf.debug_abbrev.reader().slice(),
            starts,
            read: HashMap::new(),
        }
    }

    pub(super) fn of(&mut self, header: &UnitHeader<Slice<'a>>) -> Option<Arc<gimli::Abbreviations>> {
        let offset = header.debug_abbrev_offset();
        let Self {
            section,
            starts,
            read,
        } = self;
        let table = read.entry(offset.0).or_insert_with(|| {
            let next = starts.partition_point(|start| *start <= offset.0);
            let end = starts
                .get(next)
                .map_or(section.len(), |end| section.len().min(*end));
            table(&section[..end], offset)
        });
        table.clone()
    }
}
