//! What is around functions: namespaces and types. Compilers leave out the linker's name of functions that only one unit
//! sees; their full names are put together from these.
use gimli::{UnitRef, constants};

use super::units::{Slice, Units};

/// Deeper nesting is no programmer's.
const MAX_DEPTH: usize = 64;

#[derive(Debug)]
struct Scope<'a> {
    /// Where its entry starts and ends, bytes from the unit's start.
    begin: usize,
    end: usize,
    parent: Option<usize>,
    /// Empty = it has none.
    name: &'a [u8],
}

/// The scopes of a unit, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Scopes<'a>(Vec<Scope<'a>>);

impl<'a> Scopes<'a> {
    /// Reads the unit, up to its first damage.
    pub(super) fn read(units: &Units<'a>, unit: UnitRef<'_, Slice<'a>>) -> Self {
        let mut scopes = Self::default();
        let _complete = scopes.fill(units, unit);
        scopes
    }

    fn fill(&mut self, units: &Units<'a>, unit: UnitRef<'_, Slice<'a>>) -> Option<()> {
        units.spend(unit.header.length_including_self() as u64)?;
        let mut entries = unit.entries_raw(None).ok()?;
        // Open scopes, and the depth of what is in them.
        let mut open: Vec<(usize, isize)> = Vec::new();
        while !entries.is_empty() {
            let (offset, depth) = (entries.next_offset().0, entries.next_depth());
            while let Some((scope, _)) = open.pop_if(|(_, inside)| *inside > depth) {
                self.0[scope].end = offset;
            }
            let Some(abbreviation) = entries.read_abbreviation().ok()? else {
                continue;
            };
            units.spend_on(abbreviation)?;
            let is_scope = matches!(
                abbreviation.tag(),
                constants::DW_TAG_namespace
                    | constants::DW_TAG_module
                    | constants::DW_TAG_structure_type
                    | constants::DW_TAG_class_type
                    | constants::DW_TAG_union_type
                    | constants::DW_TAG_interface_type
            );
            if !is_scope || !abbreviation.has_children() {
                entries.skip_attributes(abbreviation.attributes()).ok()?;
                continue;
            }
            let mut name: &[u8] = &[];
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute(*spec).ok()?;
                if attribute.name() == constants::DW_AT_name {
                    name = unit
                        .attr_string(attribute.value())
                        .map_or(&[][..], |text| text.slice());
                    units.spend(name.len() as u64)?;
                }
            }
            let parent = open.last().map(|(scope, _)| *scope);
            open.push((self.0.len(), entries.next_depth()));
            self.0.push(Scope {
                begin: offset,
                end: usize::MAX,
                parent,
                name,
            });
        }
        Some(())
    }

    /// The names of the scopes around an entry, the outermost first.
    pub(super) fn around(&self, offset: usize) -> Vec<&'a [u8]> {
        let after = self.0.partition_point(|scope| scope.begin < offset);
        let mut next = after.checked_sub(1);
        let mut names = Vec::new();
        while let Some(scope) = next.and_then(|index| self.0.get(index)) {
            if names.len() == MAX_DEPTH {
                break;
            }
            if offset < scope.end {
                names.push(scope.name);
            }
            next = scope.parent;
        }
        names.reverse();
        names
    }
}
