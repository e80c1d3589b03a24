//! The record of the function-memory monitor.
use super::{CallKind, FunctionRecord, record};

/// Memory of a process, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident memory.
    pub rss: u64,
    /// Mapped memory.
    pub vms: u64,
}

record! {
    /// One call of a probed function, or one return from it, and how much memory the process had then.
    FunctionMemoryRecord as "function_memory" {
        /// How many records this session made before this one.
        index: u64 = "index", None, 8;
        /// `call` or `return`; at the end `lost`, for each reason that anything was lost for.
        kind: CallKind = "type", None, 11;
        /// The function's demangled name. Lost: `reason=count`.
        function: &'a str = "function", None, 30;
        /// Resident memory of the whole process, bytes: its pages of files, anonymous and shared memory that are in RAM.
        rss: Option<u64> = "RSS", Bytes, 12;
        /// Mapped memory of the whole process, bytes, whether in RAM or not.
        vms: Option<u64> = "VMS", Bytes, 12;
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

impl<'a> FunctionMemoryRecord<'a> {
    /// What is said of a call, and the memory; none = not known.
    #[inline]
    pub fn new(call: FunctionRecord<'a>, memory: Option<ProcessMemory>) -> Self {
        let FunctionRecord {
            index,
            kind,
            function,
            line,
            filename,
            time_ns,
            pid,
            tid,
            comm,
            object,
            depth,
            duration_ns,
        } = call;
        Self {
            index,
            kind,
            function,
            rss: memory.map(|memory| memory.rss),
            vms: memory.map(|memory| memory.vms),
            line,
            filename,
            time_ns,
            pid,
            tid,
            comm,
            object,
            depth,
            duration_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FunctionMemoryRecord;
    use crate::record::FunctionRecord;

    #[test]
    fn the_columns_begin_with_the_published_ones_and_add_those_of_the_function_monitor() {
        let names = |columns: &[crate::record::Column]| -> Vec<&str> {
            columns.iter().map(|column| column.name).collect()
        };
        let mine = names(&FunctionMemoryRecord::SCHEMA.columns);
        assert_eq!(mine[..7].join(","), "index,type,function,RSS,VMS,lineNo,filename");
        let mut plain = names(&FunctionRecord::SCHEMA.columns);
        plain.splice(3..3, ["RSS", "VMS"]);
        assert_eq!(mine, plain);
    }

    #[test]
    fn the_columns_that_both_monitors_have_are_the_same() {
        for column in &*FunctionRecord::SCHEMA.columns {
            assert!(
                FunctionMemoryRecord::SCHEMA.columns.contains(column),
                "{column:?}"
            );
        }
    }
}
