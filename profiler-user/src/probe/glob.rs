//! Wildcards in the names of functions, in which languages write brackets and braces of their own.
use globset::GlobBuilder;
use regex::bytes::Regex;

use super::pattern::PatternError;

/// The regular expression of a text with wildcards; `None` if it has none.
pub(super) fn glob(function: &str, text: &str) -> Result<Option<Regex>, PatternError> {
    if !function.contains(['*', '?']) && !has_brackets(function) {
        return Ok(None);
    }
    // C++ and Rust write brackets and braces in names: only a list (`[abc]`, `{f,g}`) is a wildcard.
    let escaped = if has_brackets(function) {
        function.to_owned()
    } else {
        escape_brackets(function)
    };
    let glob = GlobBuilder::new(&escaped)
        .literal_separator(false)
        .backslash_escape(true)
        .build()
        .map_err(|source| PatternError::Glob {
            text: text.to_owned(),
            source,
        })?;
    let regex = Regex::new(glob.regex()).map_err(|source| PatternError::Regex {
        text: text.to_owned(),
        source,
    })?;
    Ok(Some(regex))
}

/// Whether it has a list of alternatives: `[…]` or `{…,…}` that no language writes in names.
fn has_brackets(function: &str) -> bool {
    let inside = |open: char, close: char| {
        let start = function.find(open)?;
        let end = start + function[start..].find(close)?;
        Some(&function[start + 1..end])
    };
    let class =
        inside('[', ']').is_some_and(|it| !it.is_empty() && !it.starts_with("abi:") && !it.starts_with('.'));
    let list = inside('{', '}').is_some_and(|it| it.contains(',') && !it.starts_with("lambda"));
    class || list
}

fn escape_brackets(function: &str) -> String {
    let mut escaped = String::with_capacity(function.len());
    for character in function.chars() {
        if matches!(character, '[' | ']' | '{' | '}') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Words that demangled names contain and mangled ones abbreviate.
const ABBREVIATED: &str = "std allocator basic_string string istream ostream iostream operator unsigned signed char \
    short int long float double bool void wchar_t const volatile anonymous namespace lambda vtable thunk closure \
    typeinfo guard virtual decltype nullptr_t true false auto unnamed type construction clone initializer for \
    __int128 char8_t char16_t char32_t impl shim drop_in_place delete new sizeof alignof throw noexcept restrict \
    covariant return adjustment non-virtual reference temporary TLS init function wrapper half complex imaginary \
    isize usize enable_if template parameter object constructor destructor transaction str";

/// The longest run of word characters that must occur in a mangled name, too.
pub(super) fn needle(function: &str) -> Option<String> {
    if has_brackets(function) {
        return None;
    }
    let runs = function.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let usable = runs.filter(|run| {
        run.len() >= 4
            && run.starts_with(|first: char| first.is_ascii_alphabetic())
            && !ABBREVIATED.contains(run)
    });
    usable.max_by_key(|run| run.len()).map(str::to_owned)
}
