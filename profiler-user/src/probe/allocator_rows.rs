//! Allocators that the user names: `mylib.so:my_alloc(size=1)->ptr`.
use std::path::Path;
use std::str::FromStr;

use profiler_common::alloc::{Action, Family, NO_ARGUMENT, Shape};

use super::pattern::ObjectPattern;

/// What an allocator looks like.
const FORM: &str = "write `[OBJECT:]FUNCTION(size=N)->ptr`, `(count=N,size=N)->ptr`, `(ptr=N,size=N)->ptr`, \
                    `(out=N,size=N)->0` or `(ptr=N)`, with arguments counted from 1, and `,family=NAME` where it is no pool of its own";

/// A text that describes no allocator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` describes no allocator ({why}): {FORM}")]
pub struct AllocatorError {
    /// The text.
    text: String,
    /// What is wrong.
    why: String,
}

/// An allocator of the user's.
#[derive(Clone, Debug)]
pub struct UserRow {
    text: String,
    object: Option<ObjectPattern>,
    function: String,
    /// How its arguments are read.
    pub shape: Shape,
}

impl UserRow {
    /// Whether it names this function.
    pub(super) fn names(&self, (name, path): (&str, &Path), raw: &str) -> bool {
        let demangled = || crate::object::names::demangle(raw);
        let is_function = raw == self.function
            || ((raw.starts_with("_Z") || raw.starts_with("_R"))
                && (demangled() == self.function
                    || crate::object::names::without_parameters(&demangled()) == self.function));
        is_function
            && self
                .object
                .as_ref()
                .is_none_or(|object| object.matches(name, path))
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// From its parts. `object`: a pattern; `returns`: `ptr`, `0`, or nothing.
    pub(super) fn of_parts(
        object: Option<&str>,
        function: &str,
        fields: Fields,
        returns: &str,
    ) -> Result<Self, AllocatorError> {
        let text = object.map_or_else(|| function.to_owned(), |object| format!("{object}:{function}"));
        Self::assemble(&text, (object, function), Ok(fields), returns)
    }

    fn assemble(
        text: &str,
        (object, function): (Option<&str>, &str),
        fields: Result<Fields, String>,
        returns: &str,
    ) -> Result<Self, AllocatorError> {
        let wrong = |why: &str| AllocatorError {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        if function.trim().is_empty() {
            return Err(wrong("it names no function"));
        }
        let object = object
            .map(str::parse)
            .transpose()
            .map_err(|_error| wrong("the object is no valid pattern"))?;
        let shape = fields
            .and_then(|fields| fields.shape(returns))
            .map_err(|why| wrong(&why))?;
        Ok(Self {
            text: text.to_owned(),
            object,
            function: function.trim().to_owned(),
            shape,
        })
    }
}

/// What is said of a function's arguments.
#[derive(Default)]
pub(super) struct Fields {
    size: Option<u8>,
    count: Option<u8>,
    pointer: Option<u8>,
    out: Option<u8>,
    family: Option<Family>,
}

impl Fields {
    fn read(text: &str) -> Result<Self, String> {
        let mut fields = Self::default();
        for field in text.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').ok_or(format!("`{field}` has no `=`"))?;
            fields.set(key.trim(), value.trim())?;
        }
        Ok(fields)
    }

    /// Notes what a key says.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if key == "family" {
            self.family = Some(Family::by_name(value).ok_or(format!("`{value}` is no family"))?);
            return Ok(());
        }
        let number: u8 = value
            .parse()
            .map_err(|_error| format!("`{value}` is no number"))?;
        let argument = number
            .checked_sub(1)
            .filter(|argument| *argument < 6)
            .ok_or("only the arguments 1 to 6 are in registers".to_owned())?;
        let place = match key {
            "size" => &mut self.size,
            "count" => &mut self.count,
            "ptr" => &mut self.pointer,
            "out" => &mut self.out,
            other => return Err(format!("`{other}` is none of size, count, ptr, out, family")),
        };
        *place = Some(argument);
        Ok(())
    }

    fn shape(self, returns: &str) -> Result<Shape, String> {
        let Self {
            size,
            count,
            pointer,
            out,
            family,
        } = self;
        let (action, pointer) = match (returns, pointer, out, size) {
            ("", Some(pointer), None, None) if count.is_none() => (Action::Free, pointer),
            ("ptr", None, None, Some(_)) => (Action::Allocate, NO_ARGUMENT),
            ("ptr", Some(pointer), None, Some(_)) => (Action::Reallocate, pointer),
            ("0", None, Some(out), Some(_)) => (Action::AllocateOut, out),
            _ => return Err("these do not go together".to_owned()),
        };
        Ok(Shape {
            action,
            family: family.unwrap_or(Family::User),
            size: size.unwrap_or(NO_ARGUMENT),
            count: count.unwrap_or(NO_ARGUMENT),
            pointer,
        })
    }
}

impl FromStr for UserRow {
    type Err = AllocatorError;

    fn from_str(text: &str) -> Result<Self, AllocatorError> {
        let wrong = |why: &str| AllocatorError {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        let (name, rest) = text.split_once('(').ok_or_else(|| wrong("it has no `(`"))?;
        let (fields, returns) = rest.split_once(')').ok_or_else(|| wrong("it has no `)`"))?;
        let returns = match returns.trim().strip_prefix("->") {
            Some(returns) => returns.trim(),
            None if returns.trim().is_empty() => "",
            None => return Err(wrong("behind `)` only `->ptr` or `->0` can follow")),
        };
        // A name of C++ has colons, too, but two of them.
        let (object, function) = match name.rsplit_once(':') {
            Some((object, function)) if !object.ends_with(':') => (Some(object), function),
            Some(_) | None => (None, name),
        };
        Self::assemble(text, (object, function), Fields::read(fields), returns)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use profiler_common::alloc::{Action, Family, NO_ARGUMENT};

    use super::UserRow;

    fn row(text: &str) -> UserRow {
        text.parse().unwrap()
    }

    #[test]
    fn each_form_of_an_allocator_is_understood() {
        let shape = row("mylib.so:my_alloc(size=1)->ptr").shape;
        assert_eq!(
            (shape.action, shape.size, shape.family),
            (Action::Allocate, 0, Family::User)
        );
        let shape = row("my_calloc(count=1, size=2)->ptr").shape;
        assert_eq!((shape.action, shape.count, shape.size), (Action::Allocate, 0, 1));
        let shape = row("my_realloc(ptr=2,size=3)->ptr").shape;
        assert_eq!(
            (shape.action, shape.pointer, shape.size),
            (Action::Reallocate, 1, 2)
        );
        let shape = row("my_memalign(out=1,size=3,family=heap)->0").shape;
        assert_eq!(
            (shape.action, shape.pointer, shape.family),
            (Action::AllocateOut, 0, Family::Heap)
        );
        let shape = row("my_free(ptr=1)").shape;
        assert_eq!((shape.action, shape.size), (Action::Free, NO_ARGUMENT));
    }

    #[test]
    fn what_describes_no_allocator_is_refused_with_the_reason() {
        for (text, why) in [
            ("my_alloc", "no `(`"),
            ("my_alloc(size=1", "no `)`"),
            ("my_alloc(size=0)->ptr", "1 to 6"),
            ("my_alloc(size=7)->ptr", "1 to 6"),
            ("my_alloc(size=x)->ptr", "no number"),
            ("my_alloc(length=1)->ptr", "none of"),
            ("my_alloc(size=1)", "go together"),
            ("my_alloc()->ptr", "go together"),
            ("(size=1)->ptr", "no function"),
            ("my_free(ptr=1,family=pool)", "no family"),
            ("my_alloc(size=1)ptr", "follow"),
        ] {
            let error = text.parse::<UserRow>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_object_and_the_function_decide() {
        let object = ("mylib.so", Path::new("/opt/mylib.so"));
        let other = ("libc.so.6", Path::new("/lib/libc.so.6"));
        let named = row("mylib.so:my_alloc(size=1)->ptr");
        assert!(named.names(object, "my_alloc") && !named.names(other, "my_alloc"));
        assert!(!named.names(object, "my_alloc2"));
        let cpp = row("pool::take(size=2)->ptr");
        assert!(cpp.names(other, "_ZN4pool4takeEm"));
    }
}
