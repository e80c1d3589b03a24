//! The unwind table (`.eh_frame`): where functions start and end even where no symbol says so.
use std::collections::HashMap;

use gimli::{
    BaseAddresses, CallFrameInstruction, CieOrFde, EhFrame, EndianSlice, RunTimeEndian, UnwindSection as _,
};

/// One entry of the unwind table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) start: u64,
    pub(super) length: u64,
    /// Virtual address of its language-specific data: where exceptions land. 0 = none.
    pub(super) landing_table: u64,
    /// It starts in the middle of a function: its stack frame is already set up.
    pub(super) fragment: bool,
}

type Reader<'data> = EndianSlice<'data, RunTimeEndian>;

/// Reads the section at this address, up to its first damage; the entries come sorted.
pub(super) fn read(section: &[u8], address: u64) -> Vec<Frame> {
    let table = EhFrame::new(section, RunTimeEndian::Little);
    let bases = BaseAddresses::default().set_eh_frame(address);
    let mut cies = HashMap::new();
    let mut frames = Vec::new();
    let mut entries = table.entries(&bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let fde = partial.parse(|table, bases, offset| match cies.get(&offset) {
            Some(cie) => Ok(gimli::CommonInformationEntry::clone(cie)),
            None => table.cie_from_offset(bases, offset).inspect(|cie| {
                cies.insert(offset, cie.clone());
            }),
        });
        let Ok(fde) = fde else { continue };
        if fde.len() == 0
            || fde.initial_address() == 0
            || fde.initial_address().checked_add(fde.len()).is_none()
        {
            continue;
        }
        let landing_table = match fde.lsda() {
            Some(gimli::Pointer::Direct(address)) => address,
            Some(gimli::Pointer::Indirect(_)) | None => 0,
        };
        frames.push(Frame {
            start: fde.initial_address(),
            length: fde.len(),
            landing_table,
            fragment: starts_inside_a_function(&fde, &table, &bases),
        });
    }
    frames.sort_unstable_by_key(|frame| frame.start);
    frames.dedup_by_key(|frame| frame.start);
    frames
}

/// A function starts with nothing but its return address on the stack, so its unwind program begins with an
/// advance; a fragment of one describes a frame that is already there.
fn starts_inside_a_function(
    fde: &gimli::FrameDescriptionEntry<Reader<'_>>,
    table: &EhFrame<Reader<'_>>,
    bases: &BaseAddresses,
) -> bool {
    match fde.instructions(table, bases).next() {
        Ok(Some(
            CallFrameInstruction::DefCfa { .. }
            | CallFrameInstruction::DefCfaOffset { .. }
            | CallFrameInstruction::DefCfaRegister { .. }
            | CallFrameInstruction::DefCfaExpression { .. }
            | CallFrameInstruction::Offset { .. },
        )) => true,
        Ok(_) | Err(_) => false,
    }
}

/// The frame that starts at this address.
pub(super) fn starting_at(frames: &[Frame], address: u64) -> Option<&Frame> {
    frames
        .binary_search_by_key(&address, |frame| frame.start)
        .ok()
        .map(|index| &frames[index])
}
