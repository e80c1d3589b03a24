//! Every allocation and free, in the order in which they happened: a line of CSV each.
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use profiler_common::alloc::{Action, Family};
use profiler_common::event::{AllocEvent, AllocEventKind};
use zerocopy::FromBytes as _;

use crate::probe::plan::{Plan, PlannedFunction};
use crate::resolve::{AddressResolver, Threads};

/// The columns that the format has always had, and ours behind them.
const COLUMNS: [&str; 14] = [
    "time",
    "value1",
    "value2",
    "event",
    "name",
    "mod",
    "lineno",
    "from_name",
    "from_mod",
    "from_line",
    "pid",
    "tid",
    "comm",
    "allocator",
];

/// What happened, by the number that the format gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    number: u16,
    name: &'static str,
}

const fn code(number: u16, name: &'static str) -> Code {
    Code { number, name }
}

const MALLOC: Code = code(1000, "malloc");
const CALLOC: Code = code(1001, "calloc");
const REALLOC: Code = code(1002, "realloc");
const FREE: Code = code(1003, "free");
const REALLOC_FREE: Code = code(1004, "realloc_free");
const MMAP: Code = code(1010, "mmap");
const MUNMAP: Code = code(1011, "munmap");
const BRK: Code = code(1012, "brk");
const POSIX_MEMALIGN: Code = code(1013, "posix_memalign");
const ALIGNED_ALLOC: Code = code(1014, "aligned_alloc");
const NEW: Code = code(1015, "operator new");
const DELETE: Code = code(1016, "operator delete");

/// What calls of a function are, and what it is called.
#[derive(Clone, Debug)]
struct Function {
    code: Code,
    name: Arc<str>,
}

/// The functions of the plan, by number: it grows while the session runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Functions(Arc<RwLock<Vec<Function>>>);

impl Functions {
    /// Functions joined the plan.
    pub(super) fn extend(&self, plan: &Plan) {
        let mut functions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = functions.len();
        let new = plan.functions.get(known..).unwrap_or_default();
        functions.extend(new.iter().map(|function| Function {
            code: code_of(function),
            name: function.name.as_str().into(),
        }));
    }

    fn get(&self, number: u32) -> Option<Function> {
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
        Action::Break => BRK,
        Action::AllocateOut if shape.family == Family::Heap => POSIX_MEMALIGN,
        _ if name.starts_with("_Zn") => NEW,
        _ if shape.count < 6 => CALLOC,
        _ if name.contains("align") => ALIGNED_ALLOC,
        Action::None | Action::Allocate | Action::AllocateAlone | Action::AllocateOut | Action::Forward => {
            MALLOC
        }
    }
}

/// Where a caller is.
#[derive(Clone, Debug)]
struct Caller {
    name: String,
    object: String,
    line: i64,
}

/// The file with the events, being written.
pub(in crate::session) struct Timeline {
    path: PathBuf,
    writer: csv::Writer<BufWriter<File>>,
    functions: Functions,
    resolver: AddressResolver,
    callers: HashMap<(u32, u64), Caller>,
    threads: Threads,
    /// Numbers in place of names.
    raw: bool,
    /// Events that were written, and messages that were none.
    pub(in crate::session) written: u64,
    undecodable: u64,
    failure: Option<io::Error>,
}

impl Timeline {
    /// Opens the file, and writes the header.
    pub(super) fn create(path: PathBuf, functions: Functions, raw: bool) -> io::Result<Self> {
        let file = File::create(&path)?;
        let mut writer = csv::Writer::from_writer(BufWriter::with_capacity(1 << 18, file));
        writer.write_record(COLUMNS)?;
        Ok(Self {
            path,
            writer,
            functions,
            resolver: AddressResolver::new(),
            callers: HashMap::new(),
            threads: Threads::of_this_machine(),
            raw,
            written: 0,
            undecodable: 0,
            failure: None,
        })
    }

    /// Looks at what a process maps, as long as it is there.
    pub(super) fn learn(&mut self, pid: u32) {
        // It is looked at again when something of it is asked for.
        let _: Result<(), _> = self.resolver.learn(pid);
    }

    /// A message of the kernel.
    pub(in crate::session) fn message(&mut self, message: &[u8]) {
        let decoded = AllocEvent::read_from_bytes(message).ok();
        let decoded = decoded.and_then(|event| Some((event, AllocEventKind::from_bits(event.kind)?)));
        let Some((event, kind)) = decoded else {
            self.undecodable += 1;
            return;
        };
        if self.failure.is_none()
            && let Err(error) = self.write(&event, kind)
        {
            self.failure = Some(error);
        }
    }

    fn write(&mut self, event: &AllocEvent, kind: AllocEventKind) -> io::Result<()> {
        let function = self.functions.get(event.function);
        let own = function.as_ref().map_or(MALLOC, |function| function.code);
        let (code, size) = match kind {
            AllocEventKind::Allocate => (own, event.size as i64),
            AllocEventKind::Free => (own, (event.size as i64).wrapping_neg()),
            AllocEventKind::ReallocateFree => (REALLOC_FREE, (event.size as i64).wrapping_neg()),
            AllocEventKind::Reallocate => (REALLOC, event.size as i64),
        };
        let caller = self.caller(event.pid, event.caller);
        let event_name = if self.raw {
            code.number.to_string()
        } else {
            code.name.to_owned()
        };
        let comm = self.threads.comm(event.time_ns, event.pid, event.tid).to_owned();
        let numbers = [
            event.time_ns.to_string(),
            event.address.to_string(),
            size.to_string(),
        ];
        let place = [caller.line, -1].map(|line| line.to_string());
        let ids = [event.pid, event.tid].map(|id| id.to_string());
        let allocator = function.map_or_else(|| "".into(), |function| function.name);
        self.writer.write_record([
            &*numbers[0],
            &*numbers[1],
            &*numbers[2],
            &*event_name,
            &*caller.name,
            &*caller.object,
            &*place[0],
            "",
            "",
            &*place[1],
            &*ids[0],
            &*ids[1],
            &*comm,
            &*allocator,
        ])?;
        self.written += 1;
        Ok(())
    }

    fn caller(&mut self, pid: u32, address: u64) -> Caller {
        if let Some(known) = self.callers.get(&(pid, address)) {
            return known.clone();
        }
        let place = self.resolver.resolve(pid, address.saturating_sub(1));
        let line = self.resolver.line(pid, address.saturating_sub(1));
        let (object, line) = match line {
            Some(line) => (line.file.to_string(), i64::from(line.line)),
            None => (place.object.to_string(), -1),
        };
        let caller = Caller {
            name: place
                .function
                .as_deref()
                .map_or_else(|| format!("{address:#x}"), str::to_owned),
            object,
            line,
        };
        self.callers.insert((pid, address), caller.clone());
        caller
    }

    /// What was written so far is there for others to read.
    pub(in crate::session) fn flush(&mut self) {
        if self.failure.is_none()
            && let Err(error) = self.writer.flush()
        {
            self.failure = Some(error);
        }
    }

    /// Ends the file: how many events it has, how many messages could not be read, or why it ends too early.
    pub(in crate::session) fn finish(mut self) -> Result<(u64, u64), (PathBuf, io::Error)> {
        self.flush();
        let Self {
            path,
            writer,
            written,
            undecodable,
            failure,
            ..
        } = self;
        let ended = match failure {
            Some(error) => Err(error),
            None => writer
                .into_inner()
                .map_err(|error| io::Error::other(error.to_string()))
                .and_then(|mut file| file.flush()),
        };
        ended
            .map(|()| (written, undecodable))
            .map_err(|error| (path, error))
    }
}

#[cfg(test)]
mod tests {
    use profiler_common::event::{AllocEvent, AllocEventKind};
    use zerocopy::IntoBytes as _;

    use super::{Functions, Timeline};

    fn event(kind: AllocEventKind, size: u64) -> AllocEvent {
        AllocEvent {
            time_ns: 7,
            address: 94_271_373_456_320,
            size,
            caller: 0x10,
            pid: u32::MAX >> 1,
            tid: u32::MAX >> 1,
            function: 0,
            kind: kind as u32,
        }
    }

    fn written(raw: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.csv");
        let mut timeline = Timeline::create(path.clone(), Functions::default(), raw).unwrap();
        for (kind, size) in [
            (AllocEventKind::Allocate, 100_001),
            (AllocEventKind::ReallocateFree, 100_001),
            (AllocEventKind::Reallocate, 5),
            (AllocEventKind::Free, 0),
        ] {
            timeline.message(event(kind, size).as_bytes());
        }
        timeline.message(b"none");
        assert_eq!(timeline.finish().unwrap(), (4, 1));
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_first_ten_columns_are_those_of_the_format_and_frees_have_negative_sizes() {
        let text = written(false);
        let lines: Vec<&str> = text.lines().collect();
        let header = "time,value1,value2,event,name,mod,lineno,from_name,from_mod,from_line,";
        assert!(lines[0].starts_with(header), "{}", lines[0]);
        let starts = [
            "7,94271373456320,100001,malloc,0x10,,-1,,,-1,",
            "7,94271373456320,-100001,realloc_free,",
            "7,94271373456320,5,realloc,",
            "7,94271373456320,0,malloc,",
        ];
        for (line, start) in lines[1..].iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn raw_events_are_numbers() {
        assert!(written(true).contains(",100001,1000,0x10,"));
    }
}
