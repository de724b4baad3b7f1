//! Text from outside, made fit to print: bounded, on one line, without control characters.

/// `text` with control characters and invisible direction marks escaped (`\n`, `\u{1b}`), at most `max` characters
/// (an ellipsis included when something was cut off).
///
/// A terminal would obey escape sequences in a tag or a registry's answer, and a log line
/// must stay one line.
pub fn printable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    let mut used = 0;
    // Where the text is cut if it turns out to be too long: the last place that leaves room
    // for the ellipsis.
    let mut cut = 0;
    for c in text.chars() {
        let (width, escaped) = if is_unsafe(c) { (c.escape_default().count(), true) } else { (1, false) };
        if used + width > max {
            out.truncate(cut);
            if max > 0 {
                out.push('…');
            }
            return out;
        }
        if escaped {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        used += width;
        if used < max {
            cut = out.len();
        }
    }
    out
}

/// Control characters, line separators and the marks that reorder or hide text.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Characters of a word that is still compared: nothing we know is longer.
const WORD_MAX: usize = 128;
/// Words that are compared, so that the cost of an error is bounded.
const CANDIDATES_MAX: usize = 1000;

/// The candidate that the word was probably meant to be: at most a third of its letters
/// (and at least one) differ, or it is the same but for case, `-` and `_`.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > WORD_MAX {
        return None;
    }
    let folded = fold(word);
    let bound = (word.chars().count() / 3).max(1);
    candidates
        .take(CANDIDATES_MAX)
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= bound && *distance < folded.len().max(candidate.len()))
        .min()
        .map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> String {
    word.chars().filter(|c| *c != '-' && *c != '_').flat_map(char::to_lowercase).take(WORD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{nearest, printable};
    use proptest::prelude::*;

    #[test]
    fn escapes_and_cuts() {
        for (text, max, expected) in [
            ("plain", 10, "plain"),
            ("plain", 5, "plain"),
            ("plain", 4, "pla…"),
            ("plain", 0, ""),
            ("a\nb", 10, "a\\nb"),
            ("a\nb", 3, "a…"),
            ("\u{1b}[31m", 20, "\\u{1b}[31m"),
            ("\u{1b}[31m", 3, "…"),
            ("ä\u{202e}b", 20, "ä\\u{202e}b"),
            ("\u{9b}31m", 20, "\\u{9b}31m"),
        ] {
            assert_eq!(printable(text, max), expected, "{text:?} {max}");
        }
    }

    #[test]
    fn finds_what_was_meant() {
        let known = ["version", "volumes", "environment", "max_attempts", "image"];
        for (word, expected) in [
            ("verson", Some("version")),
            ("Version", Some("version")),
            ("maxAttempts", Some("max_attempts")),
            ("enviroment", Some("environment")),
            ("iamge", Some("image")),
            ("x", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), known.into_iter()), None);
    }

    proptest! {
        #[test]
        fn is_bounded_and_has_no_controls(text in "\\PC*|(?s).*", max in 0usize..40) {
            let shown = printable(&text, max);
            prop_assert!(shown.chars().count() <= max);
            prop_assert!(!shown.chars().any(char::is_control));
        }

        #[test]
        fn leaves_plain_text_alone(text in "[ -~]{0,40}") {
            prop_assert_eq!(printable(&text, 40), text);
        }
    }
}
