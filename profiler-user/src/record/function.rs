//! The record of the function monitor.
use super::{Value, record};

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A function was entered.
    Call,
    /// It returned.
    Return,
    /// Not a call: at the end of the records, how many things of one sort could not be kept.
    Lost,
}

impl From<CallKind> for Value<'_> {
    fn from(kind: CallKind) -> Self {
        Self::Text(match kind {
            CallKind::Call => "call",
            CallKind::Return => "return",
            CallKind::Lost => "lost",
        })
    }
}

record! {
    /// One call of a probed function, or one return from it.
    FunctionRecord as "function" {
        /// How many records this session made before this one.
        index: u64 = "index", None, 8;
        /// `call` or `return`; at the end `lost`, for each reason that anything was lost for.
        kind: CallKind = "type", None, 11;
        /// The function's demangled name. Lost: `reason=count`.
        function: &'a str = "function", None, 30;
        /// The line of the function's declaration; empty without debug information.
        line: Option<u32> = "lineNo", Line, 5;
        /// The source file of its declaration; empty without debug information.
        filename: Option<&'a str> = "filename", None, 8;
        /// When, on the clock `CLOCK_MONOTONIC`.
        time_ns: Option<u64> = "time_ns", Nanoseconds, 15;
        /// Process id, as the host sees it.
        pid: Option<u32> = "pid", None, 7;
        /// Thread id, as the host sees it.
        tid: Option<u32> = "tid", None, 7;
        /// The thread's name.
        comm: &'a str = "comm", None, 15;
        /// File name of the executable or library that holds the function.
        object: &'a str = "object", None, 20;
        /// How many probed calls of the thread enclose this one.
        depth: Option<u32> = "depth", None, 5;
        /// Return: how long the call took. Call: empty.
        duration_ns: Option<u64> = "duration_ns", Nanoseconds, 0;
    }
}

#[cfg(test)]
mod tests {
    use super::FunctionRecord;

    #[test]
    fn the_columns_have_their_published_names_and_order() {
        let names: Vec<&str> = FunctionRecord::SCHEMA
            .columns
            .iter()
            .map(|column| column.name)
            .collect();
        assert_eq!(
            names.join(","),
            "index,type,function,lineNo,filename,time_ns,pid,tid,comm,object,depth,duration_ns"
        );
    }

    #[test]
    fn every_column_says_what_it_holds() {
        assert!(
            FunctionRecord::SCHEMA
                .columns
                .iter()
                .all(|column| !column.doc.trim().is_empty())
        );
    }
}
