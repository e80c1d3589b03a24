//! From recordings to pictures.
use std::collections::HashMap;
use std::fmt::Write as _;

use super::{PlotError, draw};
use crate::cli::plot::{Picture, PlotConfig};

const RECORDING: &str = "\
index,type,function,RSS,VMS,time_ns,tid,duration_ns
0,call,grow,1048576,2400256,9000000000000001000,100,
1,return,grow,9437184,10788864,9000000000000009000,100,8000
2,call,<worker>,9437184,10788864,9000000000000012000,101,
3,return,<worker>,5242880,10788864,9000000000000014000,101,2000
4,lost,ring_full=1,,,,,
";

/// Draws `recording` with these options, and gives the picture.
fn drawn(
    recording: &str,
    picture: Picture,
    change: impl FnOnce(&mut PlotConfig),
) -> Result<Vec<u8>, PlotError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("memory.csv");
    std::fs::write(&file, recording).unwrap();
    let output = folder.path().join("picture");
    let mut config = PlotConfig {
        file,
        y: "RSS".to_owned(),
        x: None,
        by: None,
        sum: false,
        title: None,
        output,
        picture,
    };
    change(&mut config);
    draw(&config)?;
    Ok(std::fs::read(&config.output).unwrap())
}

fn svg(recording: &str, change: impl FnOnce(&mut PlotConfig)) -> String {
    String::from_utf8(drawn(recording, Picture::Svg, change).unwrap()).unwrap()
}

/// What the paths of a picture draw.
fn paths(svg: &str) -> Vec<&str> {
    let paths = svg.lines().filter_map(|line| line.strip_prefix("<path d=\""));
    paths.filter_map(|line| line.split('"').next()).collect()
}

#[test]
fn a_recording_becomes_its_golden_picture() {
    let picture = svg(RECORDING, |_| ());
    let expected = include_str!("golden.svg");
    assert!(picture == expected, "{picture}\nexpected:\n{expected}");
}

#[test]
fn the_sum_of_the_sizes_of_events_is_what_is_alive() {
    let events = "time,value1,value2,event\n1000,4096,100,malloc\n2000,8192,50,malloc\n4000,4096,-100,free\n";
    let sums = "time,value1,value2,event\n1000,4096,100,malloc\n2000,8192,150,malloc\n4000,4096,50,free\n";
    let of = |recording, sum| {
        svg(recording, |config| {
            (config.y, config.sum) = ("value2".to_owned(), sum);
        })
    };
    let (summed, plain) = (of(events, true), of(sums, false));
    assert_eq!(paths(&summed), paths(&plain));
    assert_ne!(paths(&summed), paths(&of(events, false)));
    assert!(summed.contains("sum of value2 [bytes]"), "{summed}");
    assert!(summed.contains("time since the first record"), "{summed}");
}

#[test]
fn lines_about_processes_and_about_all_are_told_apart() {
    let course = "time_ns,who,RSS\n1,web 7,100\n1,db 8,50\n1,all,150\n2,web 7,120\n2,db 8,50\n2,all,170\n";
    let picture = svg(course, |_| ());
    assert_eq!(paths(&picture).len(), 3, "{picture}");
    assert!(
        ["web 7", "db 8", "all"].iter().all(|who| picture.contains(who)),
        "{picture}"
    );
}

#[test]
fn times_longer_than_a_float_has_digits_are_told_apart() {
    // Eight µs of 13 are 8/13 of the width: 848 units, from 88 on.
    let picture = svg(RECORDING, |_| ());
    assert_eq!(paths(&picture), ["M88 388H609.875V100H936V244"]);
    assert!(
        picture.contains(">time since the first record [µs]<"),
        "{picture}"
    );
}

#[test]
fn each_value_of_a_column_has_its_line_and_its_name() {
    let picture = svg(RECORDING, |config| config.by = Some("function".to_owned()));
    assert_eq!(paths(&picture).len(), 2);
    assert!(
        picture.contains(">grow<") && picture.contains(">&lt;worker&gt;<"),
        "{picture}"
    );
    let single = svg(RECORDING, |_| ());
    assert!(!single.contains(">grow<"), "{single}");
}

#[test]
fn more_values_than_colours_are_counted() {
    let mut recording = "RSS,tid\n".to_owned();
    for tid in 0..10 {
        let _ = writeln!(recording, "{tid},{tid}\n{},{tid}", tid + 1);
    }
    let picture = svg(&recording, |config| config.by = Some("tid".to_owned()));
    assert_eq!(paths(&picture).len(), 7);
    assert!(picture.contains(">and 3 more, not drawn<"), "{picture}");
}

#[test]
fn without_times_records_are_numbered_and_any_column_can_take_their_place() {
    let numbered = svg("depth\n0\n3\n1\n", |config| config.y = "depth".to_owned());
    assert!(numbered.contains(">record<"), "{numbered}");
    assert_eq!(paths(&numbered), ["M88 424H512V64H936V304"]);
    let named = svg(RECORDING, |config| config.x = Some("index".to_owned()));
    assert!(named.contains(">index<"), "{named}");
    let alike = svg(RECORDING, |config| config.y = "rss".to_owned());
    assert_eq!(alike, svg(RECORDING, |_| ()));
}

#[test]
fn rows_that_have_no_number_are_left_out_and_records_that_changed_places_are_put_right() {
    let durations = svg(RECORDING, |config| config.y = "duration_ns".to_owned());
    assert_eq!(paths(&durations).len(), 1);
    assert!(durations.contains(">duration_ns [µs]<"), "{durations}");
    let lines: Vec<&str> = RECORDING.lines().collect();
    let swapped = [lines[0], lines[2], lines[1], lines[3], lines[4]].join("\n");
    assert_eq!(paths(&svg(&swapped, |_| ())), ["M88 388H609.875V100H936V244"]);
}

#[test]
fn a_long_recording_is_a_small_picture_that_keeps_its_peak() {
    let mut recording = "RSS\n".to_owned();
    for row in 0..100_000 {
        let _ = writeln!(
            recording,
            "{}",
            if row == 54_321 { 1 << 30 } else { (row % 100) << 20 }
        );
    }
    let picture = svg(&recording, |_| ());
    assert!(picture.len() < 300_000, "{} bytes", picture.len());
    assert!(paths(&picture)[0].contains("V64"), "the peak reaches the top");
    let pixels = drawn(&recording, Picture::Png, |_| ()).unwrap();
    assert!(pixels.len() < 300_000, "{} bytes", pixels.len());
}

#[test]
fn what_cannot_be_drawn_is_told_with_what_there_is() {
    let refused = |recording: &str, y: &str| {
        let y = y.to_owned();
        drawn(recording, Picture::Svg, |config| config.y = y)
            .unwrap_err()
            .to_string()
    };
    let error = refused(RECORDING, "heap");
    assert!(
        error.contains("no column `heap`") && error.contains("it has index, type, function, RSS"),
        "{error}"
    );
    let error = refused(RECORDING, "type");
    assert!(
        error.contains("`type` is not numeric: line 2") && error.contains("`call`"),
        "{error}"
    );
    assert!(refused("a,RSS\n1,\n2,\n", "RSS").contains("column `RSS`"));
    for empty in ["", "RSS\n", "type,RSS\nlost,\n"] {
        assert!(refused(empty, "RSS").contains("holds no records"), "{empty:?}");
    }
    let ragged = refused("a,RSS\n1,2\n3\n", "RSS");
    assert!(ragged.contains("`--recording csv`"), "{ragged}");
    assert!(refused("RSS\nNaN\n", "RSS").contains("not numeric"));
}

#[test]
fn hostile_names_do_not_end_an_element_or_speak_to_anybody() {
    let recording = "RSS,name\n1,</svg>\n2,\x1b[2J\n3,\u{202e}x\n";
    let picture = svg(recording, |config| {
        config.by = Some("name".to_owned());
        config.title = Some("a<b&c".repeat(100));
    });
    assert_eq!(picture.matches("</svg>").count(), 1);
    assert!(
        !picture.contains('\x1b') && !picture.contains('\u{202e}'),
        "{picture}"
    );
}

/// The size of a PNG, and how often each colour is in it. Checks the sums of its chunks.
fn decoded(png: &[u8]) -> ((u32, u32), HashMap<[u8; 3], usize>) {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
    let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
    let mut chunks = HashMap::new();
    while !rest.is_empty() {
        let length = number(rest) as usize;
        let (chunk, sum) = rest[4..length + 12].split_at(length + 4);
        assert_eq!(crc32fast::hash(chunk), number(sum));
        chunks.insert(chunk[..4].to_vec(), chunk[4..].to_vec());
        rest = &rest[length + 12..];
    }
    let (header, palette) = (&chunks[&b"IHDR"[..]], &chunks[&b"PLTE"[..]]);
    assert_eq!(header[8..], [8, 3, 0, 0, 0]);
    let size = (number(header), number(&header[4..]));
    let rows = miniz_oxide::inflate::decompress_to_vec_zlib(&chunks[&b"IDAT"[..]]).unwrap();
    let mut colours = HashMap::new();
    let rows = rows.chunks_exact(size.0 as usize + 1);
    assert_eq!(rows.len(), size.1 as usize);
    for row in rows {
        assert_eq!(row[0], 0, "no filter");
        for pixel in &row[1..] {
            let colour = usize::from(*pixel) * 3;
            *colours
                .entry(palette[colour..colour + 3].try_into().unwrap())
                .or_default() += 1;
        }
    }
    (size, colours)
}

#[test]
fn a_png_has_its_size_and_the_curve_covers_the_pixels_that_it_must() {
    const BLUE: [u8; 3] = [0, 114, 178];
    let (size, colours) = decoded(&drawn(RECORDING, Picture::Png, |_| ()).unwrap());
    assert_eq!(size, (1920, 960));
    // 1,696 pixels across, 576 up and 288 down, two wide.
    let curve = colours[&BLUE];
    assert!((5_000..5_300).contains(&curve), "{curve} pixels");
    let ink = colours[&[34, 34, 34]];
    assert!(ink > 8_000, "{ink} pixels of letters and axes");
    let paper = colours[&[255, 255, 255]];
    assert!(paper > 1_700_000, "{paper} pixels of paper");
}

#[test]
fn a_single_record_is_drawn_in_both_formats() {
    let one = "RSS\n4096\n";
    assert_eq!(paths(&svg(one, |_| ())).len(), 1);
    let (_, colours) = decoded(&drawn(one, Picture::Png, |_| ()).unwrap());
    assert!(colours[&[0, 114, 178]] >= 4);
}
