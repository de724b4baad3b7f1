//! Text into a given number of columns.

/// Words of `text` in lines of at most `width` columns, where a word is not longer than that.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// As [`wrap`], but at most so many lines; words that are too long are cut as well.
pub(super) fn wrap_at_most(text: &str, width: usize, lines_max: usize, ellipsis: &str) -> Vec<String> {
    let mut lines = wrap(text, width);
    let more = lines.len() > lines_max;
    lines.truncate(lines_max);
    if let Some(last) = lines.last_mut().filter(|_| more) {
        let room = width.saturating_sub(ellipsis.chars().count());
        *last = last.chars().take(room).chain(ellipsis.chars()).collect();
    }
    lines.iter().map(|line| fit(line, width, ellipsis)).collect()
}

/// One line of at most `width` columns: what is too long ends in `…`. Colours take no room
/// and are ended where the line is cut.
pub(super) fn fit(line: &str, width: usize, ellipsis: &str) -> String {
    let room = width.saturating_sub(ellipsis.chars().count());
    let (mut used, mut coloured) = (0, false);
    // The place to cut at, and whether a colour was on there.
    let mut cut = (0, false);
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\u{1b}' {
            let sequence: String = chars.by_ref().map(|(_, c)| c).take_while(|c| *c != 'm').collect();
            coloured = sequence != "[0";
            continue;
        }
        if used == room {
            cut = (at, coloured);
        }
        used += 1;
    }
    if used <= width {
        return line.to_owned();
    }
    let (at, coloured) = cut;
    format!("{}{}{ellipsis}", &line[..at], if coloured { "\u{1b}[0m" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_long_ones_stand_alone() {
        assert_eq!(wrap("one two  three\nfour", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("a bcdefghijk l", 4), ["a", "bcdefghijk", "l"]);
        assert_eq!(wrap("größe zählt", 11), ["größe zählt"]);
        assert_eq!(wrap("  ", 9), Vec::<String>::new());
    }

    #[test]
    fn what_is_left_out_is_marked() {
        assert_eq!(wrap_at_most("one two three", 7, 2, "…"), ["one two", "three"]);
        assert_eq!(wrap_at_most("one two three", 7, 1, "…"), ["one tw…"]);
        assert_eq!(wrap_at_most("one three four", 9, 1, "..."), ["one th..."]);
        assert_eq!(wrap_at_most("abcdefghij k", 5, 2, "…"), ["abcd…", "k"]);
    }

    #[test]
    fn lines_are_cut_without_their_colours_counting() {
        assert_eq!(fit("plain", 5, "…"), "plain");
        assert_eq!(fit("plain", 4, "…"), "pla…");
        assert_eq!(fit("plain text", 6, "..."), "pla...");
        assert_eq!(fit("\u{1b}[1mbold\u{1b}[0m", 4, "…"), "\u{1b}[1mbold\u{1b}[0m");
        assert_eq!(fit("\u{1b}[1mbold\u{1b}[0m", 3, "…"), "\u{1b}[1mbo\u{1b}[0m…");
        assert_eq!(fit("\u{1b}[1mbo\u{1b}[0mld", 3, "…"), "\u{1b}[1mbo\u{1b}[0m…");
        assert_eq!(fit("größe", 4, "…"), "grö…");
        assert_eq!(fit("ab", 0, "…"), "…");
    }
}
