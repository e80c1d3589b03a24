//! Pictures as PNG: all lines are upright or level, so that filling rectangles is all there is to drawing. The letters are
//! those of the crate `font8x8`.
use font8x8::{BASIC_FONTS, GREEK_FONTS, LATIN_FONTS, UnicodeFonts as _};

use super::canvas::{Anchor, Canvas, Colour, Point, SERIES, Size};
use super::steps::Step;

/// Pixels of a unit of the picture.
const PIXELS: usize = 2;
/// Pixels of a letter's dot.
const DOT: usize = 2;
const BIG_DOT: usize = 3;
const LETTER: usize = 8;
/// Half the width of a curve, pixels.
const PEN: i64 = 1;

pub(super) struct PngCanvas {
    width: usize,
    height: usize,
    /// A colour's number for each pixel.
    pixels: Vec<u8>,
}

impl PngCanvas {
    pub(super) fn new((width, height): Point) -> Self {
        let (width, height) = (width as usize * PIXELS, height as usize * PIXELS);
        Self {
            width,
            height,
            pixels: vec![number(Colour::Paper); width * height],
        }
    }

    /// Fills from one pixel to another, both included; what lies outside is left out.
    fn fill(&mut self, (left, top): (i64, i64), (right, bottom): (i64, i64), colour: Colour) {
        let within = |place: i64, size: usize| place.clamp(0, size as i64 - 1) as usize;
        if right < 0 || bottom < 0 || left >= self.width as i64 || top >= self.height as i64 {
            return;
        }
        let (left, right) = (within(left, self.width), within(right, self.width));
        for row in within(top, self.height)..=within(bottom, self.height) {
            self.pixels[row * self.width + left..=row * self.width + right].fill(number(colour));
        }
    }

    fn letter(&mut self, at: (i64, i64), letter: char, dot: usize) {
        let rows = glyph(letter);
        for (row, bits) in rows.into_iter().enumerate() {
            for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                let left = at.0 + (column * dot) as i64;
                let top = at.1 + (row * dot) as i64;
                let last = dot as i64 - 1;
                self.fill((left, top), (left + last, top + last), Colour::Ink);
            }
        }
    }
}

fn pixel(place: f64) -> i64 {
    (place * PIXELS as f64).round() as i64
}

/// The dots of a letter, by row; the lowest bit is the leftmost.
fn glyph(letter: char) -> [u8; LETTER] {
    const UNKNOWN: [u8; LETTER] = [0x7e, 0x42, 0x42, 0x42, 0x42, 0x42, 0x7e, 0];
    let known = match letter {
        '…' => Some([0, 0, 0, 0, 0, 0, 0x55, 0]),
        letter => BASIC_FONTS
            .get(letter)
            .or_else(|| LATIN_FONTS.get(letter))
            .or_else(|| GREEK_FONTS.get(letter)),
    };
    known.unwrap_or(UNKNOWN)
}

/// A colour's number in the palette.
fn number(colour: Colour) -> u8 {
    match colour {
        Colour::Paper => 0,
        Colour::Ink => 1,
        Colour::Grid => 2,
        Colour::Series(number) => 3 + (number % SERIES.len()) as u8,
    }
}

fn palette() -> Vec<u8> {
    let series = (0..SERIES.len()).map(Colour::Series);
    let colours = [Colour::Paper, Colour::Ink, Colour::Grid]
        .into_iter()
        .chain(series);
    colours.flat_map(Colour::rgb).collect()
}

impl Canvas for PngCanvas {
    fn rectangle(&mut self, from: Point, to: Point, colour: Colour) {
        let end = |place: f64, start: f64| (pixel(place) - 1).max(pixel(start));
        let last = (end(to.0, from.0), end(to.1, from.1));
        self.fill((pixel(from.0), pixel(from.1)), last, colour);
    }

    fn words(&mut self, at: Point, words: &str, anchor: Anchor, size: Size) {
        let dot = match size {
            Size::Title => BIG_DOT,
            Size::Label => DOT,
        };
        let width = (words.chars().count() * LETTER * dot) as i64;
        let start = match anchor {
            Anchor::Start => 0,
            Anchor::Middle => width / 2,
            Anchor::End => width,
        };
        // The base line runs above the last row.
        let top = pixel(at.1) - ((LETTER - 1) * dot) as i64;
        for (place, letter) in words.chars().enumerate() {
            let left = pixel(at.0) - start + (place * LETTER * dot) as i64;
            self.letter((left, top), letter, dot);
        }
    }

    fn steps(&mut self, steps: &[Step], colour: Colour) {
        let mut before: Option<(i64, i64)> = None;
        for step in steps {
            let x = pixel(step.x);
            let (mut top, mut bottom) = (pixel(step.low.min(step.high)), pixel(step.low.max(step.high)));
            if let Some((left, y)) = before {
                self.fill((left - PEN, y - PEN), (x, y), colour);
                (top, bottom) = (top.min(y), bottom.max(y));
            }
            self.fill((x - PEN, top - PEN), (x, bottom), colour);
            before = Some((x, pixel(step.last)));
        }
    }

    fn fineness(&self) -> f64 {
        PIXELS as f64
    }

    fn finish(self) -> Vec<u8> {
        let Self {
            width,
            height,
            pixels,
        } = self;
        let mut header = Vec::with_capacity(13);
        header.extend((width as u32).to_be_bytes());
        header.extend((height as u32).to_be_bytes());
        // 8 bits a pixel, of a palette; the usual compression and filters, not interlaced.
        header.extend([8, 3, 0, 0, 0]);
        let mut rows = Vec::with_capacity(pixels.len() + height);
        for row in pixels.chunks_exact(width) {
            // Not filtered.
            rows.push(0);
            rows.extend_from_slice(row);
        }
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut bytes, *b"IHDR", &header);
        chunk(&mut bytes, *b"PLTE", &palette());
        chunk(
            &mut bytes,
            *b"IDAT",
            &miniz_oxide::deflate::compress_to_vec_zlib(&rows, 6),
        );
        chunk(&mut bytes, *b"IEND", &[]);
        bytes
    }
}

fn chunk(bytes: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    bytes.extend((data.len() as u32).to_be_bytes());
    let start = bytes.len();
    bytes.extend(name);
    bytes.extend_from_slice(data);
    let sum = crc32fast::hash(&bytes[start..]);
    bytes.extend(sum.to_be_bytes());
}
