//! Text from outside, made fit to be kept in one line of the log.

/// The longest message of an event, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// `text` without what steers a terminal or breaks a line, cut to at most `bytes_max` bytes.
///
/// White space becomes a blank; other control characters, and the invisible ones that
/// reorder or hide text, become U+FFFD: what is stored is not escaped, for every reader
/// would have to undo that. A cut ends with `…`.
pub fn clean(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars().map(visible) {
        if out.len() + c.len_utf8() > bytes_max {
            shorten(&mut out, bytes_max);
            break;
        }
        out.push(c);
    }
    out
}

fn visible(c: char) -> char {
    match c {
        '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        c if crate::text::is_unsafe(c) => '\u{fffd}',
        c => c,
    }
}

/// Makes room for the mark that says that something is missing.
fn shorten(out: &mut String, bytes_max: usize) {
    const MARK: char = '…';
    while out.len() + MARK.len_utf8() > bytes_max && out.pop().is_some() {}
    if MARK.len_utf8() <= bytes_max {
        out.push(MARK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_plain_text_and_replaces_what_steers_a_terminal() {
        let check = |input: &str, expect: &str| assert_eq!(clean(input, 100), expect);
        check("frontend 1.2.3 -> 1.10.0, größer", "frontend 1.2.3 -> 1.10.0, größer");
        check("two\nlines\r\n", "two lines  ");
        check("\u{1b}[31mred\u{7}", "\u{fffd}[31mred\u{fffd}");
        check("a\u{202e}b\u{9b}c", "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn cuts_with_a_mark() {
        assert_eq!(clean("abcdef", 6), "abcdef");
        assert_eq!(clean("abcdefg", 6), "abc…");
        assert_eq!(clean("äöüß", 6), "ä…");
        assert_eq!(clean("abc", 2), "");
    }

    proptest! {
        #[test]
        fn is_bounded_stable_and_one_line(text in any::<String>(), bytes_max in 0usize..200) {
            let once = clean(&text, bytes_max);
            prop_assert!(once.len() <= bytes_max);
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert_eq!(clean(&once, bytes_max), once);
        }
    }
}
