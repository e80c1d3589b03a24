//! Where everything is in a picture.
use super::canvas::{Anchor, Canvas, Colour, Point, SERIES, Size};
use super::scale::{Ends, Scale};
use super::steps::steps;
use super::table::{Axis, Table};
use crate::record::escape::escaped;

/// Width and height of the picture, in its own units.
pub(super) const SIZE: Point = (960.0, 480.0);
/// Room around the curve, for ticks, titles and, where there is more than one series, their names.
const LEFT: f64 = 88.0;
const RIGHT: f64 = 24.0;
const NAMES: f64 = 200.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 56.0;
/// Between the lines of text.
const LINE: f64 = 18.0;
/// Characters of a name, and of the title.
const NAME_LENGTH: usize = 22;
const TITLE_LENGTH: usize = 56;

/// A picture that can be drawn.
pub(super) struct Figure<'a> {
    table: &'a Table,
    title: String,
    x: Scale,
    y: Scale,
    right: f64,
}

impl<'a> Figure<'a> {
    pub(super) fn new(table: &'a Table, title: String) -> Self {
        let points = || table.series.iter().flat_map(|series| &series.points);
        let (left, right) = range(points().map(|(x, _)| *x));
        let (low, high) = range(points().map(|(_, y)| *y));
        let names = if table.series.len() > 1 { NAMES } else { 0.0 };
        Self {
            title,
            x: Scale::new(left, right, table.x.unit, Ends::Values),
            y: Scale::new(low, high, table.y.unit, Ends::Ticks),
            right: SIZE.0 - RIGHT - names,
            table,
        }
    }

    /// Draws it.
    pub(super) fn draw(&self, mut canvas: impl Canvas) -> Vec<u8> {
        canvas.rectangle((0.0, 0.0), SIZE, Colour::Paper);
        let title = shortened(&self.title, TITLE_LENGTH);
        canvas.words((LEFT, 26.0), &title, Anchor::Start, Size::Title);
        self.draw_axes(&mut canvas);
        for (number, series) in self.table.series.iter().take(SERIES.len()).enumerate() {
            let points = series
                .points
                .iter()
                .map(|(x, y)| (self.across(*x), self.down(*y)));
            canvas.steps(&steps(points, canvas.fineness()), Colour::Series(number));
        }
        if self.table.series.len() > 1 {
            self.draw_names(&mut canvas);
        }
        canvas.finish()
    }

    fn across(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (self.right - LEFT)
    }

    fn down(&self, y: f64) -> f64 {
        let bottom = SIZE.1 - BOTTOM;
        bottom - self.y.place(y) * (bottom - TOP)
    }

    fn draw_axes(&self, canvas: &mut impl Canvas) {
        let bottom = SIZE.1 - BOTTOM;
        for (number, label) in self.y.ticks() {
            let y = self.down(number);
            canvas.rectangle((LEFT, y - 0.5), (self.right, y + 0.5), Colour::Grid);
            canvas.words((LEFT - 8.0, y + 4.0), &label, Anchor::End, Size::Label);
        }
        for (number, label) in self.x.ticks() {
            let x = self.across(number);
            canvas.rectangle((x - 0.5, TOP), (x + 0.5, bottom), Colour::Grid);
            canvas.words((x, bottom + LINE), &label, Anchor::Middle, Size::Label);
        }
        canvas.rectangle((LEFT - 0.5, TOP), (LEFT + 0.5, bottom), Colour::Ink);
        canvas.rectangle((LEFT, bottom - 0.5), (self.right, bottom + 0.5), Colour::Ink);
        let above = (LEFT, TOP - 12.0);
        canvas.words(above, &titled(&self.table.y, &self.y), Anchor::Start, Size::Label);
        let below = (f64::midpoint(LEFT, self.right), bottom + 2.0 * LINE + 4.0);
        canvas.words(
            below,
            &titled(&self.table.x, &self.x),
            Anchor::Middle,
            Size::Label,
        );
    }

    fn draw_names(&self, canvas: &mut impl Canvas) {
        let left = self.right + 20.0;
        let mut y = TOP + 10.0;
        for (number, series) in self.table.series.iter().take(SERIES.len()).enumerate() {
            canvas.rectangle((left, y - 9.0), (left + 10.0, y + 1.0), Colour::Series(number));
            let name = shortened(&series.name, NAME_LENGTH);
            canvas.words((left + 16.0, y), &name, Anchor::Start, Size::Label);
            y += LINE;
        }
        let more = self.table.series.len().saturating_sub(SERIES.len());
        if more > 0 {
            let words = format!("and {more} more, not drawn");
            canvas.words((left, y), &words, Anchor::Start, Size::Label);
        }
    }
}

fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
        (low.min(number), high.max(number))
    })
}

/// `RSS [MiB]`.
fn titled(axis: &Axis, scale: &Scale) -> String {
    let name = shortened(&axis.name, TITLE_LENGTH);
    match scale.unit {
        "" => name,
        unit => format!("{name} [{unit}]"),
    }
}

fn shortened(text: &str, length: usize) -> String {
    let text = escaped(text);
    if text.chars().count() <= length {
        return text.into_owned();
    }
    let kept: String = text.chars().take(length - 1).collect();
    format!("{kept}…")
}
