//! Patterns that name source files: `parser.c:parse_*`, `src/*.rs:*`, `parser.c:120`.
use std::collections::{HashMap, HashSet};

use regex::bytes::Regex;

use super::glob::glob;
use super::pattern::{Pattern, PatternError};
use super::planner::MappedObject;
use crate::object::ObjectFile;
use crate::object::debug::{DebugError, Declaration, Units};

/// What the names of source files end in.
const EXTENSIONS: &[&str] = &[
    "c", "cc", "cpp", "cxx", "c++", "C", "h", "hh", "hpp", "hxx", "h++", "inc", "inl", "ipp", "tcc", "tpp",
    "rs", "go", "zig", "ml", "s", "S", "asm", "f", "F", "f77", "f90", "F90", "f95", "f03", "f08", "d",
    "swift", "m", "mm", "adb", "ads", "pas", "pp", "nim", "cu", "cuh", "java", "kt", "hs", "cr", "v", "vala",
    "y", "l", "jl", "odin",
];

/// Names source files: by their last parts, or by wildcards.
#[derive(Clone, Debug)]
pub(super) struct SourcePattern {
    text: String,
    regex: Option<Regex>,
}

/// Whether a text names source files rather than an object.
pub(super) fn is_source(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or(text);
    // `*.{c,h}`: one of the alternatives tells.
    let name = name.trim_end_matches('}');
    name.rsplit_once(['.', ',', '{'])
        .is_some_and(|(stem, extension)| !stem.is_empty() && EXTENSIONS.contains(&extension))
}

impl SourcePattern {
    pub(super) fn new(text: &str, whole: &str) -> Result<Self, PatternError> {
        let text = text.trim_start_matches("./");
        Ok(Self {
            text: text.to_owned(),
            regex: glob(text, whole)?,
        })
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.regex.is_some()
    }

    /// Whether the path, or its last parts, are what the pattern names.
    pub(super) fn matches(&self, path: &str) -> bool {
        let Some(regex) = &self.regex else {
            let names = |text: &str| {
                let parts = text.split('/').rev().filter(|part| *part != ".");
                parts.map(str::to_owned).collect::<Vec<_>>()
            };
            return names(path).starts_with(&names(&self.text));
        };
        let ends = path.match_indices('/').map(|(slash, _)| slash + 1);
        ends.chain([0])
            .any(|start| regex.is_match(&path.as_bytes()[start..]))
    }
}

/// Which functions of an object the source patterns of a request name.
#[derive(Debug, Default)]
pub(super) struct SourceSets {
    by_pattern: HashMap<String, HashSet<usize>>,
    /// Why there are none.
    pub(super) missing: Option<DebugError>,
}

impl SourceSets {
    /// Reads the object's debug information, if one of the patterns needs it.
    pub(super) fn of<'a>(object: &MappedObject, patterns: impl Iterator<Item = &'a Pattern>) -> Self {
        let mut sets = Self::default();
        let patterns: Vec<&Pattern> = patterns.filter(|pattern| pattern.source().is_some()).collect();
        if !patterns.is_empty()
            && let Err(error) = sets.fill(object, &patterns)
        {
            sets.missing = Some(error);
        }
        sets
    }

    pub(super) fn has(&self, pattern: &Pattern, function: usize) -> bool {
        self.by_pattern
            .get(&pattern.to_string())
            .is_some_and(|functions| functions.contains(&function))
    }

    fn fill(&mut self, object: &MappedObject, patterns: &[&Pattern]) -> Result<(), DebugError> {
        let debug = match object.file.debug().load() {
            Ok(debug) => debug,
            Err(error) => return self.fill_from_go(object, patterns, error),
        };
        let units = debug.units()?;
        let search = Search {
            object,
            declarations: units.declarations(),
            units: &units,
        };
        for pattern in patterns {
            if let Some(source) = pattern.source() {
                let found = match pattern.line() {
                    Some(line) => search.holding(source, line),
                    None => search.declared_in(pattern),
                };
                self.by_pattern.insert(pattern.to_string(), found);
            }
        }
        Ok(())
    }

    /// Go's own table of lines stays when debug information is stripped. It tells where functions are declared.
    fn fill_from_go(
        &mut self,
        object: &MappedObject,
        patterns: &[&Pattern],
        error: DebugError,
    ) -> Result<(), DebugError> {
        let Some(lines) = object.file.load_go_lines() else {
            return Err(error);
        };
        let functions = object.file.functions().iter().enumerate();
        let declared: Vec<(usize, String)> = functions
            .filter_map(|(index, function)| {
                Some((index, lines.declaration(function.address)?.0.into_owned()))
            })
            .collect();
        for pattern in patterns.iter().filter(|pattern| pattern.line().is_none()) {
            let declarations = declared.iter().map(|(index, file)| (*index, file.as_str()));
            let found = declared_in(&object.file, pattern, declarations);
            self.by_pattern.insert(pattern.to_string(), found);
        }
        // Which function a line belongs to is only in debug information.
        if patterns.iter().all(|pattern| pattern.line().is_none()) {
            Ok(())
        } else {
            Err(error)
        }
    }
}

/// The functions that are declared in the files that a pattern names, and that are asked for.
fn declared_in<'a>(
    file: &ObjectFile,
    pattern: &Pattern,
    declarations: impl Iterator<Item = (usize, &'a str)>,
) -> HashSet<usize> {
    let mut verdicts: HashMap<&str, bool> = HashMap::new();
    let mut in_file = |path: &'a str| {
        let source = pattern.source();
        *verdicts
            .entry(path)
            .or_insert_with(|| source.is_some_and(|source| source.matches(path)))
    };
    let is_asked = |index: usize| {
        let function = &file.functions()[index];
        file.names(function).any(|name| pattern.matches(name.raw))
    };
    declarations
        .filter(|(function, path)| in_file(path) && is_asked(*function))
        .map(|(function, _)| function)
        .collect()
}

/// One object's functions and their declarations.
struct Search<'a> {
    object: &'a MappedObject,
    declarations: Vec<Declaration>,
    units: &'a Units<'a>,
}

impl Search<'_> {
    fn function(&self, entry: u64) -> Option<usize> {
        let file = &self.object.file;
        file.function_at(entry)
            .or_else(|| file.function_containing(entry))
    }

    /// The declarations in the files that a pattern names.
    fn declarations(&self, source: &SourcePattern) -> impl Iterator<Item = &Declaration> {
        let mut verdicts: HashMap<&str, bool> = HashMap::new();
        self.declarations.iter().filter(move |declaration| {
            let file = &*declaration.source.file;
            *verdicts.entry(file).or_insert_with(|| source.matches(file))
        })
    }

    fn declared_in(&self, pattern: &Pattern) -> HashSet<usize> {
        let declarations = self.declarations.iter().filter_map(|declaration| {
            let function = self.function(declaration.entry)?;
            Some((function, &*declaration.source.file))
        });
        declared_in(&self.object.file, pattern, declarations)
    }

    /// The functions that have code of this line, also inlined; where no code is of this line, the function around it.
    fn holding(&self, source: &SourcePattern, line: u32) -> HashSet<usize> {
        let matches = |path: &str| source.matches(path);
        let function_of = |address: u64| {
            let entry = self
                .units
                .entry_of(address)
                .and_then(|entry| self.object.file.function_at(entry));
            entry.or_else(|| self.object.file.function_containing(address))
        };
        let addresses = self.units.addresses_of_line(&matches, line);
        if !addresses.is_empty() {
            return addresses.into_iter().filter_map(function_of).collect();
        }
        let mut last_lines: HashMap<usize, u32> = HashMap::new();
        for (address, row) in self.units.lines_where(&matches, &|_| true) {
            if let Some(function) = function_of(address) {
                let last = last_lines.entry(function).or_default();
                *last = row.max(*last);
            }
        }
        let around: Vec<(u32, usize)> = self
            .declarations(source)
            .filter(|declaration| declaration.source.line <= line)
            .filter_map(|declaration| Some((declaration.source.line, self.function(declaration.entry)?)))
            .filter(|(_, function)| last_lines.get(function).is_some_and(|last| *last >= line))
            .collect();
        // The innermost: the last that begins before the line.
        let start = around.iter().map(|(start, _)| *start).max();
        around
            .into_iter()
            .filter(|(line, _)| Some(*line) == start)
            .map(|(_, function)| function)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{SourcePattern, is_source};

    #[test]
    fn texts_that_end_like_source_files_name_source_files() {
        for text in [
            "parser.c",
            "src/*.rs",
            "a/b.hpp",
            "*.{c,h}",
            "x.S",
            "/usr/src/y.cc",
            "*.go",
        ] {
            assert!(is_source(text), "{text}");
        }
        for text in [
            "libc.so.6",
            "libfoo",
            "c",
            ".c",
            "python3.11",
            "libx-1.2.so",
            "*",
            "app.exe",
            "dir.c/app",
        ] {
            assert!(!is_source(text), "{text}");
        }
    }

    #[test]
    fn files_are_named_by_their_last_parts_or_by_wildcards() {
        let matches = |text: &str, path: &str| SourcePattern::new(text, text).unwrap().matches(path);
        for (text, path, expected) in [
            ("parser.c", "/home/me/src/parser.c", true),
            ("src/parser.c", "/home/me/src/parser.c", true),
            ("./src/parser.c", "/home/me/src/parser.c", true),
            ("src/parser.c", "/home/me/src/./parser.c", true),
            ("/home/me/src/parser.c", "/home/me/src/parser.c", true),
            ("me/parser.c", "/home/me/src/parser.c", false),
            ("arser.c", "/home/me/src/parser.c", false),
            ("*.c", "/home/me/src/parser.c", true),
            ("src/*.c", "/home/me/src/parser.c", true),
            ("src/*.c", "/home/me/src2/parser.c", false),
            ("p*.{c,h}", "/home/me/src/parser.c", true),
            ("p*.h", "/home/me/src/parser.c", false),
        ] {
            assert_eq!(matches(text, path), expected, "{text} {path}");
        }
    }
}
