//! The list of functions.
use serde_json::json;

use super::objects::{self, Found};
use super::{Entry, List, ListError, column};
use crate::cli::list::ListConfig;
use crate::object::{Function, FunctionKind, ObjectFile};
use crate::probe::pattern::Pattern;
use crate::ui::listing::{ListColumn, ListShape};

const COLUMNS: &[ListColumn] = &[
    column("function", ListShape::Name, 0),
    column("object", ListShape::Name, 0),
    column("address", ListShape::Number, 1),
    column("size", ListShape::Number, 2),
];

/// Lists the functions that are asked for, by object and address.
pub(super) fn list(config: &ListConfig) -> Result<List, ListError> {
    let patterns = config
        .patterns
        .iter()
        .map(|text| text.parse::<Pattern>())
        .collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::new();
    for found in objects::find(config)? {
        let patterns: Vec<&Pattern> = patterns
            .iter()
            .filter(|pattern| pattern.matches_object(&found.name, &found.path))
            .collect();
        // As for `attach`: without patterns the program itself is meant.
        let all = config.patterns.is_empty() && found.is_main;
        if !all && patterns.is_empty() {
            continue;
        }
        let Some(file) = found.unless_unreadable(objects::open(&found))? else {
            continue;
        };
        let functions = file.functions().iter();
        let is_meant = |function: &&Function| all || patterns.iter().any(|it| matches(&file, function, it));
        let meant = functions
            .filter(|function| function.kind != FunctionKind::Fragment)
            .filter(is_meant);
        entries.extend(meant.map(|function| entry(&found, &file, function)));
    }
    Ok(List {
        columns: COLUMNS,
        entries,
    })
}

fn matches(file: &ObjectFile, function: &Function, pattern: &Pattern) -> bool {
    let mut names = file.names(function).peekable();
    if names.peek().is_none() {
        return pattern.matches_text(&file.display_name(function));
    }
    names.any(|name| pattern.matches(name.raw))
}

fn entry(found: &Found, file: &ObjectFile, function: &Function) -> Entry {
    let name = file.display_name(function);
    let aliases = file.aliases(function);
    let json = json!({
        "name": name,
        "aliases": aliases,
        "object": found.name,
        "path": found.path.to_string_lossy(),
        "address": function.address,
        "size": function.size,
    });
    let cells = vec![
        name,
        found.name.clone(),
        format!("{:#x}", function.address),
        function.size.to_string(),
    ];
    Entry { cells, json }
}
