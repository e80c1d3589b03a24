//! The small symbol table that some distributions leave in stripped files: an ELF file of its own, compressed in the
//! section `.gnu_debugdata`, with the names of the functions that the dynamic symbol table does not tell.
use object::elf;
use object::read::ReadRef;
use object::read::elf::SectionHeader as _;

use super::elf::Elf;
use super::symbols::Symbols;
use super::{ObjectError, xz};

/// The largest table that is believed, bytes: the largest ones known are about a tenth of it.
const MAX_SIZE: u64 = 128 << 20;

/// Adds the table's functions. Their addresses are those of the file. A damaged table is said, and the file is used
/// without it.
pub(super) fn add<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, symbols: &mut Symbols) {
    let Some(section) = elf.named(b".gnu_debugdata") else {
        return;
    };
    let added = section
        .data(elf.endian, elf.data)
        .map_err(|_unreadable| "it lies outside of the file".to_owned())
        .and_then(|packed| xz::unpack(packed, MAX_SIZE).map_err(|error| error.to_string()))
        .and_then(|bytes| add_from(&bytes, elf.name, symbols).map_err(|error| error.to_string()));
    if let Err(error) = added {
        log::warn!(
            "`{}`: some functions have no name: failed to read `.gnu_debugdata`: {error}",
            elf.name
        );
    }
}

fn add_from(bytes: &[u8], name: &str, symbols: &mut Symbols) -> Result<(), ObjectError> {
    symbols.extend_budget(bytes.len() as u64 * 4);
    let (inner, _header) = Elf::open(bytes, name)?;
    match inner.of_type(elf::SHT_SYMTAB).next() {
        Some(section) => symbols.add_table(&inner, section),
        None => Ok(()),
    }
}
