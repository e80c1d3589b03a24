//! The probe sites of the entries of one object's functions.
use iced_x86::{Decoder, DecoderOptions};

use super::analysis::Analysis;
use super::body::Body;
use super::intruders::{self, Jump, Opening};
use super::parallel;
use super::plan::{LeftOutReason, Price, Site, SiteChoice};
use super::selection::Selected;
use super::site::{self, ArgumentRegisters, Prologue, Start};
use crate::object::{Function, Machine};

/// The largest function that is decoded to learn whether it has a jump, bytes.
const MAX_SWEEP: u64 = 1 << 14;

/// Chooses a site for each of the selected functions.
pub(super) fn choose(
    analysis: &Analysis<'_>,
    selected: &[Selected],
    bodies: &[Body],
    choice: SiteChoice,
) -> Vec<Result<Site, LeftOutReason>> {
    let functions = analysis.file.functions();
    let cases: Vec<(&Function, &Body)> = selected
        .iter()
        .map(|selected| &functions[selected.function])
        .zip(bodies)
        .collect();
    let arguments = |position: usize| {
        let allocator = selected
            .get(position)
            .and_then(|selected: &Selected| selected.allocator);
        allocator.map_or(ArgumentRegisters::none(), |allocator| {
            ArgumentRegisters::first(allocator.shape.arguments())
        })
    };
    let numbered: Vec<_> = cases.iter().enumerate().collect();
    let mut sites = parallel::map(&numbered, |(position, (function, body))| {
        entry_site(analysis, (function, body), (choice, arguments(*position)), &[])
    });
    let mut openings: Vec<Opening> = cases
        .iter()
        .zip(&sites)
        .filter_map(|((function, _), site)| opening(function, site.ok()?))
        .collect();
    if openings.is_empty() {
        return sites;
    }
    openings.sort_unstable_by_key(|opening| opening.entry);
    let mut known = vec![None; functions.len()];
    for (selected, body) in selected.iter().zip(bodies) {
        known[selected.function] = Some(body);
    }
    let is_near_jump = |jump| is_jump(analysis, &known, jump);
    let intrusions = intruders::targets(analysis.code, &openings, &is_near_jump);
    for (position, ((function, body), site)) in cases.iter().zip(&mut sites).enumerate() {
        let opening = site.ok().and_then(|site| opening(function, site));
        if opening.is_some_and(|opening| site::is_entered_before(&intrusions, opening.entry, opening.site)) {
            *site = entry_site(
                analysis,
                (function, body),
                (choice, arguments(position)),
                &intrusions,
            );
        }
    }
    sites
}

/// What nothing may jump into; none if the entry itself is probed.
fn opening(function: &Function, site: Site) -> Option<Opening> {
    (site.distance > 0).then(|| Opening {
        entry: function.address,
        site: function.address + u64::from(site.distance),
        end: function.end(),
    })
}

/// Whether there is such a jump in the code, and not merely bytes that look like it.
fn is_jump(analysis: &Analysis<'_>, bodies: &[Option<&Body>], jump: Jump) -> bool {
    let Some(index) = analysis.file.function_containing(jump.source) else {
        return true;
    };
    if let Some(body) = bodies[index].filter(|body| !body.undecodable && !body.unseen_exit) {
        return [&body.callees, &body.targets]
            .iter()
            .any(|targets| targets.binary_search(&jump.target).is_ok());
    }
    let function = &analysis.file.functions()[index];
    let Some(bytes) = analysis.code.bytes(function.address, function.end()) else {
        return true;
    };
    if function.size > MAX_SWEEP {
        return true;
    }
    let mut decoder = Decoder::with_ip(64, bytes, function.address, DecoderOptions::NONE);
    let reached = decoder
        .iter()
        .map(|instruction| instruction.ip())
        .find(|address| *address >= jump.source);
    reached == Some(jump.source)
}

fn entry_site(
    analysis: &Analysis<'_>,
    (function, body): (&Function, &Body),
    (choice, arguments): (SiteChoice, ArgumentRegisters),
    intrusions: &[u64],
) -> Result<Site, LeftOutReason> {
    let offset = analysis
        .file
        .segments()
        .code_offset(function.address)
        .ok_or(LeftOutReason::NotCode)?;
    if analysis.file.machine() != Machine::X86_64 {
        return Ok(Site {
            offset,
            distance: 0,
            price: Price::SingleStepped,
        });
    }
    let code_end = analysis
        .file
        .segments()
        .code_end(function.address)
        .ok_or(LeftOutReason::NotCode)?;
    let end = if function.size == 0 {
        code_end.min(function.address + 16)
    } else {
        function.end()
    };
    let code = analysis
        .code
        .bytes(function.address, end)
        .ok_or(LeftOutReason::Undecodable)?;
    let is_go = analysis.file.has_unknown_go() || analysis.file.go_function(function.address).is_some();
    let prologue = if is_go { Prologue::Go } else { Prologue::Ordinary };
    let chosen = match choice {
        SiteChoice::Entry => site::first(code, function.address)?,
        SiteChoice::Planned => {
            let start = Start {
                code,
                address: function.address,
                body,
                intrusions,
            };
            site::choose(start, (prologue, arguments))?
        }
    };
    Ok(Site {
        offset: offset + u64::from(chosen.distance),
        distance: chosen.distance,
        price: chosen.price,
    })
}
