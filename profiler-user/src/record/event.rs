//! The record of the events monitor.
use super::{CallKind, FunctionRecord, record};

record! {
    /// One thing that happened: a call or a return of a probed function, an allocation or a free.
    EventRecord as "event" {
        /// When, on the clock `CLOCK_MONOTONIC`, ns.
        time: u64 = "time", Nanoseconds, 15;
        /// Allocation or free: the address of the block. Lost: how many.
        value1: u64 = "value1", None, 15;
        /// Allocation: its bytes. Free: the same, negative, or 0 where the block was not known: the sum is what is alive.
        value2: i64 = "value2", Bytes, 9;
        /// `call`, `return` (from another file: `c_call`, `c_return`), `malloc`, `calloc`, `realloc`, `free`, `realloc_free`, …; `lost` at the end, for each reason. With `--raw` their numbers.
        event: &'a str = "event", None, 12;
        /// Call or return: the function. Allocation or free: the function that asked for it. Lost: the reason.
        name: &'a str = "name", None, 24;
        /// Its source file; without debug information its executable or library.
        module: &'a str = "mod", None, 20;
        /// The line of its declaration; -1 = not known.
        line: i64 = "lineno", Line, 6;
        /// The function that called it; empty = not known.
        from_name: &'a str = "from_name", None, 24;
        /// The source file, executable or library of that one.
        from_module: &'a str = "from_mod", None, 20;
        /// The line of the call there; -1 = not known.
        from_line: i64 = "from_line", Line, 9;
        /// Process id, as the host sees it.
        pid: Option<u32> = "pid", None, 7;
        /// Thread id, as the host sees it.
        tid: Option<u32> = "tid", None, 7;
        /// The thread's name.
        comm: &'a str = "comm", None, 15;
        /// Allocation or free: the function that was called for it.
        allocator: &'a str = "allocator", None, 14;
        /// Allocation or free: the line where it was asked for; -1 = not known.
        call_line: i64 = "call_line", Line, 9;
        /// Call or return: how many probed calls of the thread enclose this one.
        depth: Option<u32> = "depth", None, 5;
        /// Return: how long the call took.
        duration_ns: Option<u64> = "duration_ns", Nanoseconds, 0;
    }
}

impl<'a> EventRecord<'a> {
    /// A call or a return of which nobody said who called.
    pub fn of_call(call: FunctionRecord<'a>) -> Self {
        let FunctionRecord {
            index: _,
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
            time: time_ns.unwrap_or(0),
            value1: 0,
            value2: 0,
            event: match kind {
                CallKind::Call => "call",
                CallKind::Return => "return",
                CallKind::Lost => "lost",
            },
            name: function,
            module: filename.unwrap_or(object),
            line: line.map_or(-1, i64::from),
            from_name: "",
            from_module: "",
            from_line: -1,
            pid,
            tid,
            comm,
            allocator: "",
            call_line: -1,
            depth,
            duration_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EventRecord;

    #[test]
    fn the_columns_begin_with_the_published_ones() {
        let names: Vec<&str> = EventRecord::SCHEMA
            .columns
            .iter()
            .map(|column| column.name)
            .collect();
        assert_eq!(
            names[..12].join(","),
            "time,value1,value2,event,name,mod,lineno,from_name,from_mod,from_line,pid,tid"
        );
    }
}
