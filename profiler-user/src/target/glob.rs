//! Names with wildcards, for everything that selects processes.
use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

/// A text is no glob.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GlobError {
    /// It is empty.
    #[error("it is empty: write a name or a glob, such as 'web-*'")]
    Empty,
    /// Its wildcards are wrong.
    #[error("`{text}` is no valid glob: {reason}")]
    Invalid {
        /// The text.
        text: String,
        /// What is wrong.
        reason: String,
    },
}

/// A name, or several by wildcards: `*`, `?`, `[abc]`, `{a,b}`. A slash is a character like any other.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    /// None = it has no wildcards.
    matcher: Option<GlobMatcher>,
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        if text.trim().is_empty() {
            return Err(GlobError::Empty);
        }
        let compile = || {
            GlobBuilder::new(text)
                .literal_separator(false)
                .backslash_escape(true)
                .build()
        };
        let matcher = text.contains(['*', '?', '[', '{']).then(compile).transpose();
        let matcher = matcher.map_err(|error| GlobError::Invalid {
            text: text.to_owned(),
            reason: error.kind().to_string(),
        })?;
        Ok(Self {
            text: text.to_owned(),
            matcher: matcher.map(|glob| glob.compile_matcher()),
        })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

impl Glob {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it can match several names.
    pub fn is_wildcard(&self) -> bool {
        self.matcher.is_some()
    }

    /// Whether it matches the whole of `name`. A name that is written as the glob itself always does.
    pub fn matches(&self, name: &str) -> bool {
        name == self.text
            || self
                .matcher
                .as_ref()
                .is_some_and(|matcher| matcher.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::{Glob, GlobError};

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    #[test]
    fn a_glob_matches_the_whole_name_and_its_own_text() {
        for (text, name, matches) in [
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-1", true),
            ("*", "", true),
            ("w?b", "wab", true),
            ("{web,db}-[12]", "db-2", true),
            ("{web,db}-[12]", "db-3", false),
            ("[kworker]", "[kworker]", true),
            ("/usr/*/nginx", "/usr/local/bin/nginx", true),
            (r"a\*", "a*", true),
        ] {
            assert_eq!(glob(text).matches(name), matches, "{text} {name}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused_with_a_reason() {
        assert_eq!(" ".parse::<Glob>().unwrap_err(), GlobError::Empty);
        let error = "[z-a]".parse::<Glob>().unwrap_err();
        assert!(
            error.to_string().starts_with("`[z-a]` is no valid glob: "),
            "{error}"
        );
    }
}
