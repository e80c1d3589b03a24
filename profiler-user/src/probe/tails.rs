//! Functions that end by jumping to another one of their file, which then returns in their place: what they return is seen
//! at that one's exits.
use super::analysis::Analysis;
use super::body::{Body, Exit, Surroundings as _};

/// How many jumps are followed, one after the other.
const MAX_JUMPS: u32 = 4;

/// The same body with the exits of the functions that it jumps to in place of the jumps. A jump to a function for which
/// `returns_itself` holds, or out of the file, stays one.
pub(super) fn follow(analysis: &Analysis<'_>, body: &Body, returns_itself: &dyn Fn(usize) -> bool) -> Body {
    let mut followed = body.clone();
    followed.exits.clear();
    let unseen = collect(analysis, body, (returns_itself, MAX_JUMPS), &mut followed.exits);
    followed.unseen_exit |= unseen;
    for exit in &mut followed.exits {
        exit.is_shared = !body.exits.iter().any(|own| own.address == exit.address);
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
        let Some(target) = exit.target.filter(|_| exit.is_jump) else {
            exits.push(*exit);
            continue;
        };
        let function = analysis.file.function_at(target);
        match function {
            Some(index) if !returns_itself(index) && analysis.import_at(target).is_none() => {
                if jumps == 0 {
                    unseen = true;
                    continue;
                }
                let other = analysis.body(&analysis.file.functions()[index]);
                unseen |= collect(analysis, &other, (returns_itself, jumps - 1), exits);
            }
            Some(_) | None => exits.push(*exit),
        }
    }
    unseen
}
