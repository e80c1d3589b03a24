//! Patterns that name functions and objects: `malloc`, `ns::*`, `/^json_/`, `libc:str*`.
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use regex::bytes::Regex;

use super::glob::{glob, needle};
use super::source::{SourcePattern, is_source};
use crate::object::names;

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// There is nothing before or behind the colon, or nothing at all.
    #[error(
        "`{text}` names nothing: write `function`, `object:function`, `file.c:function`, `file.c:120` or \
         `/regular expression/`"
    )]
    Empty {
        /// The text.
        text: String,
    },
    /// The wildcards are wrong.
    #[error("`{text}` is no valid pattern")]
    Glob {
        /// The text.
        text: String,
        /// Why.
        #[source]
        source: globset::Error,
    },
    /// The regular expression is wrong.
    #[error("`{text}` is no valid regular expression")]
    Regex {
        /// The text.
        text: String,
        /// Why.
        #[source]
        source: regex::Error,
    },
}

/// Names functions, in one object or in any.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    object: Option<ObjectPattern>,
    source: Option<SourcePattern>,
    /// The line of a source file, in place of a function's name.
    line: Option<u32>,
    literal: String,
    /// `None`: only the literal text matches.
    regex: Option<Regex>,
    /// Everything matches.
    all: bool,
    /// A part of every name that can match, as compilers write it too.
    needle: Option<String>,
}

/// Names objects by their file name or path.
#[derive(Clone, Debug)]
pub struct ObjectPattern {
    text: String,
    regex: Option<Regex>,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (object, function) = split_object(text);
        let empty = || PatternError::Empty {
            text: text.to_owned(),
        };
        if function.is_empty() || object.is_some_and(str::is_empty) {
            return Err(empty());
        }
        let source = object.filter(|object| is_source(object));
        let source = source.map(|file| SourcePattern::new(file, text)).transpose()?;
        let object = object.filter(|_| source.is_none());
        let object = object.map(str::parse).transpose()?;
        let line = function.parse().ok().filter(|_| source.is_some());
        let expression = function
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'))
            .filter(|it| !it.is_empty());
        let regex = match expression {
            Some(expression) => Some(Regex::new(expression).map_err(|source| PatternError::Regex {
                text: text.to_owned(),
                source,
            })?),
            None => glob(function, text)?,
        };
        Ok(Self {
            text: text.to_owned(),
            object,
            source,
            line,
            literal: function.to_owned(),
            all: function == "*",
            needle: if expression.is_some() {
                None
            } else {
                needle(function)
            },
            regex,
        })
    }
}

impl FromStr for ObjectPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(PatternError::Empty {
                text: text.to_owned(),
            });
        }
        Ok(Self {
            text: text.to_owned(),
            regex: glob(text, text)?,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Display for ObjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Pattern {
    /// Whether it can match functions of several names.
    pub fn is_wildcard(&self) -> bool {
        self.regex.is_some() || self.source.as_ref().is_some_and(SourcePattern::is_wildcard)
    }

    /// Whether it names the object, too.
    pub fn names_object(&self) -> bool {
        self.object.is_some()
    }

    /// The object that it names.
    pub fn object(&self) -> Option<&ObjectPattern> {
        self.object.as_ref()
    }

    /// Whether functions of this object can match.
    pub fn matches_object(&self, name: &str, path: &Path) -> bool {
        self.object
            .as_ref()
            .is_none_or(|object| object.matches(name, path))
    }

    /// Whether a function with this symbol matches: by the symbol, or as its language writes it, with or without
    /// parameters and what compilers append to clones.
    pub fn matches(&self, raw: &str) -> bool {
        if self.all || self.matches_text(raw) {
            return true;
        }
        let base = names::base_name(raw);
        if base.len() < raw.len() && self.matches_text(base) {
            return true;
        }
        let mangled = raw.starts_with("_Z") || raw.starts_with("_R");
        if !mangled
            || self
                .needle
                .as_ref()
                .is_some_and(|needle| !raw.contains(needle.as_str()))
        {
            return false;
        }
        let demangled = names::demangle(raw);
        self.matches_text(&demangled)
            || self.matches_text(names::without_clone(&demangled))
            || self.matches_text(names::without_parameters(&demangled))
    }

    /// Whether a function without symbols matches, by the name that it is shown under.
    pub fn matches_text(&self, name: &str) -> bool {
        self.all
            || name == self.literal
            || self
                .regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(name.as_bytes()))
    }

    /// The source files whose functions it names.
    pub(super) fn source(&self) -> Option<&SourcePattern> {
        self.source.as_ref()
    }

    /// Whether it names functions by their source file.
    pub fn names_source(&self) -> bool {
        self.source.is_some()
    }

    /// Whether it names functions by a line.
    pub fn names_line(&self) -> bool {
        self.line.is_some()
    }

    /// The line of the source file that it names, in place of functions.
    pub(super) fn line(&self) -> Option<u32> {
        self.line
    }

    /// What follows the object's name.
    pub fn function(&self) -> &str {
        &self.literal
    }
}

impl ObjectPattern {
    /// The name or path that it is, unless it has wildcards.
    pub fn literal(&self) -> Option<&str> {
        self.regex.is_none().then_some(self.text.as_str())
    }

    /// Whether an object of this file name and path matches. `libc` also matches `libc.so.6` and `libc-2.31.so`.
    pub fn matches(&self, name: &str, path: &Path) -> bool {
        let stem = name.find(".so").map_or(name, |end| &name[..end]);
        let unversioned = stem
            .rfind('-')
            .filter(|at| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
        let unversioned = unversioned.map_or(stem, |at| &stem[..at]);
        [name, stem, unversioned]
            .into_iter()
            .any(|text| self.matches_text(text))
            || path.to_str().is_some_and(|path| self.matches_text(path))
    }

    fn matches_text(&self, text: &str) -> bool {
        text == self.text
            || self
                .regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(text.as_bytes()))
    }
}

/// Splits at the first single colon: `::` belongs to names, and so does `[abi:…]`.
fn split_object(text: &str) -> (Option<&str>, &str) {
    if text.starts_with('/') && text.ends_with('/') && text.len() > 1 {
        return (None, text);
    }
    let bytes = text.as_bytes();
    let mut position = 0;
    while position < bytes.len() {
        if bytes[position] != b':' {
            position += 1;
        } else if bytes.get(position + 1) == Some(&b':') {
            position += 2;
        } else if text[..position].ends_with("[abi") {
            position += 1;
        } else {
            return (Some(&text[..position]), &text[position + 1..]);
        }
    }
    (None, text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{ObjectPattern, Pattern, PatternError};

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_single_colon_splits_off_the_object() {
        let path = Path::new("/lib/libc.so.6");
        for (text, matches) in [
            ("libc:malloc", true),
            ("libc.so.6:malloc", true),
            ("libc*:m*c", true),
            ("/lib/libc.so.6:malloc", true),
            ("libm:malloc", false),
        ] {
            assert_eq!(pattern(text).matches_object("libc.so.6", path), matches, "{text}");
            assert!(pattern(text).matches("malloc"), "{text}");
        }
        let name = pattern("ns::f");
        assert!(!name.names_object() && name.matches("_ZN2ns1fEv"));
        let both = pattern("libfoo:ns::f");
        assert!(both.names_object() && both.matches("_ZN2ns1fEv"));
        assert!(!pattern("f[abi:cxx11]").names_object());
    }

    #[test]
    fn names_match_as_compilers_and_as_languages_write_them() {
        let clone = "_ZN2ns1fEi.constprop.0";
        for text in [
            "ns::f",
            "ns::f(int)",
            "_ZN2ns1fEi",
            "ns::*",
            "/^ns::f/",
            "*::f",
            clone,
            "n?::f",
            "{ns::f,g}",
        ] {
            assert!(pattern(text).matches(clone), "{text}");
        }
        for text in ["f", "ns::g", "ns", "/^f$/"] {
            assert!(!pattern(text).matches(clone), "{text}");
        }
        assert!(pattern("stat?c_f*").matches("static_f.isra.0"));
        assert!(pattern("std::__cxx11::basic_string<*").matches("_ZNSt7__cxx1112basic_stringIcE5clearEv"));
        assert!(pattern("std::string::*").matches("_ZNSs5clearEv"));
        assert!(pattern("core::fmt::Write::*").matches("_ZN4core3fmt5Write9write_str17h0123456789abcdefE"));
    }

    #[test]
    fn only_wildcards_are_wild() {
        for text in [
            "malloc",
            "a::{{closure}}",
            "f[abi:cxx11]",
            "g(int)::{lambda(int, int)#1}",
            "A::operator[]",
        ] {
            assert!(!pattern(text).is_wildcard(), "{text}");
        }
        for text in ["m*", "m?", "[mc]alloc", "{malloc,free}", "/m/", "libc:*"] {
            assert!(pattern(text).is_wildcard(), "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_reason() {
        assert!(matches!("".parse::<Pattern>(), Err(PatternError::Empty { .. })));
        assert!(matches!(
            "libc:".parse::<Pattern>(),
            Err(PatternError::Empty { .. })
        ));
        assert!(matches!(":f".parse::<Pattern>(), Err(PatternError::Empty { .. })));
        assert!(matches!(
            "/(/".parse::<Pattern>(),
            Err(PatternError::Regex { .. })
        ));
        assert!(matches!(
            "[z-a]*".parse::<Pattern>(),
            Err(PatternError::Glob { .. })
        ));
    }

    #[test]
    fn objects_match_by_stem_name_and_path() {
        let matches = |text: &str, name: &str| {
            text.parse::<ObjectPattern>()
                .unwrap()
                .matches(name, &Path::new("/usr/lib").join(name))
        };
        assert!(
            matches("libc", "libc.so.6")
                && matches("libc", "libc-2.31.so")
                && !matches("libc", "libcrypt.so.1")
        );
        assert!(matches("libstdc++", "libstdc++.so.6.0.30") && matches("/usr/lib/*", "libz.so.1"));
    }
}
