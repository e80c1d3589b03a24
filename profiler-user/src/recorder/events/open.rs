//! The calls of each thread that have not returned: they say who called whoever allocates now.
use std::collections::HashMap;

/// A call that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) function: u32,
    /// The return address of the call.
    pub(super) caller: u64,
}

/// By thread: its calls, the innermost last. What was lost in between is made up for by the depth of the next.
#[derive(Debug, Default)]
pub(super) struct OpenCalls(HashMap<u32, Vec<Option<Open>>>);

impl OpenCalls {
    /// A call at this depth.
    pub(super) fn called(&mut self, tid: u32, depth: u16, open: Open) {
        let calls = self.0.entry(tid).or_default();
        calls.resize(depth.into(), None);
        calls.push(Some(open));
    }

    /// A return of a call at this depth.
    pub(super) fn returned(&mut self, tid: u32, depth: u16) {
        if let Some(calls) = self.0.get_mut(&tid) {
            calls.truncate(depth.into());
            if calls.is_empty() {
                self.0.remove(&tid);
            }
        }
    }

    /// The innermost call, and how deep it is.
    pub(super) fn innermost(&self, tid: u32) -> Option<Open> {
        *self.0.get(&tid)?.last()?
    }

    /// The call that encloses the one at this depth.
    pub(super) fn enclosing(&self, tid: u32, depth: u16) -> Option<Open> {
        *self.0.get(&tid)?.get(usize::from(depth).checked_sub(1)?)?
    }
}

#[cfg(test)]
mod tests {
    use super::{Open, OpenCalls};

    fn open(function: u32) -> Open {
        Open {
            function,
            caller: u64::from(function) * 10,
        }
    }

    #[test]
    fn the_innermost_call_of_a_thread_is_the_last_that_has_not_returned() {
        let mut calls = OpenCalls::default();
        calls.called(1, 0, open(4));
        calls.called(1, 1, open(2));
        calls.called(2, 0, open(9));
        assert_eq!(calls.innermost(1), Some(open(2)));
        assert_eq!(calls.enclosing(1, 1), Some(open(4)));
        calls.returned(1, 1);
        assert_eq!(calls.innermost(1), Some(open(4)));
        calls.returned(1, 0);
        assert_eq!((calls.innermost(1), calls.innermost(2)), (None, Some(open(9))));
    }

    #[test]
    fn what_was_lost_is_nobody() {
        let mut calls = OpenCalls::default();
        // The calls at depths 0 and 1 were lost, then the return at depth 2.
        calls.called(1, 2, open(5));
        assert_eq!(calls.enclosing(1, 2), None);
        calls.called(1, 1, open(6));
        assert_eq!(calls.innermost(1), Some(open(6)));
        calls.returned(1, 1);
        assert_eq!(calls.innermost(1), None);
    }
}
