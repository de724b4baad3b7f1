//! `WWW-Authenticate` (RFC 9110, section 11.6.1): what a registry wants to see.

/// Bytes of a header's value that are looked at.
const VALUE_MAX: usize = 16 << 10;
const CHALLENGES_MAX: usize = 16;
const PARAMETERS_MAX: usize = 32;

/// One challenge: a scheme in lower case and its parameters, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// All challenges of all values of the header. What cannot be read is passed over: a
/// challenge that is not understood is one that is not answered.
pub(super) fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut all = Vec::new();
    for value in values.into_iter().filter(|value| value.len() <= VALUE_MAX) {
        // A parameter belongs to the scheme before it in the same value.
        let first = all.len();
        let mut cursor = Cursor { rest: value };
        while let Some(word) = cursor.word() {
            match cursor.value() {
                None if all.len() < CHALLENGES_MAX => {
                    all.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                }
                None => return all,
                Some(value) if all.len() > first => {
                    if let Some(last) = all.last_mut().filter(|c| c.parameters.len() < PARAMETERS_MAX) {
                        last.parameters.push((word.to_ascii_lowercase(), value));
                    }
                }
                Some(_) => {}
            }
        }
    }
    all
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// The next token, past anything that cannot begin one.
    fn word(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_start_matches(|c| !is_token(c));
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// `= value`, if that is what follows.
    fn value(&mut self) -> Option<String> {
        let text = self.rest.trim_start().strip_prefix('=')?.trim_start();
        let Some(quoted) = text.strip_prefix('"') else {
            // Some servers leave the quotes out around URLs.
            let end = text.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(text.len());
            self.rest = &text[end..];
            return Some(text[..end].to_owned());
        };
        let mut out = String::new();
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                _ if escaped => {
                    escaped = false;
                    out.push(c);
                }
                '\\' => escaped = true,
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Some(out);
                }
                _ => out.push(c),
            }
        }
        self.rest = "";
        Some(out)
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::{Challenge, parse};
    use proptest::prelude::*;

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        Challenge {
            scheme: scheme.into(),
            parameters: parameters.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
        }
    }

    #[test]
    fn reads_challenges() {
        let bearer = challenge(
            "bearer",
            &[
                ("realm", "https://auth.example.com/token"),
                ("service", "registry"),
                ("scope", "repository:a/b:pull,push"),
            ],
        );
        let basic = challenge("basic", &[("realm", "a \"b\", c")]);
        for (values, expected) in [
            (
                vec![
                    r#"Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull,push""#,
                ],
                vec![bearer.clone()],
            ),
            (
                vec![
                    r#"bearer  REALM = "https://auth.example.com/token" , Service=registry, scope="repository:a/b:pull,push""#,
                ],
                vec![bearer.clone()],
            ),
            (vec![r#"Basic realm="a \"b\", c""#], vec![basic.clone()]),
            (
                vec![
                    r#"Basic realm="a \"b\", c", Bearer realm=https://auth.example.com/token, service="registry",scope="repository:a/b:pull,push""#,
                ],
                vec![basic.clone(), bearer.clone()],
            ),
            (vec![r#"Basic realm="a \"b\", c""#, "Negotiate"], vec![basic, challenge("negotiate", &[])]),
            (vec!["Basic"], vec![challenge("basic", &[])]),
            (vec![r#"realm="x""#], vec![]),
            (vec!["Negotiate", r#"realm="x""#], vec![challenge("negotiate", &[])]),
            (vec![r#"Bearer realm="open"#], vec![challenge("bearer", &[("realm", "open")])]),
            (vec!["", ", ,"], vec![]),
        ] {
            assert_eq!(parse(values.iter().copied()), expected, "{values:?}");
        }
    }

    #[test]
    fn is_bounded() {
        assert_eq!(parse(["a ".repeat(1000).as_str()]).len(), 16);
        let many = format!("Bearer {}", "a=b,".repeat(1000));
        assert_eq!(parse([many.as_str()])[0].parameters.len(), 32);
        assert!(parse([format!("Bearer realm=\"{}\"", "x".repeat(20_000)).as_str()]).is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(value in "(?s).{0,200}") {
            let _ = parse([value.as_str()]);
        }

        #[test]
        fn never_panics_on_near_misses(value in "(Bearer|Basic|realm|[=,\"\\\\ aü]){0,40}") {
            let _ = parse([value.as_str()]);
        }

        #[test]
        fn quoting_round_trips(realm in "[ -~]{0,40}", scheme in "[A-Za-z]{1,8}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let value = format!("{scheme} realm=\"{quoted}\", x=y");
            let all = parse([value.as_str()]);
            prop_assert_eq!(all.len(), 1);
            prop_assert_eq!(all[0].get("realm"), Some(realm.as_str()));
        }
    }
}
