//! Pictures as SVG.
use std::fmt::Write as _;

use super::canvas::{Anchor, Canvas, Colour, Point, Size};
use super::steps::Step;

/// Places that are told apart in a unit: the picture can be enlarged.
const FINENESS: f64 = 8.0;
/// The least difference that numbers of three decimals show.
const SEEN: f64 = 0.001;

pub(super) struct SvgCanvas {
    text: String,
}

impl SvgCanvas {
    pub(super) fn new((width, height): Point) -> Self {
        let mut text = String::new();
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            text,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">"#
        );
        Self { text }
    }
}

/// A colour as SVG writes it.
fn hex(colour: Colour) -> String {
    let [red, green, blue] = colour.rgb();
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A number with three decimals at most.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            character => safe.push(character),
        }
    }
    safe
}

impl Canvas for SvgCanvas {
    fn rectangle(&mut self, from: Point, to: Point, colour: Colour) {
        let _ = writeln!(
            self.text,
            r#"<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>"#,
            short(from.0),
            short(from.1),
            short(to.0 - from.0),
            short(to.1 - from.1),
            hex(colour)
        );
    }

    fn words(&mut self, at: Point, words: &str, anchor: Anchor, size: Size) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let size = match size {
            Size::Title => r#" font-size="16""#,
            Size::Label => "",
        };
        let _ = writeln!(
            self.text,
            r#"<text x="{}" y="{}" fill="{}"{anchor}{size}>{}</text>"#,
            short(at.0),
            short(at.1),
            hex(Colour::Ink),
            xml(words)
        );
    }

    fn steps(&mut self, steps: &[Step], colour: Colour) {
        let Some(start) = steps.first() else { return };
        let mut path = format!("M{} {}", short(start.x), short(start.first));
        let (mut pen, mut y) = (start.x, start.first);
        let mut across = |path: &mut String, x: f64| {
            if x > pen {
                let _ = write!(path, "H{}", short(x));
                pen = x;
            }
        };
        for step in steps {
            for next in [step.first, step.low, step.high, step.last] {
                if (next - y).abs() >= SEEN {
                    across(&mut path, step.x);
                    let _ = write!(path, "V{}", short(next));
                    y = next;
                }
            }
        }
        // A point of its own is seen, too.
        let beyond = if steps.len() == 1 { 2.0 } else { 0.0 };
        across(&mut path, steps.last().unwrap_or(start).x + beyond);
        let _ = writeln!(
            self.text,
            r#"<path d="{path}" fill="none" stroke="{}" stroke-width="1.5"/>"#,
            hex(colour)
        );
    }

    fn fineness(&self) -> f64 {
        FINENESS
    }

    fn finish(mut self) -> Vec<u8> {
        self.text.push_str("</svg>\n");
        self.text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::{short, xml};

    #[test]
    fn names_cannot_end_their_element() {
        assert_eq!(xml("</text><script>&"), "&lt;/text&gt;&lt;script&gt;&amp;");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([short(1.0), short(0.125), short(100.0)], ["1", "0.125", "100"]);
    }
}
