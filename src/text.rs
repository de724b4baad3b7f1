//! Text from outside, made fit to print.

/// `text` with control characters (terminal escapes, bidirectional overrides) written as
/// escapes, cut at `chars_max` characters with an ellipsis.
pub fn printable(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars_max));
    for (count, character) in text.chars().enumerate() {
        if count == chars_max {
            out.push('…');
            break;
        }
        if character.is_control() || is_bidi(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// Characters that reorder what stands around them on a terminal, or hide it.
fn is_bidi(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_bounds() {
        assert_eq!(printable("a\u{1b}[31mb", 100), "a\\u{1b}[31mb");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
        assert_eq!(printable("x\u{202e}y", 10), "x\\u{202e}y");
        assert_eq!(printable("line\nline", 20), "line\\u{a}line");
    }
}
