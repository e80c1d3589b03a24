use std::sync::{Arc, Mutex, PoisonError};

use profiler_common::event::{
    AllocEvent, AllocEventKind, FunctionCallerEvent, FunctionEvent, FunctionEventKind,
};
use profiler_common::loss::LossReason;
use zerocopy::IntoBytes as _;

use super::{EventFunctions, EventStyle, EventWriter};
use crate::record::{Record, Schema, Value};
use crate::recorder::{Recorder, RecorderError};
use crate::resolve::LinesAhead;

/// Keeps lines of CSV.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Kept {
    fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl Recorder for Kept {
    fn prepare(&mut self, schema: &Schema) -> Result<(), RecorderError> {
        let names: Vec<&str> = schema.columns.iter().map(|column| column.name).collect();
        self.push(names.join(","));
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), RecorderError> {
        let cells: Vec<String> = record
            .values
            .iter()
            .map(|value| match value {
                Value::Empty => String::new(),
                Value::Text(text) => (*text).to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Signed(number) => number.to_string(),
            })
            .collect();
        self.push(cells.join(","));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RecorderError> {
        Ok(())
    }

    fn finalize(self: Box<Self>) -> Result<(), RecorderError> {
        Ok(())
    }
}

/// A process that is not there.
const NOBODY: u32 = u32::MAX >> 1;

fn allocation(time_ns: u64, kind: AllocEventKind, size: u64) -> AllocEvent {
    AllocEvent {
        time_ns,
        address: 94_271_373_456_320,
        size,
        caller: 0x10,
        pid: NOBODY,
        tid: NOBODY,
        function: 0,
        kind: kind as u32,
    }
}

fn call(time_ns: u64, kind: FunctionEventKind) -> FunctionCallerEvent {
    FunctionCallerEvent {
        call: FunctionEvent {
            time_ns,
            duration_ns: if kind == FunctionEventKind::Return { 2 } else { 0 },
            pid: NOBODY,
            tid: NOBODY,
            function: 0,
            depth: 0,
            kind: kind as u8,
            reserved: 0,
        },
        caller: 0x20,
    }
}

fn written(raw: bool) -> Vec<String> {
    let kept = Kept::default();
    let recorder = Box::new(kept.clone());
    let style = EventStyle {
        raw,
        ..EventStyle::default()
    };
    let functions = (EventFunctions::default(), LinesAhead::none());
    let mut writer = EventWriter::new(recorder, functions, style).unwrap();
    // As they come from two CPUs.
    let messages: [Vec<u8>; 7] = [
        call(9, FunctionEventKind::Return).as_bytes().to_vec(),
        allocation(8, AllocEventKind::Reallocate, 5).as_bytes().to_vec(),
        allocation(6, AllocEventKind::Allocate, 100_001)
            .as_bytes()
            .to_vec(),
        allocation(7, AllocEventKind::ReallocateFree, 100_001)
            .as_bytes()
            .to_vec(),
        call(5, FunctionEventKind::Call).as_bytes().to_vec(),
        allocation(10, AllocEventKind::Free, 5).as_bytes().to_vec(),
        b"none".to_vec(),
    ];
    for message in messages {
        writer.message(&message).unwrap();
    }
    let counts = writer
        .finish(&[(LossReason::RingFull, 3), (LossReason::Held, 0)])
        .unwrap();
    assert_eq!((counts.records, counts.undecodable()), (7, 1));
    let lines = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines.clone()
}

#[test]
fn calls_and_allocations_are_in_the_order_of_their_time_and_frees_have_negative_sizes() {
    let id = NOBODY;
    let expected = [
        "time,value1,value2,event,name,mod,lineno,from_name,from_mod,from_line,pid,tid,comm,allocator,call_line,depth,\
         duration_ns"
            .to_owned(),
        format!("5,0,0,call,,,-1,0x20,,-1,{id},{id},,,-1,0,"),
        format!("6,94271373456320,100001,malloc,0x10,,-1,,,-1,{id},{id},,,-1,,"),
        format!("7,94271373456320,-100001,realloc_free,0x10,,-1,,,-1,{id},{id},,,-1,,"),
        format!("8,94271373456320,5,realloc,0x10,,-1,,,-1,{id},{id},,,-1,,"),
        format!("9,0,0,call,,,-1,0x20,,-1,{id},{id},,,-1,0,2"),
        format!("10,94271373456320,-5,malloc,0x10,,-1,,,-1,{id},{id},,,-1,,"),
        "10,3,0,lost,ring_full,,-1,,,-1,,,,,-1,,".to_owned(),
    ];
    assert_eq!(written(false), expected);
}

#[test]
fn raw_events_are_numbers() {
    let lines = written(true);
    assert!(lines[2].contains(",100001,1000,0x10,"), "{}", lines[2]);
    assert!(lines[7].contains(",3,0,200,ring_full,"), "{}", lines[7]);
}
