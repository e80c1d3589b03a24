//! What is known of an object's functions while a plan is made.
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use iced_x86::{Decoder, DecoderOptions, FlowControl};

use super::body::{self, Body, Surroundings};
use super::callees;
use crate::object::{Code, Function, FunctionKind, ObjectFile, names};

/// The most that is searched of code that may be a fragment, bytes.
const MAX_UNNAMED_FRAGMENT: u64 = 4096;

/// How often each byte of code is followed at most, on average.
const MAX_PASSES: u64 = 16;

/// An object with its code.
pub(super) struct Analysis<'a> {
    pub(super) file: &'a ObjectFile,
    pub(super) code: &'a Code,
    /// Bytes of functions that may still be followed.
    budget: AtomicU64,
}

impl<'a> Analysis<'a> {
    /// An analysis that follows each byte of code a few times at most: functions overlap in damaged files only.
    pub(super) fn new(file: &'a ObjectFile, code: &'a Code) -> Self {
        let size = file
            .segments()
            .executable()
            .fold(0_u64, |size, segment| size.saturating_add(segment.size));
        Self {
            file,
            code,
            budget: AtomicU64::new(size.saturating_mul(MAX_PASSES)),
        }
    }

    /// What this function does.
    pub(super) fn body(&self, function: &Function) -> Body {
        let spend = |left: u64| left.checked_sub(function.size);
        let affordable = self
            .budget
            .try_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok();
        if function.size == 0 || !affordable {
            return Body {
                undecodable: true,
                ..Body::default()
            };
        }
        body::follow(self, function.address, function.end())
    }

    /// Whether code without a name jumps into the middle of a function. Its unwind table does not tell it from a
    /// function where it is entered before a stack frame is set up.
    fn goes_back_into(&self, fragment: &Function, function: &Function) -> bool {
        let end = fragment
            .end()
            .min(fragment.address.saturating_add(MAX_UNNAMED_FRAGMENT));
        let Some(bytes) = self.code.bytes(fragment.address, end) else {
            return false;
        };
        let inside = function.address + 1..function.end();
        Decoder::with_ip(64, bytes, fragment.address, DecoderOptions::NONE)
            .iter()
            .any(|instruction| {
                let jumps = matches!(
                    instruction.flow_control(),
                    FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
                );
                jumps && inside.contains(&instruction.near_branch_target())
            })
    }

    fn is_part_of(&self, fragment: &Function, function: &Function) -> bool {
        let mut fragment_names = self.file.names(fragment).peekable();
        let unnamed = |function| self.file.names(function).next().is_none();
        if fragment_names.peek().is_none() || unnamed(function) {
            return true;
        }
        fragment_names.any(|fragment| {
            let parent = names::fragment_of(fragment.raw);
            self.file.names(function).any(|name| parent == Some(name.raw))
        })
    }
}

impl Surroundings for Analysis<'_> {
    fn code(&self, start: u64, end: u64) -> Option<&[u8]> {
        self.code.bytes(start, end)
    }

    fn fragment(&self, function: u64, address: u64) -> Option<(u64, u64)> {
        let fragment = &self.file.functions()[self.file.function_containing(address)?];
        let function = &self.file.functions()[self.file.function_at(function)?];
        let owned = match fragment.kind {
            FunctionKind::Fragment => self.is_part_of(fragment, function),
            FunctionKind::Ordinary => {
                fragment.address == address
                    && self.file.names(fragment).next().is_none()
                    && self.goes_back_into(fragment, function)
            }
            FunctionKind::Ifunc => false,
        };
        owned.then(|| (fragment.address, fragment.end()))
    }

    fn landing_pads(&self, start: u64) -> Vec<u64> {
        let index = self.file.function_at(start);
        let mut pads = index.map_or_else(Vec::new, |index| {
            self.file
                .landing_pads(self.file.functions()[index].landing_table, start)
        });
        pads.extend(self.file.go_resume_point(start));
        pads
    }

    fn import_at(&self, stub: u64) -> Option<&str> {
        self.file.import_at(stub)
    }

    fn import_in_slot(&self, slot: u64) -> Option<&str> {
        self.file.import_in_slot(slot)
    }

    fn read_memory(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.file.read_memory(address, buffer)
    }
}

/// Which functions of an object neither unwind nor switch stacks, nor anything that they call.
pub(super) struct Harmless {
    verdicts: HashMap<usize, bool>,
}

impl Harmless {
    /// Judges `functions` (index and body), following their calls within the object.
    pub(super) fn judge(analysis: &Analysis<'_>, functions: &[(usize, &Body)]) -> Self {
        let mut verdicts = HashMap::new();
        // Who calls whom, from the callee's side: a harmful callee makes its callers harmful.
        let mut callers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut harmful = Vec::new();
        let mut pending = Vec::new();
        for (index, body) in functions {
            visit(
                analysis,
                (*index, body),
                &mut verdicts,
                &mut harmful,
                &mut |callee| {
                    callers.entry(callee).or_default().push(*index);
                    pending.push(callee);
                },
            );
        }
        while let Some(index) = pending.pop() {
            if verdicts.contains_key(&index) {
                continue;
            }
            let body = analysis.body(&analysis.file.functions()[index]);
            visit(
                analysis,
                (index, &body),
                &mut verdicts,
                &mut harmful,
                &mut |callee| {
                    callers.entry(callee).or_default().push(index);
                    pending.push(callee);
                },
            );
        }
        while let Some(index) = harmful.pop() {
            for caller in callers.remove(&index).unwrap_or_default() {
                if verdicts.insert(caller, false) == Some(true) {
                    harmful.push(caller);
                }
            }
        }
        Self { verdicts }
    }

    /// The verdict on a function.
    pub(super) fn has(&self, index: usize) -> bool {
        self.verdicts.get(&index).copied().unwrap_or(false)
    }
}

/// Gives a first verdict on a function, from what it does itself, and names its callees.
fn visit(
    analysis: &Analysis<'_>,
    (index, body): (usize, &Body),
    verdicts: &mut HashMap<usize, bool>,
    harmful: &mut Vec<usize>,
    callee: &mut dyn FnMut(usize),
) {
    let known_by_name = analysis
        .file
        .names(&analysis.file.functions()[index])
        .any(|name| callees::is_harmless(name.raw));
    if known_by_name {
        verdicts.insert(index, true);
        return;
    }
    let mut harmless = !body.undecodable && !body.unseen_exit && !body.unknown_call && !body.replaces_stack;
    let mut found = Vec::new();
    if harmless {
        for address in &body.callees {
            match analysis.file.function_at(*address) {
                Some(function) => found.push(function),
                None => harmless = false,
            }
        }
    }
    verdicts.insert(index, harmless);
    if harmless {
        found.into_iter().for_each(callee);
    } else {
        harmful.push(index);
    }
}
