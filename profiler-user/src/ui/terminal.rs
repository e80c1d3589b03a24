//! What the terminal is like.
use std::env;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd as _};

use super::Style;

/// Columns and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters of a line.
    pub columns: usize,
    /// Lines.
    pub lines: usize,
}

/// The size of the terminal behind `output`; none if it is not one. Asked anew for each frame, it follows the window.
pub fn size(output: &impl AsFd) -> Option<Size> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is open for as long as `output` is borrowed, and TIOCGWINSZ writes one `winsize`.
    let answer = unsafe { libc::ioctl(output.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0 && size.ws_row > 0).then(|| Size {
        columns: usize::from(size.ws_col),
        lines: usize::from(size.ws_row),
    })
}

/// Whether `output` gets colours: it is a terminal, the user did not say `--no-color`, and the environment has neither
/// `NO_COLOR` nor a terminal that knows none.
pub fn style(output: &impl IsTerminal, wanted: Style) -> Style {
    let forbidden = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    chosen(wanted, output.is_terminal() && !forbidden && !dumb)
}

fn chosen(wanted: Style, possible: bool) -> Style {
    if possible { wanted } else { Style::Plain }
}

#[cfg(test)]
mod tests {
    use super::{Style, chosen, size, style};
    use std::fs::File;

    #[test]
    fn a_file_is_no_terminal() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(size(&file), None);
        assert_eq!(style(&file, Style::Coloured), Style::Plain);
    }

    #[test]
    fn colours_need_a_wish_and_a_way() {
        assert_eq!(chosen(Style::Coloured, true), Style::Coloured);
        assert_eq!(chosen(Style::Plain, true), Style::Plain);
        assert_eq!(chosen(Style::Coloured, false), Style::Plain);
    }
}
