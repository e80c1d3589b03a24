//! What the numbers of functions stand for.
use std::sync::Arc;

/// A function's name and the file that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    /// Demangled name.
    pub function: Box<str>,
    /// File name of its executable or library.
    pub object: Arc<str>,
    /// The source file and line of its declaration; none without debug information.
    pub source: Option<(Arc<str>, u32)>,
}

/// The names of a session's functions, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionNames {
    names: Vec<FunctionName>,
}

impl FunctionNames {
    /// No names yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the name of the next number. Functions of one object are best added one after the other.
    pub fn push(&mut self, function: impl Into<Box<str>>, object: &str) {
        let object = match self.names.last() {
            Some(last) if *last.object == *object => Arc::clone(&last.object),
            _ => Arc::from(object),
        };
        self.names.push(FunctionName {
            function: function.into(),
            object,
            source: None,
        });
    }

    /// Adds the names of the next numbers.
    pub fn append(&mut self, mut more: Self) {
        self.names.append(&mut more.names);
    }

    /// Sets the source file and line of a function's declaration.
    pub fn set_source(&mut self, function: u32, file: Arc<str>, line: u32) {
        if let Some(name) = self.names.get_mut(function as usize) {
            name.source = Some((file, line));
        }
    }

    /// The name of a function, unless its number is out of range.
    #[inline]
    pub fn get(&self, function: u32) -> Option<&FunctionName> {
        self.names.get(function as usize)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All of them, by number.
    pub fn iter(&self) -> std::slice::Iter<'_, FunctionName> {
        self.names.iter()
    }
}

impl<'a> IntoIterator for &'a FunctionNames {
    type Item = &'a FunctionName;
    type IntoIter = std::slice::Iter<'a, FunctionName>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
