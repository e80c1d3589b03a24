//! The plan of a session, for `--dry-run`.
use std::collections::BTreeMap;

use super::grid::{GridColumn, Shape, lines};
use super::number::thousands;
use super::{View, plan_text};
use crate::probe::plan::{LeftOut, Plan, PlannedFunction, Price, Returns};
use crate::record::escape::escaped;
use crate::resolve::FunctionLines;

/// Names given for each reason to leave functions out.
const NAMED: usize = 5;

/// The whole plan: every function, what is left out, totals. Ends with a line end.
pub fn render(plan: &Plan, lines: &FunctionLines, view: &View) -> String {
    let mut text = functions(plan, lines, view);
    text.push(String::new());
    text.extend(left_out(&plan.left_out));
    text.extend(totals(plan));
    text.extend(reasons(&plan.functions));
    text.join("\n") + "\n"
}

fn functions(plan: &Plan, sources: &FunctionLines, view: &View) -> Vec<String> {
    let column = |header: &str, shape, drop| GridColumn {
        header: header.to_owned(),
        shape,
        drop,
    };
    let mut columns = vec![
        column("function", Shape::Name(20), 0),
        column("object", Shape::Name(8), 1),
        column("site", Shape::Word, 0),
        column("cost", Shape::Word, 0),
        column("returns", Shape::Word, 0),
        column("why", Shape::Word, 2),
    ];
    // Without debug information the column would be empty.
    let has_sources = sources.known() > 0;
    if has_sources {
        columns.insert(2, column("source", Shape::Name(12), 3));
    }
    let cells: Vec<Vec<String>> = plan
        .functions
        .iter()
        .enumerate()
        .map(|(number, function)| {
            let object = plan
                .objects
                .get(function.object)
                .map_or("", |object| object.name.as_str());
            let mut cells = vec![
                name(function),
                escaped(object).into_owned(),
                plan_text::site(&function.entry),
                function.entry.price.to_string(),
                plan_text::returns(&function.returns),
                plan_text::returns_reason(&function.returns).to_owned(),
            ];
            if has_sources {
                let source = sources.get(number).map(ToString::to_string);
                cells.insert(2, escaped(&source.unwrap_or_default()).into_owned());
            }
            cells
        })
        .collect();
    let mut lines = lines(&columns, &cells, view.width);
    lines[0] = view.style.bold(&lines[0]);
    lines
}

fn name(function: &PlannedFunction) -> String {
    let mut name = escaped(&function.name).into_owned();
    if !function.aliases.is_empty() {
        name = format!("{name} (also {})", escaped(&function.aliases.join(", ")));
    }
    if function.focus {
        format!("{name} [focus]")
    } else {
        name
    }
}

fn left_out(left_out: &[LeftOut]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for function in left_out {
        by_reason
            .entry(plan_text::left_out_reason(function.reason))
            .or_default()
            .push(&function.name);
    }
    let line = |(reason, names): (&str, Vec<&str>)| {
        let mut named = escaped(&names[..names.len().min(NAMED)].join(", ")).into_owned();
        if names.len() > NAMED {
            named = format!("{named}, …");
        }
        format!("left out {}: {reason}: {named}", thousands(names.len() as u64))
    };
    by_reason.into_iter().map(line).collect()
}

fn totals(plan: &Plan) -> [String; 3] {
    let count = |test: fn(&PlannedFunction) -> bool| {
        thousands(plan.functions.iter().filter(|function| test(function)).count() as u64)
    };
    let exits: usize = plan
        .functions
        .iter()
        .map(|function| match &function.returns {
            Returns::ExitSites(sites, _) => sites.len(),
            Returns::ReturnProbe(_) | Returns::EntryOnly(_) => 0,
        })
        .sum();
    [
        format!(
            "functions: {} in {}, {} left out",
            thousands(plan.functions.len() as u64),
            files(plan.objects.len()),
            thousands(plan.left_out.len() as u64)
        ),
        format!(
            "entries:   {} cheap, {} single-stepped",
            count(|function| function.entry.price == Price::Emulated),
            count(|function| function.entry.price == Price::SingleStepped)
        ),
        format!(
            "returns:   {} by return probes, {} by {} exit sites, {} not seen",
            count(|function| matches!(function.returns, Returns::ReturnProbe(_))),
            count(|function| matches!(function.returns, Returns::ExitSites(..))),
            thousands(exits as u64),
            count(|function| matches!(function.returns, Returns::EntryOnly(_)))
        ),
    ]
}

/// How many functions' returns are seen in each way, for each reason: also where the table has no room for them.
fn reasons(functions: &[PlannedFunction]) -> Vec<String> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for function in functions {
        let form = match function.returns {
            Returns::ReturnProbe(_) => "return probe",
            Returns::ExitSites(..) => "exit sites",
            Returns::EntryOnly(_) => "not seen",
        };
        *counts
            .entry((form, plan_text::returns_reason(&function.returns)))
            .or_default() += 1;
    }
    let line = |((form, reason), count)| format!("           {form}: {} because {reason}", thousands(count));
    counts.into_iter().map(line).collect()
}

fn files(count: usize) -> String {
    if count == 1 {
        "1 file".to_owned()
    } else {
        format!("{} files", thousands(count as u64))
    }
}
