//! Recorded events in, files out: every recorder against the text it must write.
use std::io::{self, Write};
use std::path::Path;

use profiler_common::event::ProcessEventKind;
use profiler_common::loss::LossReason;
use zerocopy::IntoBytes as _;

use super::output::fixture::SharedBytes;
use super::{EventPipeline, PipelineCounts, RECORDERS, RecorderKind, ReplayError, Sink, replay};
use crate::event::{EventFileReader, EventFileWriter, FunctionNames, Stream, fixture};
use crate::record::RecordForm;
use crate::resolve::{Processes, Threads};

const CSV: &str = r#"index,type,function,lineNo,filename,time_ns,pid,tid,comm,object,depth,duration_ns
0,call,main,,,1000,100,100,,demo,0,
1,call,"std::map<int, ""q"">::at",,,1100,100,101,worker,demo,1,
2,return,"std::map<int, ""q"">::at",,,1350,100,101,worker,demo,1,250
3,call,malloc,,,1400,100,101,renamed,libc.so.6,0,
4,call,,,,1500,100,101,renamed,,0,
5,return,main,,,2000001000,100,100,,demo,0,2000000000
"#;

const TEXT: &str = r#"index    type        function                       lineNo filename time_ns         pid     tid     comm            object               depth duration_ns
----------------------------------------------------------------------------------------------------------------------------------------------------------
0        call        main                           -     -        1000            100     100     -               demo                 0     -
1        call        std::map<int, "q">::at         -     -        1100            100     101     worker          demo                 1     -
2        return      std::map<int, "q">::at         -     -        1350            100     101     worker          demo                 1     250
3        call        malloc                         -     -        1400            100     101     renamed         libc.so.6            0     -
4        call        -                              -     -        1500            100     101     renamed         -                    0     -
5        return      main                           -     -        2000001000      100     100     -               demo                 0     2000000000
"#;

fn events() -> Vec<u8> {
    let mut names = FunctionNames::new();
    names.push("main", "demo");
    names.push("std::map<int, \"q\">::at", "demo");
    names.push("malloc", "libc.so.6");
    let mut writer = EventFileWriter::new(Vec::new(), Path::new("golden.events"), &names).unwrap();
    let main = fixture::call(1000, 100, 0, 0);
    let at = fixture::call(1100, 101, 1, 1);
    let seen = ProcessEventKind::ThreadSeen;
    let mut put = |stream, bytes: &[u8]| writer.message(stream, bytes).unwrap();
    put(Stream::Functions, main.as_bytes());
    put(
        Stream::Processes,
        fixture::process(1050, seen, 101, b"worker").as_bytes(),
    );
    put(Stream::Functions, at.as_bytes());
    put(
        Stream::Processes,
        fixture::process(1360, ProcessEventKind::ThreadExit, 101, b"").as_bytes(),
    );
    put(
        Stream::Processes,
        fixture::process(1390, seen, 101, b"renamed").as_bytes(),
    );
    put(Stream::Functions, fixture::returned(at, 250).as_bytes());
    put(Stream::Functions, &[0; 7]);
    put(Stream::Functions, &[0; 32]);
    put(Stream::Functions, fixture::call(1400, 101, 2, 0).as_bytes());
    put(Stream::Functions, fixture::call(1500, 101, 77, 0).as_bytes());
    put(
        Stream::Functions,
        fixture::returned(main, 2_000_000_000).as_bytes(),
    );
    writer.finish().unwrap()
}

fn replayed(kind: &RecorderKind, events: &[u8]) -> (String, Result<PipelineCounts, ReplayError>) {
    let written = SharedBytes::default();
    let reader = EventFileReader::new(events, Path::new("golden.events")).unwrap();
    let recorder = kind.start(Sink::new(written.clone(), "golden"));
    let outcome = replay(reader, RecordForm::Function, recorder);
    (written.text(), outcome)
}

#[test]
fn every_recorder_writes_its_golden_text() {
    for kind in RECORDERS {
        let expected = match kind.name {
            "csv" => CSV,
            "screen" | "text" => TEXT,
            other => panic!("`{other}` has no golden text"),
        };
        let (written, outcome) = replayed(kind, &events());
        assert!(
            written == expected,
            "{}:\n{written}\nexpected:\n{expected}",
            kind.name
        );
        let counts = PipelineCounts {
            records: 6,
            truncated: 1,
            unknown_kind: 1,
            wrong_size: 0,
            unnamed: 1,
        };
        assert_eq!(outcome.unwrap(), counts);
    }
}

/// Calls and returns with memory, one without, and one that is cut.
fn memory_events() -> Vec<u8> {
    let mut names = FunctionNames::new();
    names.push("grow", "demo");
    let mut writer = EventFileWriter::new(Vec::new(), Path::new("memory.events"), &names).unwrap();
    let call = fixture::call(1000, 100, 0, 0);
    let entered = fixture::with_memory(call, 1_044_480, 2_400_256);
    let left = fixture::with_memory(fixture::returned(call, 500), 9_433_088, 10_788_864);
    let mut put = |stream, bytes: &[u8]| writer.message(stream, bytes).unwrap();
    put(Stream::FunctionMemory, entered.as_bytes());
    put(Stream::FunctionMemory, left.as_bytes());
    put(Stream::FunctionMemory, &left.as_bytes()[..32]);
    put(Stream::Functions, fixture::call(1600, 100, 0, 0).as_bytes());
    writer.finish().unwrap()
}

#[test]
fn records_with_memory_have_its_columns_and_empty_cells_where_it_is_not_known() {
    let kind = RecorderKind::by_name("csv").unwrap();
    let replayed = |form| {
        let written = SharedBytes::default();
        let events = memory_events();
        let reader = EventFileReader::new(&*events, Path::new("memory.events")).unwrap();
        let counts = replay(reader, form, kind.start(Sink::new(written.clone(), "golden"))).unwrap();
        assert_eq!((counts.records, counts.truncated), (3, 1));
        written.text()
    };
    assert_eq!(
        replayed(RecordForm::FunctionMemory),
        "index,type,function,RSS,VMS,lineNo,filename,time_ns,pid,tid,comm,object,depth,duration_ns\n\
         0,call,grow,1044480,2400256,,,1000,100,100,,demo,0,\n\
         1,return,grow,9433088,10788864,,,1500,100,100,,demo,0,500\n\
         2,call,grow,,,,,1600,100,100,,demo,0,\n"
    );
    assert_eq!(
        replayed(RecordForm::Function),
        "index,type,function,lineNo,filename,time_ns,pid,tid,comm,object,depth,duration_ns\n\
         0,call,grow,,,1000,100,100,,demo,0,\n\
         1,return,grow,,,1500,100,100,,demo,0,500\n\
         2,call,grow,,,1600,100,100,,demo,0,\n"
    );
}

#[test]
fn what_was_lost_is_in_records_with_memory_too() {
    let written = SharedBytes::default();
    let recorder = RecorderKind::by_name("csv")
        .unwrap()
        .start(Sink::new(written.clone(), "csv"));
    let who = (Threads::recorded(), Processes::nothing());
    let form = RecordForm::FunctionMemory;
    let mut pipeline = EventPipeline::of_form(form, FunctionNames::new(), recorder, who).unwrap();
    pipeline.losses(&[(LossReason::RingFull, 12)]).unwrap();
    pipeline.finish().unwrap();
    assert!(
        written.text().ends_with("\n0,lost,ring_full=12,,,,,,,,,,,\n"),
        "{}",
        written.text()
    );
}

#[test]
fn what_precedes_the_end_of_a_cut_file_is_recorded() {
    let events = events();
    for kind in RECORDERS {
        let (written, outcome) = replayed(kind, &events[..events.len() - 1]);
        assert!(matches!(outcome, Err(ReplayError::Events(_))));
        assert_eq!(
            written.lines().count(),
            replayed(kind, &events).0.lines().count() - 1
        );
    }
}

#[test]
fn csv_survives_a_parser_whatever_the_names_are() {
    let hostile = "a,b\"c\nd\re\x1b[31m";
    let mut names = FunctionNames::new();
    names.push(hostile, "lib,x.so");
    let written = SharedBytes::default();
    let recorder = RecorderKind::by_name("csv")
        .unwrap()
        .start(Sink::new(written.clone(), "csv"));
    let mut pipeline = EventPipeline::new(names, recorder, Threads::recorded()).unwrap();
    pipeline.function_event(fixture::call(1, 2, 0, 0)).unwrap();
    pipeline.finish().unwrap();
    let text = written.text();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let row = reader.records().next().unwrap().unwrap();
    assert_eq!((&row[2], &row[9]), (hostile, "lib,x.so"));
}

#[test]
fn text_does_not_let_names_speak_to_the_terminal() {
    let mut names = FunctionNames::new();
    names.push("\x1b]0;owned\x07", "a\nb");
    let written = SharedBytes::default();
    let recorder = RecorderKind::by_name("screen")
        .unwrap()
        .start(Sink::new(written.clone(), "screen"));
    let mut pipeline = EventPipeline::new(names, recorder, Threads::recorded()).unwrap();
    pipeline
        .process_event(fixture::process(1, ProcessEventKind::ThreadSeen, 2, b"\x1b[2J"))
        .unwrap();
    pipeline.function_event(fixture::call(1, 2, 0, 0)).unwrap();
    pipeline.finish().unwrap();
    assert_eq!(written.text().lines().count(), 3);
    assert!(!written.text().contains('\x1b'));
}

#[test]
fn what_was_lost_is_in_the_records() {
    let written = SharedBytes::default();
    let recorder = RecorderKind::by_name("csv")
        .unwrap()
        .start(Sink::new(written.clone(), "csv"));
    let mut pipeline = EventPipeline::new(FunctionNames::new(), recorder, Threads::recorded()).unwrap();
    pipeline
        .losses(&[(LossReason::RingFull, 12), (LossReason::BadCookie, 0)])
        .unwrap();
    pipeline.finish().unwrap();
    let text = written.text();
    assert_eq!(
        text.lines().skip(1).collect::<Vec<_>>(),
        ["0,lost,ring_full=12,,,,,,,,,"]
    );
}

struct Full(io::ErrorKind);

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(self.0))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_names_the_file_and_a_closed_pipe_is_told_apart() {
    for kind in RECORDERS {
        for (error, broken_pipe) in [
            (io::ErrorKind::StorageFull, false),
            (io::ErrorKind::BrokenPipe, true),
        ] {
            let recorder = kind.start(Sink::new(Full(error), "/data/out"));
            let failure = EventPipeline::new(FunctionNames::new(), recorder, Threads::recorded())
                .err()
                .unwrap();
            assert!(failure.to_string().contains("`/data/out`"), "{failure}");
            assert_eq!(failure.is_broken_pipe(), broken_pipe);
        }
    }
}

#[test]
fn records_reach_the_file_when_flushed_and_not_one_by_one() {
    for kind in RECORDERS {
        let written = SharedBytes::default();
        let recorder = kind.start(Sink::new(written.clone(), "golden"));
        let mut pipeline = EventPipeline::new(FunctionNames::new(), recorder, Threads::recorded()).unwrap();
        let header = written.text().len();
        pipeline.function_event(fixture::call(1, 2, 0, 0)).unwrap();
        assert_eq!(written.text().len(), header);
        pipeline.flush().unwrap();
        assert!(written.text().len() > header);
    }
}
