//! The nearest known word.

/// Characters of a word that is still compared: nothing we know is longer.
const WORD_MAX: usize = 64;
/// Words that are compared, so that the cost of an error is bounded.
const CANDIDATES_MAX: usize = 1000;

/// The candidate that the word was probably meant to be: at most a third of its letters
/// (and at least one) differ, or it is the same but for case, `-` and `_`.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
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
    use super::nearest;

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
}
