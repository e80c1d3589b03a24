//! What happened, by the numbers and names that the format gives it, and the functions that it happened to.
use std::sync::{Arc, PoisonError, RwLock};

use profiler_common::alloc::{Action, Family};
use profiler_common::cookie::CallStack;

use crate::probe::plan::{Plan, PlannedFunction};
use crate::resolve::LinesAhead;

/// A number and a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// As digits.
    pub(super) number: &'static str,
    pub(super) name: &'static str,
}

const fn code(number: &'static str, name: &'static str) -> Code {
    Code { number, name }
}

pub(super) const CALL: Code = code("1", "call");
pub(super) const RETURN: Code = code("2", "return");
/// The same from another file.
pub(super) const FAR_CALL: Code = code("3", "c_call");
pub(super) const FAR_RETURN: Code = code("4", "c_return");
pub(super) const LOST: Code = code("200", "lost");
pub(super) const MALLOC: Code = code("1000", "malloc");
const CALLOC: Code = code("1001", "calloc");
pub(super) const REALLOC: Code = code("1002", "realloc");
const FREE: Code = code("1003", "free");
pub(super) const REALLOC_FREE: Code = code("1004", "realloc_free");
const MMAP: Code = code("1010", "mmap");
const MUNMAP: Code = code("1011", "munmap");
const BRK: Code = code("1012", "brk");
const POSIX_MEMALIGN: Code = code("1013", "posix_memalign");
const ALIGNED_ALLOC: Code = code("1014", "aligned_alloc");
const NEW: Code = code("1015", "operator new");
const DELETE: Code = code("1016", "operator delete");

/// A function of the plan.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// What its calls are, if it allocates or frees.
    pub(super) code: Option<Code>,
    pub(super) name: Arc<str>,
    /// The file name of its executable or library.
    pub(super) object: Arc<str>,
    /// Its calls are a thread's, and no goroutine's.
    pub(super) of_thread: bool,
    /// Its lines, and its number among them.
    lines: (LinesAhead, usize),
}

impl Function {
    /// The source file and line of its declaration, as far as they have been read.
    pub(super) fn declared(&self) -> Option<(&str, u32)> {
        let (lines, number) = &self.lines;
        let line = lines.get()?.get(*number)?;
        Some((&*line.file, line.line))
    }
}

/// The functions of the plan, by number: it grows while the session runs.
#[derive(Clone, Debug, Default)]
pub struct EventFunctions(Arc<RwLock<Vec<Arc<Function>>>>);

impl EventFunctions {
    /// Functions joined the plan: those from `first` on have their lines there.
    pub fn extend(&self, plan: &Plan, (first, lines): (usize, &LinesAhead)) {
        let mut functions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = functions.len();
        let new = plan.functions.get(known..).unwrap_or_default();
        functions.extend(new.iter().enumerate().map(|(index, function)| {
            Arc::new(Function {
                code: function.allocator.map(|_| code_of(function)),
                name: function.name.as_str().into(),
                object: plan.objects[function.object].name.as_str().into(),
                of_thread: function.stack == CallStack::Thread,
                lines: (lines.clone(), known + index - first.min(known)),
            })
        }));
    }

    pub(super) fn get(&self, number: u32) -> Option<Arc<Function>> {
        let functions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        functions.get(number as usize).cloned()
    }
}

fn code_of(function: &PlannedFunction) -> Code {
    let Some(allocator) = function.allocator else {
        return MALLOC;
    };
    let name = function.name.as_str();
    let shape = allocator.shape;
    match shape.action {
        Action::Free if name.starts_with("_Zd") => DELETE,
        Action::Free => FREE,
        Action::Reallocate | Action::Resize => REALLOC,
        Action::Map | Action::Remap => MMAP,
        Action::Unmap => MUNMAP,
        Action::Break | Action::BreakTo => BRK,
        Action::AllocateOut if shape.family == Family::Heap => POSIX_MEMALIGN,
        _ if name.starts_with("_Zn") => NEW,
        _ if shape.count < 6 => CALLOC,
        _ if name.contains("align") => ALIGNED_ALLOC,
        Action::None | Action::Allocate | Action::AllocateAlone | Action::AllocateOut | Action::Forward => {
            MALLOC
        }
    }
}
