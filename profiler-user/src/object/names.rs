//! Names of functions: stored together, demangled when somebody looks.
use std::borrow::Cow;

/// A piece of an [`Arena`]'s text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

/// One stored name.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredName {
    pub(super) text: Span,
    pub(super) global: bool,
}

/// A run of an [`Arena`]'s names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NameRange {
    pub(super) start: u32,
    pub(super) count: u32,
}

/// All names of one file in two allocations.
#[derive(Debug, Default)]
pub(super) struct Arena {
    text: String,
    names: Vec<StoredName>,
}

impl Arena {
    /// Stores a text; `None` once four gigabytes are full.
    pub(super) fn store(&mut self, bytes: &[u8]) -> Option<Span> {
        let start = u32::try_from(self.text.len()).ok()?;
        match str::from_utf8(bytes) {
            Ok(text) => self.text.push_str(text),
            Err(_) => self.text.push_str(&String::from_utf8_lossy(bytes)),
        }
        let end = u32::try_from(self.text.len()).ok()?;
        Some(Span {
            start,
            length: end - start,
        })
    }

    /// Bytes of all texts.
    pub(super) fn length(&self) -> u64 {
        self.text.len() as u64
    }

    pub(super) fn text(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.start as usize + span.length as usize]
    }

    /// Adds a name behind the last run, or begins one where the run is empty.
    pub(super) fn add_name(&mut self, run: NameRange, name: StoredName) -> NameRange {
        let start = if run.count == 0 {
            self.names.len() as u32
        } else {
            run.start
        };
        self.names.push(name);
        NameRange {
            start,
            count: run.count + 1,
        }
    }

    pub(super) fn names(&self, range: NameRange) -> impl Iterator<Item = SymbolName<'_>> {
        self.names[range.start as usize..][..range.count as usize]
            .iter()
            .map(|name| SymbolName {
                raw: self.text(name.text),
                global: name.global,
            })
    }

    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.names.shrink_to_fit();
    }
}

/// How names are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameStyle {
    /// As their language writes them.
    #[default]
    Demangled,
    /// As compilers write them.
    Raw,
}

impl NameStyle {
    /// The name as it is shown.
    pub fn shown(self, raw: &str) -> Cow<'_, str> {
        match self {
            Self::Demangled => demangle(raw),
            Self::Raw => Cow::Borrowed(raw),
        }
    }
}

/// One symbol's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolName<'a> {
    /// As the file has it, without a version (`@…`).
    pub raw: &'a str,
    /// Other objects can see it.
    pub global: bool,
}

impl<'a> SymbolName<'a> {
    /// The name as its language writes it.
    pub fn demangled(&self) -> Cow<'a, str> {
        demangle(self.raw)
    }
}

/// The name as C++ or Rust writes it; any other name as it is.
pub fn demangle(raw: &str) -> Cow<'_, str> {
    let (mangled, suffix) = split_suffix(raw);
    if (mangled.starts_with("_R") || is_legacy_rust(mangled))
        && let Ok(name) = rustc_demangle::try_demangle(mangled)
    {
        return Cow::Owned(format!("{name:#}{}", shown_suffix(suffix)));
    }
    if !mangled.starts_with("_Z") {
        return Cow::Borrowed(raw);
    }
    let options = cpp_demangle::DemangleOptions::new().no_return_type();
    let parse = cpp_demangle::ParseOptions::default().recursion_limit(128);
    let demangled = cpp_demangle::Symbol::new_with_options(mangled, &parse)
        .ok()
        .and_then(|symbol| symbol.demangle_with_options(&options).ok());
    match demangled {
        Some(name) => Cow::Owned(name + &shown_suffix(suffix)),
        None => Cow::Borrowed(raw),
    }
}

/// `.isra.0` and the like are shown as C++'s own tools show them.
fn shown_suffix(suffix: &str) -> String {
    if suffix.is_empty() {
        String::new()
    } else {
        format!(" [{suffix}]")
    }
}

/// Legacy Rust names end in `17h`, sixteen hexadecimal digits and `E`.
fn is_legacy_rust(mangled: &str) -> bool {
    mangled.starts_with("_ZN")
        && mangled.strip_suffix('E').is_some_and(|name| {
            name.len() > 19
                && name.as_bytes()[name.len() - 19..].starts_with(b"17h")
                && name.bytes().rev().take(16).all(|byte| byte.is_ascii_hexdigit())
        })
}

/// The suffixes that compilers append to the name of a clone.
const CLONE_SUFFIXES: [&str; 7] = [
    ".constprop",
    ".isra",
    ".part",
    ".llvm",
    ".lto_priv",
    ".localalias",
    ".cold",
];

/// The name without what compilers append to clones (`.constprop.0`, `.isra.0`, `.part.0`, `.llvm.123`).
pub fn base_name(raw: &str) -> &str {
    split_suffix(raw).0
}

fn split_suffix(raw: &str) -> (&str, &str) {
    if !raw.contains('.') {
        return (raw, "");
    }
    let start = CLONE_SUFFIXES
        .iter()
        .filter_map(|suffix| {
            let start = raw.find(suffix)?;
            let rest = &raw[start + suffix.len()..];
            (start > 0 && (rest.is_empty() || rest.starts_with('.'))).then_some(start)
        })
        .min();
    start.map_or((raw, ""), |start| raw.split_at(start))
}

/// The function that this symbol is a fragment of: `f` for `f.cold` and `f.cold.3`.
pub fn fragment_of(raw: &str) -> Option<&str> {
    if !raw.contains('.') {
        return None;
    }
    let (parent, rest) = raw.rsplit_once(".cold")?;
    let number = rest.strip_prefix('.').unwrap_or(rest);
    let numbered = rest.is_empty() || (rest.len() > 1 && number.bytes().all(|byte| byte.is_ascii_digit()));
    (numbered && !parent.is_empty()).then_some(parent)
}

/// A demangled name without its parameter list: `ns::f` for `ns::f(int) const`.
pub fn without_parameters(demangled: &str) -> &str {
    let plain = without_clone(demangled);
    let bytes = plain.as_bytes();
    let Some(close) = plain.rfind(')') else {
        return demangled;
    };
    let qualifiers = plain[close + 1..]
        .split(' ')
        .all(|word| matches!(word, "" | "const" | "volatile" | "&" | "&&"));
    if !qualifiers {
        return demangled;
    }
    let mut depth = 0_usize;
    for (position, byte) in bytes[..=close].iter().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let parameters_follow_a_name = position > 0 && !demangled[..position].ends_with("operator");
            return if parameters_follow_a_name {
                &demangled[..position]
            } else {
                demangled
            };
        }
    }
    demangled
}

/// A demangled name without what compilers append to clones.
pub fn without_clone(demangled: &str) -> &str {
    demangled.rfind(" [.").map_or(demangled, |end| &demangled[..end])
}

/// The order of preference among the names of one function: what all see before what one file sees, plain names
/// before those with underscores, short before long.
pub(super) fn preference(raw: &str, global: bool) -> (bool, usize, usize, &str) {
    let underscores = if raw.starts_with("_Z") || raw.starts_with("_R") {
        0
    } else {
        raw.bytes().take_while(|byte| *byte == b'_').count()
    };
    (!global, underscores, raw.len(), raw)
}

#[cfg(test)]
mod tests {
    use super::{base_name, demangle, fragment_of, without_parameters};

    #[test]
    fn names_are_shown_as_their_language_writes_them() {
        assert_eq!(demangle("_ZN2ns1fEi"), "ns::f(int)");
        assert_eq!(demangle("_ZN2ns1fEi.constprop.0"), "ns::f(int) [.constprop.0]");
        assert_eq!(
            demangle("_ZN4core3fmt5Write9write_str17h0123456789abcdefE"),
            "core::fmt::Write::write_str"
        );
        assert_eq!(demangle("_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(demangle("malloc"), "malloc");
        assert_eq!(demangle("_Znot_a_name"), "_Znot_a_name");
    }

    #[test]
    fn the_parameter_list_is_cut_off() {
        assert_eq!(without_parameters("ns::f(int) const"), "ns::f");
        assert_eq!(without_parameters("f(void (*)(int), int) [.isra.0]"), "f");
        assert_eq!(without_parameters("A::operator()(int)"), "A::operator()");
        assert_eq!(
            without_parameters("(anonymous namespace)::f()"),
            "(anonymous namespace)::f"
        );
        assert_eq!(without_parameters("<T as (A, B)>::f"), "<T as (A, B)>::f");
        assert_eq!(without_parameters("malloc"), "malloc");
    }

    #[test]
    fn clones_and_fragments_are_told_by_their_suffix() {
        assert_eq!(base_name("f.constprop.0.isra.3"), "f");
        assert_eq!(base_name("f.llvm.123"), "f");
        assert_eq!(base_name("main.main"), "main.main");
        assert_eq!(fragment_of("f.cold"), Some("f"));
        assert_eq!(fragment_of("f.part.0.cold.12"), Some("f.part.0"));
        assert_eq!(fragment_of("f.part.0"), None);
        assert_eq!(fragment_of("f.colder"), None);
    }
}
