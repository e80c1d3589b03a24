//! Functions that end by jumping to another one of their file, which then returns in their place: what they return is seen
//! at that one's exits.
use profiler_common::cookie::Leave;

use super::allocators;
use super::analysis::Analysis;
use super::body::{Body, Exit, Surroundings as _};

/// How many jumps are followed, one after the other.
const MAX_JUMPS: u32 = 4;

/// Functions that return their first argument.
const RETURNING_FIRST: [&str; 6] = [
    "memset",
    "memcpy",
    "memmove",
    "__memset_chk",
    "__memcpy_chk",
    "__memmove_chk",
];

/// The same body with the exits of the functions that it jumps to in place of the jumps. A jump to a function for which
/// `returns_itself` holds, or out of the file, stays one.
pub(super) fn follow(analysis: &Analysis<'_>, body: &Body, returns_itself: &dyn Fn(usize) -> bool) -> Body {
    let mut followed = body.clone();
    followed.exits.clear();
    let unseen = collect(analysis, body, (returns_itself, MAX_JUMPS), &mut followed.exits);
    followed.unseen_exit |= unseen;
    for exit in &mut followed.exits {
        let is_own = body.exits.iter().any(|own| own.address == exit.address);
        if exit.leave == Leave::Return && !is_own {
            exit.leave = Leave::Elsewhere;
        }
    }
    followed.exits.sort_unstable();
    followed.exits.dedup();
    followed
}

/// Collects the exits; `true`: not all of them can be seen.
fn collect(
    analysis: &Analysis<'_>,
    body: &Body,
    (returns_itself, jumps): (&dyn Fn(usize) -> bool, u32),
    exits: &mut Vec<Exit>,
) -> bool {
    let mut unseen = body.undecodable || body.unseen_exit;
    for exit in &body.exits {
        if exit.leave == Leave::Return {
            exits.push(*exit);
            continue;
        }
        let Some(target) = exit.target else {
            unseen = true;
            continue;
        };
        if returns_first_argument(analysis, target) {
            exits.push(Exit {
                leave: Leave::FirstArgument,
                ..*exit
            });
            continue;
        }
        // A library may call its own functions as if they were another's.
        let import = analysis.import_at(target);
        let function = match import {
            Some(name) => named(analysis, name),
            None => analysis.file.function_at(target),
        };
        match function {
            Some(index) if returns_itself(index) => exits.push(*exit),
            Some(_) if jumps == 0 => unseen = true,
            Some(index) => {
                let other = analysis.body(&analysis.file.functions()[index]);
                unseen |= collect(analysis, &other, (returns_itself, jumps - 1), exits);
            }
            None if import.is_some_and(allocators::is_known) => exits.push(*exit),
            None => unseen = true,
        }
    }
    unseen
}

/// The function of this file with this symbol.
fn named(analysis: &Analysis<'_>, name: &str) -> Option<usize> {
    let functions = analysis.file.functions().iter();
    let mut numbered = functions.enumerate();
    let found = numbered.find(|(_, function)| analysis.file.names(function).any(|symbol| symbol.raw == name));
    found.map(|(index, _)| index)
}

/// Whether a jump of an allocator leads to a function that returns its first argument: what has no name there is one of
/// those that the dynamic linker chooses by the processor (IFUNC), which are `memset` and its like.
fn returns_first_argument(analysis: &Analysis<'_>, target: u64) -> bool {
    match analysis.import_at(target) {
        Some(name) => RETURNING_FIRST.contains(&name),
        None => analysis.file.imports().is_stub(target),
    }
}
