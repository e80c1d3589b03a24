//! Debug information (DWARF): which source line an address belongs to, which functions were inlined there, where a
//! function is declared.
//!
//! Nothing of it is read when an object is opened. [`DebugSource`] knows where it would be (in the file itself, in a
//! separate debug file, on a server); [`DebugSource::load`] reads it into a [`DebugInfo`], whose memory goes with it;
//! [`DebugInfo::units`] gives what answers questions. Each unit of the program is read when a question first touches it.
//!
//! Files of a target may be hostile. What is damaged is an absence or an error; nothing here recurses as deep as a file
//! says, or allocates as much as it claims; and all work is taken from a [budget](units::Units) in proportion to the
//! file's size, so that no file is read for ever.
mod abbreviations;
mod compress;
mod debuginfod;
mod die;
mod facts;
mod find;
mod http;
mod lines;
mod link;
mod queries;
mod scopes;
mod sections;
mod split;
mod units;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use gimli::DwarfSections;

pub use debuginfod::{Debuginfod, DebuginfodError};
pub use find::{Finder, Search};
pub use queries::{Declaration, Frame, InlinedPlace, SourceLine};
pub use units::Units;

use super::go::{GoLines, Place as GoTable};
use super::source::Source;
use find::{Answer, At, Lookup, Wanted};
use link::{DebugLink, SharedLink};
use sections::{Defect, SectionTable};
use split::SplitFiles;

/// Why there is no debug information.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DebugError {
    /// Neither the file has any, nor was a separate file found.
    #[error("`{object}` has no debug information: {}", advice(build_id.as_deref(), refused))]
    Missing {
        /// The object's name.
        object: String,
        /// Its build id, in hexadecimal digits.
        build_id: Option<String>,
        /// Files that were found and are not the right ones.
        refused: Vec<String>,
    },
    /// It cannot be read.
    #[error("the debug information in `{}` cannot be used: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
}

fn advice(build_id: Option<&str>, refused: &[String]) -> String {
    let mut text = "compile it with `-g`, install its debug package (`…-dbgsym`, `…-dbg`, `…-debuginfo`), name the \
                    folder of its debug file with `--debug-dir`, or ask the servers of debug files with `--debuginfod`"
        .to_owned();
    if let Some(id) = build_id {
        text = format!("{text} (build id {id})");
    }
    for reason in refused {
        text = format!("{text}; {reason}");
    }
    text
}

/// `0123ab…`
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Which file has an object's debug information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugPlace {
    /// The object itself.
    Own,
    /// A separate debug file.
    Separate,
    /// None that was found.
    Nowhere,
}

/// Where one object's debug information is. Cheap to keep: only sections' names are read, and only when somebody asks.
#[derive(Debug)]
pub struct DebugSource {
    name: String,
    own: Arc<Source>,
    build_id: Option<Vec<u8>>,
    /// Where Go's own table of lines is: it stays when debug information is stripped.
    go: Option<GoTable>,
    lookup: Lookup,
    table: OnceLock<Result<SectionTable, Defect>>,
    separate: OnceLock<Answer>,
}

impl DebugSource {
    pub(super) fn new(name: &str, own: Arc<Source>, search: Search) -> Self {
        Self {
            name: name.to_owned(),
            own,
            build_id: None,
            go: None,
            lookup: Lookup::new(search),
            table: OnceLock::new(),
            separate: OnceLock::new(),
        }
    }

    pub(super) fn set_build_id(&mut self, build_id: Option<&[u8]>) {
        self.build_id = build_id.map(<[u8]>::to_vec);
    }

    pub(super) fn set_go(&mut self, table: Option<GoTable>) {
        self.go = table;
    }

    /// The lines of Go code, which do without debug information.
    pub fn go_lines(&self) -> Option<GoLines> {
        self.go?.load(&self.own)
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> Result<&SectionTable, Defect> {
        let table = self.table.get_or_init(|| SectionTable::read(&self.own));
        table.as_ref().map_err(|defect| *defect)
    }

    /// Looks for the separate debug file, once.
    fn separate(&self) -> &Answer {
        self.separate.get_or_init(|| {
            let link = self.table().ok().and_then(|table| {
                let section = table.bytes(&self.own, ".gnu_debuglink").ok()?;
                DebugLink::parse(&section)
            });
            let answer = self.lookup.separate(Wanted {
                build_id: self.build_id.as_deref(),
                link: link.as_ref(),
                own: &self.own,
            });
            for reason in &answer.refused {
                log::warn!("{}: {reason}", self.name);
            }
            answer
        })
    }

    /// The separate debug file, if there is one: its symbols name the functions of a stripped object.
    pub(super) fn separate_file(&self) -> Option<&Source> {
        self.separate().found.as_ref().map(|found| &found.source)
    }

    /// Whether there is anything to load. Looks for the separate debug file.
    pub fn is_there(&self) -> bool {
        self.place() != DebugPlace::Nowhere
    }

    /// Where it is. Looks for the separate debug file.
    pub fn place(&self) -> DebugPlace {
        if self.table().is_ok_and(SectionTable::has_debug_information) {
            return DebugPlace::Own;
        }
        match &self.separate().found {
            Some(found) if found.table.has_debug_information() => DebugPlace::Separate,
            Some(_) | None => DebugPlace::Nowhere,
        }
    }

    /// Reads the debug information.
    pub fn load(&self) -> Result<DebugInfo, DebugError> {
        let damaged = |path: &Path| {
            let path = path.to_owned();
            move |defect: Defect| DebugError::Damaged {
                path,
                why: defect.text(),
            }
        };
        let own = self.table().map_err(damaged(self.lookup.path()))?;
        let (path, at, source, table) = if own.has_debug_information() {
            (self.lookup.path(), None, &*self.own, own)
        } else {
            match &self.separate().found {
                Some(found) if found.table.has_debug_information() => {
                    (found.path.as_path(), Some(&found.at), &found.source, &found.table)
                }
                Some(_) | None => {
                    return Err(DebugError::Missing {
                        object: self.name.clone(),
                        build_id: self.build_id.as_deref().map(hex),
                        refused: self.separate().refused.clone(),
                    });
                }
            }
        };
        let main = table.dwarf(source, false).map_err(damaged(path))?;
        let shared = self.shared(at, source, table);
        Ok(DebugInfo {
            path: path.to_owned(),
            main,
            shared,
            split: SplitFiles::new(self.lookup.clone(), at.cloned()),
        })
    }

    /// What this file's debug information has in common with others', and dwz has put into a file of its own.
    fn shared(
        &self,
        near: Option<&At>,
        source: &Source,
        table: &SectionTable,
    ) -> Option<DwarfSections<Vec<u8>>> {
        let section = |name| table.bytes(source, name).unwrap_or_default();
        let link = SharedLink::parse(&section(".gnu_debugaltlink"))
            .or_else(|| SharedLink::parse_standard(&section(".debug_sup")))?;
        let answer = self.lookup.shared(&link, near, source);
        for reason in &answer.refused {
            log::warn!("{}: {reason}", self.name);
        }
        let Some(found) = answer.found else {
            log::warn!(
                "{}: `{}`, which its debug information refers to, was not found: some names and lines are missing",
                self.name,
                link.path.display()
            );
            return None;
        };
        match found.table.dwarf(&found.source, false) {
            Ok(sections) => Some(sections),
            Err(defect) => {
                log::warn!(
                    "{}: `{}` cannot be used: {}",
                    self.name,
                    found.path.display(),
                    defect.text()
                );
                None
            }
        }
    }
}

/// The debug information of one object, in memory.
#[derive(Debug)]
pub struct DebugInfo {
    path: PathBuf,
    main: DwarfSections<Vec<u8>>,
    shared: Option<DwarfSections<Vec<u8>>>,
    split: SplitFiles,
}

impl DebugInfo {
    /// What answers questions. It is not shared by threads: each makes its own.
    pub fn units(&self) -> Result<Units<'_>, DebugError> {
        Units::new(self).map_err(|_error| DebugError::Damaged {
            path: self.path.clone(),
            why: "its list of units is damaged",
        })
    }
}

#[cfg(test)]
mod tests;
