//! Threads' names.
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs;
use std::hash::{BuildHasherDefault, Hasher};

/// Ended threads whose names are kept: their last events may still be on their way.
const KEPT: usize = 4096;

/// Reads the name of thread `tid` of process `pid`, where the kernel's message about it did not come.
pub type CommReader = Box<dyn FnMut(u32, u32) -> Option<Vec<u8>> + Send>;

/// What threads are called, by thread id.
///
/// Thread ids are used again: each name holds from the time it was learnt, and the one before it until then.
pub struct Threads {
    known: HashMap<u32, Thread, BuildHasherDefault<IdHasher>>,
    ended: VecDeque<(u32, u64)>,
    reader: CommReader,
}

#[derive(Debug)]
struct Thread {
    comm: Box<str>,
    since_ns: u64,
    previous: Option<Box<str>>,
}

impl Threads {
    /// Names that the messages do not tell come from `reader`.
    pub fn new(reader: CommReader) -> Self {
        Self {
            known: HashMap::default(),
            ended: VecDeque::new(),
            reader,
        }
    }

    /// Names that the messages do not tell come from `/proc`.
    pub fn of_this_machine() -> Self {
        Self::new(Box::new(|pid, tid| {
            fs::read(format!("/proc/{pid}/task/{tid}/comm")).ok()
        }))
    }

    /// Only what the messages tell: for recorded events, whose threads are gone.
    pub fn recorded() -> Self {
        Self::new(Box::new(|_, _| None))
    }

    /// From `time_ns` on, thread `tid` is called `comm` (NUL-padded bytes).
    pub fn seen(&mut self, time_ns: u64, tid: u32, comm: &[u8]) {
        let comm = decoded(comm);
        match self.known.get_mut(&tid) {
            Some(thread) if thread.comm == comm => {
                if thread.previous.is_none() {
                    thread.since_ns = time_ns;
                }
            }
            Some(thread) => {
                let previous = std::mem::replace(&mut thread.comm, comm);
                (thread.since_ns, thread.previous) = (time_ns, Some(previous));
            }
            None => {
                self.known.insert(
                    tid,
                    Thread {
                        comm,
                        since_ns: time_ns,
                        previous: None,
                    },
                );
            }
        }
    }

    /// Thread `tid` ended at `time_ns`.
    pub fn ended(&mut self, time_ns: u64, tid: u32) {
        self.ended.push_back((tid, time_ns));
        if self.ended.len() <= KEPT {
            return;
        }
        if let Some((tid, ended_ns)) = self.ended.pop_front()
            && self
                .known
                .get(&tid)
                .is_some_and(|thread| thread.since_ns <= ended_ns)
        {
            self.known.remove(&tid);
        }
    }

    /// Whether a message told of thread `tid`, or it was looked up.
    #[inline]
    pub fn knows(&self, tid: u32) -> bool {
        self.known.contains_key(&tid)
    }

    /// What thread `tid` of process `pid` was called at `time_ns`; empty if nobody knows.
    #[inline]
    pub fn comm(&mut self, time_ns: u64, pid: u32, tid: u32) -> &str {
        let Self {
            known,
            ended: _,
            reader,
        } = self;
        let thread = known.entry(tid).or_insert_with(|| Thread {
            comm: decoded(&reader(pid, tid).unwrap_or_default()),
            since_ns: time_ns,
            previous: None,
        });
        match &thread.previous {
            Some(previous) if time_ns < thread.since_ns => previous,
            _ => &thread.comm,
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

/// The name in `bytes`: up to the first NUL or line end, whatever is not UTF-8 replaced.
fn decoded(bytes: &[u8]) -> Box<str> {
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, 0 | b'\n'))
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into()
}

/// Thread ids are small and dense, and the kernel hands them out: one multiplication spreads them well enough.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Threads};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_message_names_a_thread_and_a_later_one_renames_it() {
        let mut threads = Threads::recorded();
        threads.seen(10, 7, b"first\0\0\0");
        assert_eq!(threads.comm(11, 1, 7), "first");
        threads.seen(20, 7, b"second\0garbage");
        assert_eq!(threads.comm(21, 2, 7), "second");
    }

    #[test]
    fn an_event_from_before_the_id_was_used_again_keeps_the_old_name() {
        let mut threads = Threads::recorded();
        threads.seen(10, 7, b"old");
        threads.ended(15, 7);
        threads.seen(20, 7, b"new");
        assert_eq!(threads.comm(14, 1, 7), "old");
        assert_eq!(threads.comm(20, 1, 7), "new");
    }

    #[test]
    fn a_thread_without_a_message_is_looked_up_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let mut threads = Threads::new(Box::new(move |pid, tid| {
            counter.fetch_add(1, Ordering::Relaxed);
            (tid == 7).then(|| format!("p{pid}\n").into_bytes())
        }));
        for _ in 0..3 {
            assert_eq!(threads.comm(1, 5, 7), "p5");
            assert_eq!(threads.comm(1, 5, 8), "");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let mut threads = Threads::recorded();
        threads.seen(1, 7, b"a\xffb\0");
        assert_eq!(threads.comm(1, 1, 7), "a\u{fffd}b");
    }

    #[test]
    fn this_machine_knows_the_name_of_this_thread() {
        let pid = std::process::id();
        let expected = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/comm")).unwrap();
        assert_eq!(Threads::of_this_machine().comm(1, pid, pid), expected.trim_end());
    }

    #[test]
    fn ended_threads_do_not_pile_up() {
        let mut threads = Threads::recorded();
        for tid in 0..3 * KEPT as u32 {
            threads.seen(u64::from(tid), tid, b"brief");
            threads.ended(u64::from(tid), tid);
        }
        assert_eq!(threads.known.len(), KEPT);
    }
}
