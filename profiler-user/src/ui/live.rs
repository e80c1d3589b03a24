//! A text that is drawn again and again in the same place of a terminal.
use std::io::{self, Write};
use std::os::fd::AsFd;

use super::{Summary, View, table, terminal};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const RESET: &str = "\x1b[0m";

/// A terminal that shows frames. Its cursor comes back when this is dropped.
#[derive(Debug)]
pub struct LiveScreen<W: Write> {
    terminal: W,
    drawn: bool,
}

impl<W: Write> LiveScreen<W> {
    /// Nothing is written before the first frame.
    pub fn new(terminal: W) -> Self {
        Self {
            terminal,
            drawn: false,
        }
    }

    /// Shows `frame` instead of the one before. Lines beyond `height` are left out: they would scroll the screen.
    pub fn draw(&mut self, frame: &str, height: Option<usize>) -> io::Result<()> {
        let mut bytes = String::with_capacity(frame.len() + 1024);
        bytes.push_str(HIDE_CURSOR);
        bytes.push_str(HOME);
        if !self.drawn {
            bytes.push_str(CLEAR_BELOW);
        }
        for line in frame
            .lines()
            .take(height.map_or(usize::MAX, |height| height.saturating_sub(1)))
        {
            bytes.push_str(line);
            bytes.push_str(CLEAR_LINE);
            bytes.push_str("\r\n");
        }
        bytes.push_str(CLEAR_BELOW);
        self.drawn = true;
        // One write, so that no half-drawn frame is seen.
        self.terminal.write_all(bytes.as_bytes())?;
        self.terminal.flush()
    }
}

impl<W: Write + AsFd> LiveScreen<W> {
    /// Shows `summary`, fitted to the size that the terminal has now.
    pub fn show(&mut self, summary: &Summary, view: &View) -> io::Result<()> {
        self.show_text(&|view| table::render(summary, view), view)
    }

    /// The same with any text that is made for a view.
    pub fn show_text(&mut self, render: &dyn Fn(&View) -> String, view: &View) -> io::Result<()> {
        let size = terminal::size(&self.terminal);
        let view = View {
            width: size.map(|size| size.columns),
            height: size.map(|size| size.lines),
            ..*view
        };
        self.draw(&render(&view), view.height)
    }
}

impl<W: Write> Drop for LiveScreen<W> {
    fn drop(&mut self) {
        if self.drawn {
            // Nobody is left to tell.
            let _ = self.terminal.write_all([RESET, SHOW_CURSOR].concat().as_bytes());
            let _ = self.terminal.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LiveScreen;

    #[test]
    fn frames_replace_each_other_and_the_cursor_comes_back() {
        let mut terminal = vec![];
        let mut screen = LiveScreen::new(&mut terminal);
        screen.draw("one\ntwo\n", None).unwrap();
        screen.draw("three\nfour\nfive\n", Some(3)).unwrap();
        drop(screen);
        let expected = "\x1b[?25l\x1b[H\x1b[Jone\x1b[K\r\ntwo\x1b[K\r\n\x1b[J\
                        \x1b[?25l\x1b[Hthree\x1b[K\r\nfour\x1b[K\r\n\x1b[J\x1b[0m\x1b[?25h";
        assert_eq!(String::from_utf8(terminal).unwrap(), expected);
    }

    #[test]
    fn a_screen_that_was_not_used_writes_nothing() {
        let mut terminal = vec![];
        drop(LiveScreen::new(&mut terminal));
        assert!(terminal.is_empty());
    }
}
