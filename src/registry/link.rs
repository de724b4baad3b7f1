//! The `Link` header (RFC 8288), as far as pagination needs it.

/// Bytes of a header's value that are looked at.
const VALUE_MAX: usize = 16 << 10;

/// The target of the first link whose relation is `next`, from all values of the header.
pub(super) fn next<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    values.into_iter().filter(|value| value.len() <= VALUE_MAX).find_map(next_in)
}

fn next_in(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        rest = &rest[rest.find('<')? + 1..];
        let end = rest.find('>')?;
        let (target, after) = (rest[..end].trim(), &rest[end + 1..]);
        let (is_next, after) = parameters(after);
        if is_next {
            return Some(target);
        }
        rest = after;
    }
}

/// Reads `; name=value; …` up to the comma that ends this link. Says whether the relation is
/// `next`, and what follows.
fn parameters(mut rest: &str) -> (bool, &str) {
    // Only the first `rel` counts (RFC 8288, section 3.3).
    let mut relation: Option<bool> = None;
    loop {
        rest = rest.trim_start();
        let Some(after) = rest.strip_prefix(';') else {
            return (relation == Some(true), rest);
        };
        let name_end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let name = after[..name_end].trim();
        rest = &after[name_end..];
        let Some(after) = rest.strip_prefix('=') else { continue };
        let (value, after) = value(after.trim_start());
        rest = after;
        if relation.is_none() && name.eq_ignore_ascii_case("rel") {
            relation = Some(value.split_ascii_whitespace().any(|r| r.eq_ignore_ascii_case("next")));
        }
    }
}

/// A quoted string (its escapes are left in: no relation needs them) or a token.
fn value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim(), &text[end..]);
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (&quoted[..at], &quoted[at + 1..]),
            _ => {}
        }
    }
    (quoted, "")
}

#[cfg(test)]
mod tests {
    use super::next;
    use proptest::prelude::*;

    #[test]
    fn finds_the_next_page() {
        for (value, expected) in [
            (r#"</v2/a/tags/list?last=b&n=1>; rel="next""#, Some("/v2/a/tags/list?last=b&n=1")),
            ("</x>; rel=next", Some("/x")),
            ("</x>;REL=NEXT", Some("/x")),
            (r#"</p>; rel="prev", </n>; rel="next""#, Some("/n")),
            (r#"</p,q>; title="a, <b>; rel=next"; rel="prev" , </n>; rel="last next""#, Some("/n")),
            (r#"</p>; title="a\"; rel=next"; rel=prev"#, None),
            (r#"</p>; rel=prev; rel=next"#, None),
            (r#"< /x > ; a ; b=c ; rel = "next""#, Some("/x")),
            (r#"</x>; rel="nextish""#, None),
            ("</x>", None),
            ("</x; rel=next", None),
            ("rel=next", None),
            ("", None),
            (r#"</x>; rel="next"#, Some("/x")),
        ] {
            assert_eq!(next([value]), expected, "{value}");
        }
        assert_eq!(next(["</a>; rel=prev", "</b>; rel=next"]), Some("/b"));
    }

    proptest! {
        #[test]
        fn never_panics(value in "(?s).{0,200}") {
            let _ = next([value.as_str()]);
        }

        #[test]
        fn never_panics_on_near_misses(value in "([<>;,=\"\\\\ /a]|rel|next|ü){0,40}") {
            let _ = next([value.as_str()]);
        }

        #[test]
        fn finds_it_among_others(path in "[a-z/?=&]{1,20}", others in 0usize..3) {
            let mut value = String::new();
            for n in 0..others {
                value.push_str(&format!("</other{n}>; rel=\"prev\"; title=\"a,b\", "));
            }
            value.push_str(&format!("<{path}>; rel=\"next\""));
            prop_assert_eq!(next([value.as_str()]), Some(path.as_str()));
        }
    }
}
