//! Messages from the kernel, decoded; and the file that keeps them.
//!
//! There are two sources of messages, the rings and a recorded file ([`EventFileReader`]); what lies behind this module
//! does not know which one it is fed from, and is tested without a kernel.
mod file;
mod names;

use profiler_common::event::{
    FunctionEvent, FunctionEventKind, FunctionMemoryEvent, ProcessEvent, ProcessEventKind,
};
use zerocopy::FromBytes;

pub use file::{EventFileError, EventFileReader, EventFileWriter};
pub use names::{FunctionName, FunctionNames};

/// Which of the rings a message came through: it tells what the message can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stream {
    /// Calls and returns.
    Functions = 1,
    /// What happened to threads and processes.
    Processes = 2,
    /// Calls and returns, with the memory of their process.
    FunctionMemory = 3,
}

impl Stream {
    /// The stream of a number in a file.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            1 => Some(Self::Functions),
            2 => Some(Self::Processes),
            3 => Some(Self::FunctionMemory),
            _ => None,
        }
    }
}

/// A decoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A function was entered.
    Call(FunctionEvent),
    /// A function returned.
    Return(FunctionEvent),
    /// A function was entered; with the memory of the process.
    CallWithMemory(FunctionMemoryEvent),
    /// A function returned; with the memory of the process.
    ReturnWithMemory(FunctionMemoryEvent),
    /// A thread hit a probe for the first time, or changed its name.
    ThreadSeen(ProcessEvent),
    /// A thread ended.
    ThreadExit(ProcessEvent),
    /// A process was forked.
    Fork(ProcessEvent),
    /// A process replaced its program.
    Exec(ProcessEvent),
}

/// Why a message means nothing. Counted by the reader, never fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// It is shorter than its kind.
    #[error("message of {actual} bytes, shorter than the {expected} of its kind")]
    Truncated {
        /// Bytes of the kind.
        expected: usize,
        /// Bytes of the message.
        actual: usize,
    },
    /// It is longer than its kind.
    #[error("message of {actual} bytes, longer than the {expected} of its kind")]
    WrongSize {
        /// Bytes of the kind.
        expected: usize,
        /// Bytes of the message.
        actual: usize,
    },
    /// It is of a kind that this version does not know.
    #[error("message of the unknown kind {0}")]
    UnknownKind(u32),
}

impl Event {
    /// Decodes one message. Any alignment will do.
    #[inline]
    pub fn decode(stream: Stream, bytes: &[u8]) -> Result<Self, DecodeError> {
        match stream {
            Stream::Functions => Self::try_from(read::<FunctionEvent>(bytes)?),
            Stream::Processes => Self::try_from(read::<ProcessEvent>(bytes)?),
            Stream::FunctionMemory => Self::try_from(read::<FunctionMemoryEvent>(bytes)?),
        }
    }
}

impl TryFrom<FunctionEvent> for Event {
    type Error = DecodeError;

    fn try_from(event: FunctionEvent) -> Result<Self, DecodeError> {
        match FunctionEventKind::from_bits(event.kind) {
            Some(FunctionEventKind::Call) => Ok(Self::Call(event)),
            Some(FunctionEventKind::Return) => Ok(Self::Return(event)),
            None => Err(DecodeError::UnknownKind(u32::from(event.kind))),
        }
    }
}

impl TryFrom<FunctionMemoryEvent> for Event {
    type Error = DecodeError;

    fn try_from(event: FunctionMemoryEvent) -> Result<Self, DecodeError> {
        match FunctionEventKind::from_bits(event.call.kind) {
            Some(FunctionEventKind::Call) => Ok(Self::CallWithMemory(event)),
            Some(FunctionEventKind::Return) => Ok(Self::ReturnWithMemory(event)),
            None => Err(DecodeError::UnknownKind(u32::from(event.call.kind))),
        }
    }
}

impl TryFrom<ProcessEvent> for Event {
    type Error = DecodeError;

    fn try_from(event: ProcessEvent) -> Result<Self, DecodeError> {
        match ProcessEventKind::from_bits(event.kind) {
            Some(ProcessEventKind::ThreadSeen) => Ok(Self::ThreadSeen(event)),
            Some(ProcessEventKind::ThreadExit) => Ok(Self::ThreadExit(event)),
            Some(ProcessEventKind::Fork) => Ok(Self::Fork(event)),
            Some(ProcessEventKind::Exec) => Ok(Self::Exec(event)),
            None => Err(DecodeError::UnknownKind(event.kind)),
        }
    }
}

#[inline]
fn read<T: FromBytes>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (expected, actual) = (size_of::<T>(), bytes.len());
    match T::read_from_prefix(bytes) {
        Ok((event, [])) => Ok(event),
        Ok(_) => Err(DecodeError::WrongSize { expected, actual }),
        // Copied out of the bytes: their alignment does not matter, only their number can be wrong.
        Err(_) => Err(DecodeError::Truncated { expected, actual }),
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Events for tests.
    use profiler_common::event::{
        FunctionEvent, FunctionEventKind, FunctionMemoryEvent, ProcessEvent, ProcessEventKind,
    };

    /// A call of `function` by thread `tid` of process 100.
    pub(crate) fn call(time_ns: u64, tid: u32, function: u32, depth: u16) -> FunctionEvent {
        let kind = FunctionEventKind::Call as u8;
        FunctionEvent {
            time_ns,
            duration_ns: 0,
            pid: 100,
            tid,
            function,
            depth,
            kind,
            reserved: 0,
        }
    }

    /// The return from it.
    pub(crate) fn returned(call: FunctionEvent, duration_ns: u64) -> FunctionEvent {
        let kind = FunctionEventKind::Return as u8;
        FunctionEvent {
            time_ns: call.time_ns + duration_ns,
            duration_ns,
            kind,
            ..call
        }
    }

    /// A call or return, with so many bytes of memory.
    pub(crate) fn with_memory(call: FunctionEvent, rss: u64, vms: u64) -> FunctionMemoryEvent {
        FunctionMemoryEvent { call, rss, vms }
    }

    /// Something that happened to thread `tid` of process 100.
    pub(crate) fn process(time_ns: u64, kind: ProcessEventKind, tid: u32, name: &[u8]) -> ProcessEvent {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name);
        ProcessEvent {
            time_ns,
            kind: kind as u32,
            pid: 100,
            tid,
            child: 0,
            comm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, Event, Stream, fixture};
    use profiler_common::event::ProcessEventKind;
    use zerocopy::IntoBytes as _;

    #[test]
    fn messages_survive_the_trip_at_any_alignment() {
        let call = fixture::call(5, 7, 3, 1);
        let seen = fixture::process(6, ProcessEventKind::ThreadSeen, 7, b"worker");
        for shift in 0..8 {
            let mut bytes = vec![0xff; shift];
            bytes.extend_from_slice(call.as_bytes());
            assert_eq!(
                Event::decode(Stream::Functions, &bytes[shift..]),
                Ok(Event::Call(call))
            );
            bytes.truncate(shift);
            bytes.extend_from_slice(seen.as_bytes());
            assert_eq!(
                Event::decode(Stream::Processes, &bytes[shift..]),
                Ok(Event::ThreadSeen(seen))
            );
        }
    }

    #[test]
    fn messages_with_memory_survive_the_trip_and_are_no_plain_ones() {
        let call = fixture::call(5, 7, 3, 1);
        let entered = fixture::with_memory(call, 1 << 40, u64::MAX);
        let left = fixture::with_memory(fixture::returned(call, 9), 4096, 8192);
        let decode = |bytes: &[u8]| Event::decode(Stream::FunctionMemory, bytes);
        assert_eq!(decode(entered.as_bytes()), Ok(Event::CallWithMemory(entered)));
        assert_eq!(decode(left.as_bytes()), Ok(Event::ReturnWithMemory(left)));
        let (expected, actual) = (48, 32);
        assert_eq!(
            decode(call.as_bytes()),
            Err(DecodeError::Truncated { expected, actual })
        );
        assert_eq!(
            Event::decode(Stream::Functions, entered.as_bytes()),
            Err(DecodeError::WrongSize {
                expected: actual,
                actual: expected
            })
        );
        let mut unknown = entered;
        unknown.call.kind = 9;
        assert_eq!(decode(unknown.as_bytes()), Err(DecodeError::UnknownKind(9)));
    }

    #[test]
    fn messages_that_mean_nothing_are_told_apart() {
        let mut call = fixture::call(5, 7, 3, 1);
        let bytes = call.as_bytes().to_vec();
        let short = Event::decode(Stream::Functions, &bytes[..31]);
        assert_eq!(
            short,
            Err(DecodeError::Truncated {
                expected: 32,
                actual: 31
            })
        );
        let long = Event::decode(Stream::Functions, &[&bytes[..], &[0]].concat());
        assert_eq!(
            long,
            Err(DecodeError::WrongSize {
                expected: 32,
                actual: 33
            })
        );
        call.kind = 9;
        assert_eq!(
            Event::decode(Stream::Functions, call.as_bytes()),
            Err(DecodeError::UnknownKind(9))
        );
        assert_eq!(
            Event::decode(Stream::Processes, &[]),
            Err(DecodeError::Truncated {
                expected: 40,
                actual: 0
            })
        );
    }

    #[test]
    fn every_kind_of_process_event_has_its_own_event() {
        for (kind, number) in [
            (ProcessEventKind::ThreadSeen, 1),
            (ProcessEventKind::ThreadExit, 2),
            (ProcessEventKind::Fork, 3),
            (ProcessEventKind::Exec, 4),
        ] {
            let event = Event::try_from(fixture::process(1, kind, 2, b"")).unwrap();
            let found = match event {
                Event::Call(_) | Event::Return(_) | Event::CallWithMemory(_) | Event::ReturnWithMemory(_) => {
                    0
                }
                Event::ThreadSeen(_) => 1,
                Event::ThreadExit(_) => 2,
                Event::Fork(_) => 3,
                Event::Exec(_) => 4,
            };
            assert_eq!(found, number);
        }
    }
}
