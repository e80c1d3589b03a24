//! Allocators that a file describes, in TOML:
//!
//! ```toml
//! allocators = ["mylib.so:my_alloc(size=1)->ptr", "mylib.so:my_free(ptr=1)"]
//!
//! [[allocator]]
//! object = "mylib.so"
//! function = "my_calloc"
//! count = 1
//! size = 2
//! returns = "ptr"
//! ```
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::allocator_rows::{Fields, UserRow};

/// The keys of a table.
const KEYS: &str = "object, function, size, count, ptr, out, returns, family";

/// A file that describes no allocators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct AllocatorFileError {
    /// Counted from 1.
    line: usize,
    /// What is wrong, and the next step.
    why: String,
}

/// Where something is, and what is wrong with it.
type Wrong = (usize, String);

/// The allocators of a file.
pub fn read(text: &str) -> Result<Vec<UserRow>, AllocatorFileError> {
    rows(text).map_err(|(at, why)| AllocatorFileError {
        line: text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1,
        why,
    })
}

fn rows(text: &str) -> Result<Vec<UserRow>, Wrong> {
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, format!("this is no TOML ({})", error.message()))
    })?;
    let mut rows = Vec::new();
    for (key, value) in document.get_ref() {
        let of_one: fn(&Spanned<DeValue<'_>>) -> Result<UserRow, Wrong> = match key.get_ref().as_ref() {
            "allocators" => short,
            "allocator" => table,
            other => {
                let why = format!(
                    "`{other}` says nothing here: write `[[allocator]]`, or `allocators = [\"…\"]` in the form of `--allocator`"
                );
                return Err((key.span().start, why));
            }
        };
        for entry in array(value)? {
            rows.push(of_one(entry)?);
        }
    }
    Ok(rows)
}

fn array<'a>(value: &'a Spanned<DeValue<'a>>) -> Result<&'a DeArray<'a>, Wrong> {
    value.get_ref().as_array().ok_or_else(|| {
        let kind = value.get_ref().type_str();
        let why = format!("{kind} where a list is meant: write `[[allocator]]`, or `allocators = [\"…\"]`");
        (value.span().start, why)
    })
}

/// In the form of the command line.
fn short(value: &Spanned<DeValue<'_>>) -> Result<UserRow, Wrong> {
    text(value, "allocators")?
        .parse()
        .map_err(|error: super::allocator_rows::AllocatorError| (value.span().start, error.to_string()))
}

fn table(value: &Spanned<DeValue<'_>>) -> Result<UserRow, Wrong> {
    let at = value.span().start;
    let wrong = |why: &str| (at, format!("an allocator {why}"));
    let keys = value
        .get_ref()
        .as_table()
        .ok_or_else(|| wrong("is a table: write `[[allocator]]` and its keys below"))?;
    let mut fields = Fields::default();
    let (mut object, mut function, mut returns) = (None, None, "");
    for (key, value) in keys {
        let name = key.get_ref().as_ref();
        match name {
            "object" => object = Some(text(value, name)?),
            "function" => function = Some(text(value, name)?),
            "returns" => returns = text(value, name)?,
            "family" => set(&mut fields, (name, text(value, name)?), value)?,
            "size" | "count" | "ptr" | "out" => set(&mut fields, (name, number(value, name)?), value)?,
            other => {
                let why = format!("`{other}` is none of {KEYS}");
                return Err((key.span().start, why));
            }
        }
    }
    let function = function.ok_or_else(|| wrong("has a `function`: its name is missing"))?;
    UserRow::of_parts(object, function, fields, returns).map_err(|error| (at, error.to_string()))
}

fn set(fields: &mut Fields, (name, word): (&str, &str), value: &Spanned<DeValue<'_>>) -> Result<(), Wrong> {
    fields
        .set(name, word)
        .map_err(|why| (value.span().start, format!("`{name}`: {why}")))
}

fn text<'a>(value: &'a Spanned<DeValue<'_>>, key: &str) -> Result<&'a str, Wrong> {
    let kind = value.get_ref().type_str();
    let why = || format!("`{key}` is {kind}: write it as a text, in quotes");
    value
        .get_ref()
        .as_str()
        .ok_or_else(|| (value.span().start, why()))
}

fn number<'a>(value: &'a Spanned<DeValue<'_>>, key: &str) -> Result<&'a str, Wrong> {
    let number = value.get_ref().as_integer().filter(|number| number.radix() == 10);
    let kind = value.get_ref().type_str();
    let why = || format!("`{key}` is {kind}: write which argument it is, 1 to 6");
    number
        .map(toml::de::DeInteger::as_str)
        .ok_or_else(|| (value.span().start, why()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use profiler_common::alloc::{Action, Family};

    use super::read;

    #[test]
    fn both_forms_describe_the_same() {
        let text = r#"
# mine
allocators = ["mylib.so:my_alloc(size=1)->ptr", "my_free(ptr=1)"]

[[allocator]]
object = "mylib.so"
function = "pool::take(int, unsigned long)"
count = 1
size = 2
returns = "ptr"
family = "heap"

[[allocator]]
function = "my_free2"
ptr = 2
"#;
        let rows = read(text).unwrap();
        let actions: Vec<_> = rows
            .iter()
            .map(|row| (row.shape.action, row.shape.family, row.shape.pointer))
            .collect();
        assert_eq!(rows.len(), 4);
        assert!(actions.contains(&(Action::Allocate, Family::User, rows[0].shape.pointer)));
        assert!(actions.contains(&(Action::Free, Family::User, 1)));
        let counted = rows.iter().find(|row| row.shape.count == 0).unwrap();
        assert_eq!((counted.shape.size, counted.shape.family), (1, Family::Heap));
        let object = ("mylib.so", Path::new("/opt/mylib.so"));
        assert!(counted.names(object, "_ZN4pool4takeEim"));
        assert!(!counted.names(("libc.so.6", Path::new("/lib/libc.so.6")), "_ZN4pool4takeEim"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, why) in [
            ("my_alloc(size=1)->ptr", 1, "no TOML"),
            ("\nallocators = \"my_alloc\"", 2, "list"),
            ("allocators = [\n\"my_alloc\"]", 2, "no `(`"),
            ("allocators = [1]", 1, "in quotes"),
            ("[[allocators]]\nfunction = \"f\"", 1, "in quotes"),
            ("[pool]\nsize = 1", 1, "`pool`"),
            ("[allocator]\nsize = 1", 1, "list"),
            ("allocator = [1]", 1, "[[allocator]]"),
            ("[[allocator]]\nsize = 1\nreturns = \"ptr\"", 1, "`function`"),
            (
                "[[allocator]]\nfunction = \"f\"\nlength = 1",
                3,
                "`length` is none of",
            ),
            ("[[allocator]]\nfunction = \"f\"\nsize = \"1\"", 3, "1 to 6"),
            ("[[allocator]]\nfunction = \"f\"\nsize = 7", 3, "1 to 6"),
            ("[[allocator]]\nfunction = \"f\"\nsize = 0x1", 3, "1 to 6"),
            ("[[allocator]]\nfunction = \"f\"\nsize = -1", 3, "no number"),
            (
                "[[allocator]]\nfunction = \"f\"\nfamily = \"pool\"",
                3,
                "no family",
            ),
            ("[[allocator]]\nfunction = \"f\"\nsize = 1", 1, "go together"),
            ("[[allocator]]\nfunction = \"\"\nptr = 1", 1, "no function"),
            ("[[allocator]]\nfunction = \"f\"\nfunction = \"g\"", 3, "no TOML"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line}: ")), "{text}: {error}");
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_means_harm_is_refused() {
        let deep = format!("allocators = {}", "[".repeat(100_000));
        assert!(read(&deep).is_err());
        let wide = "allocators = [".to_owned() + &"\"\",".repeat(100_000) + "]";
        assert!(read(&wide).is_err());
        assert!(read("\0\u{1}\u{7f}").is_err());
        assert_eq!(read("").unwrap().len(), 0);
    }
}
