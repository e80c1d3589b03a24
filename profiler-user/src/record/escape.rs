//! Names that come from the target are not to be trusted on a terminal: a symbol or a thread may be called
//! `ESC ] 0 ; …`. Whatever is shown to people passes through here; machine-readable files keep the bytes.
use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character that a terminal would obey, or that would reorder the line, as `\xNN` or `\u{NNNN}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if is_harmless(text) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if !is_dangerous(character) {
            safe.push(character);
        } else if character.is_ascii() {
            // Writing to a string cannot fail.
            let _ = write!(safe, "\\x{:02x}", u32::from(character));
        } else {
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
        }
    }
    Cow::Owned(safe)
}

/// Whether `text` may be shown as it is.
fn is_harmless(text: &str) -> bool {
    is_printable_ascii(text) || !text.chars().any(is_dangerous)
}

/// Whether every byte is one visible character: then `text` is harmless, and as wide as it is long.
#[inline]
pub fn is_printable_ascii(text: &str) -> bool {
    // Without an early end, so that the compiler looks at many bytes at a time.
    text.as_bytes()
        .iter()
        .fold(true, |all, byte| all & (0x20..0x7f).contains(byte))
}

fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        assert_eq!(escaped("\x1b]0;owned\x07"), "\\x1b]0;owned\\x07");
        assert_eq!(escaped("a\nb\r\tc\x7f"), "a\\x0ab\\x0d\\x09c\\x7f");
        assert_eq!(escaped("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(escaped("evil\u{202e}txt"), "evil\\u{202e}txt");
    }

    #[test]
    fn ordinary_names_are_left_alone() {
        for name in ["std::vector<int, a>::push_back(int&&)", "größe", "函数", ""] {
            assert!(matches!(escaped(name), std::borrow::Cow::Borrowed(same) if same == name));
        }
    }
}
