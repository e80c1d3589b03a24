//! What a picture is drawn on.
use super::steps::Step;

/// A colour of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// Behind everything.
    Paper,
    /// Words.
    Ink,
    /// The lines at the ticks.
    Grid,
    /// A series, by its number.
    Series(usize),
}

/// Colours of series: told apart by people who see colours differently, too (Okabe and Ito).
pub(super) const SERIES: [[u8; 3]; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [60, 60, 60],
];

impl Colour {
    /// Red, green, blue.
    pub(super) const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Paper => [255, 255, 255],
            Self::Ink => [34, 34, 34],
            Self::Grid => [221, 221, 221],
            Self::Series(number) => SERIES[number % SERIES.len()],
        }
    }
}

/// Where a word is placed: the point is its start, its middle, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How large words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Title,
    Label,
}

/// A point, in units of the picture, from its upper left corner.
pub(super) type Point = (f64, f64);

/// What a picture is drawn on.
pub(super) trait Canvas {
    /// Fills a rectangle between two corners.
    fn rectangle(&mut self, from: Point, to: Point, colour: Colour);
    /// Writes words: `at` is on their base line.
    fn words(&mut self, at: Point, words: &str, anchor: Anchor, size: Size);
    /// Draws a line of steps. It does not leave the rectangle that the figure draws in.
    fn steps(&mut self, steps: &[Step], colour: Colour);
    /// Steps that can be told apart in a unit of the picture.
    fn fineness(&self) -> f64;
    /// The picture.
    fn finish(self) -> Vec<u8>;
}
