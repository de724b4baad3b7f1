//! A command in one string, split into words as the docker CLI splits it.

/// Splits a text at white space, with quotes, backslashes and comments as the docker CLI has
/// them (google/shlex): a backslash, in double quotes too, stands before any character and is
/// gone; `#` where a word would begin hides the rest of the line. Nothing runs it through a
/// shell, so operators that only a shell understands are errors instead of words; `$`, `*` and
/// the like are ordinary characters.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => single_quoted(&mut chars, word.get_or_insert_default())?,
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("a backslash at the end escapes nothing".into()),
            },
            '#' if word.is_none() => drop(chars.find(|c| *c == '\n')),
            ';' | '&' | '|' | '<' | '>' => return Err(format!("`{c}` needs a shell, and none runs this")),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    for c in chars {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err("a single quote is not closed".into())
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => word.extend(chars.next()),
            c => word.push(c),
        }
    }
    Err("a double quote is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::split;
    use proptest::prelude::*;

    #[test]
    fn splits() {
        for (text, expected) in [
            ("", vec![]),
            ("  ", vec![]),
            ("a b", vec!["a", "b"]),
            ("  a\t\nb ", vec!["a", "b"]),
            ("sh -c 'echo \"x\" && true'", vec!["sh", "-c", "echo \"x\" && true"]),
            (r#"a"b c"d ''"#, vec!["ab cd", ""]),
            (r#""\$x \n \" \\""#, vec!["$x n \" \\"]),
            (r"a\ b \;", vec!["a b", ";"]),
            ("a\\\nb", vec!["a\nb"]),
            ("echo $HOME * x#y (z)", vec!["echo", "$HOME", "*", "x#y", "(z)"]),
            ("a #b 'c\nd # e", vec!["a", "d"]),
            ("''#a \\#b", vec!["#a", "#b"]),
            (r"'a\b'", vec![r"a\b"]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
        for text in ["a; b", "a && b", "a | b", "a > b", "'a", "\"a", "\"a\\", "a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn single_quotes_keep_everything(words in prop::collection::vec("(?s)[^']{0,10}", 0..5)) {
            let text = words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(&text).unwrap(), words);
        }
    }
}
