//! Standard output, and how text on it may look.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use super::Color;
use crate::config::ConfigError;
use crate::report::{Style, Tone};
use crate::text::printable;

/// Standard output whose reader may go away (`skep events | head`), told apart from every
/// other broken pipe.
pub struct Stdout(io::Stdout);

/// The reader of our output went away. No mistake: the command ends quietly.
#[derive(Debug)]
pub struct OutputClosed;

impl fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output was closed")
    }
}

impl std::error::Error for OutputClosed {}

impl Stdout {
    #[expect(clippy::new_without_default, reason = "there is but one standard output")]
    pub fn new() -> Self {
        Self(io::stdout())
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark)
    }
}

fn mark(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::other(OutputClosed),
        _ => error,
    }
}

impl OutputClosed {
    /// Whether this is why `error` came about.
    pub fn caused(error: &anyhow::Error) -> bool {
        error.chain().any(|cause| {
            let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause.is::<Self>() || inner.is_some_and(|inner| inner.is::<Self>())
        })
    }
}

/// What an error says to a person, its causes below it; bounded, without control characters.
pub fn tell(error: &anyhow::Error, choice: Color, env: &BTreeMap<String, String>) -> String {
    let style = style(choice, env, io::stderr().is_terminal());
    if let Some(config) = error.downcast_ref::<ConfigError>() {
        return config.render(style.color, style.unicode) + "\n";
    }
    let mut causes = error.chain().map(|cause| lines(&cause.to_string()));
    let first = causes.next().unwrap_or_default();
    let mut text = format!("{} {first}\n", style.paint(Tone::Bad, "error:"));
    let mut last = first;
    // Some libraries repeat their cause in their own words.
    for cause in causes.filter(|cause| !cause.is_empty()) {
        if !last.contains(&cause) {
            text += &format!("  caused by: {cause}\n");
            last = cause;
        }
    }
    text
}

/// JSON text with the control characters escaped that JSON allows but a terminal may obey.
/// They can stand only inside strings, so the escape means the same.
pub(super) fn escape_json(json: &str) -> std::borrow::Cow<'_, str> {
    let obeyed = |c: char| matches!(c, '\u{7f}'..='\u{9f}');
    if !json.contains(obeyed) {
        return json.into();
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if obeyed(c) {
            escaped += &format!("\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
}

/// Each line fit to print; an error may span several on purpose.
fn lines(text: &str) -> String {
    text.lines().take(50).map(|line| printable(line, 1000)).collect::<Vec<_>>().join("\n")
}

pub(super) fn style(choice: Color, env: &BTreeMap<String, String>, terminal: bool) -> Style {
    Style { color: color(choice, env, terminal), unicode: is_utf8(env) }
}

/// Whether to colour what goes to a stream (<https://no-color.org>).
pub(super) fn color(choice: Color, env: &BTreeMap<String, String>, terminal: bool) -> bool {
    let set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
    let dumb = env.get("TERM").is_some_and(|term| term == "dumb");
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && !set("NO_COLOR") && !dumb,
    }
}

/// Whether the locale's characters are UTF-8, by POSIX's order of the variables.
fn is_utf8(env: &BTreeMap<String, String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| env.get(*name))
        .find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        for (choice, vars, terminal, expected) in [
            (Color::Auto, env(&[]), true, true),
            (Color::Auto, env(&[]), false, false),
            (Color::Auto, env(&[("NO_COLOR", "1")]), true, false),
            (Color::Auto, env(&[("NO_COLOR", "")]), true, true),
            (Color::Auto, env(&[("TERM", "dumb")]), true, false),
            (Color::Always, env(&[("NO_COLOR", "1")]), false, true),
            (Color::Never, env(&[]), true, false),
        ] {
            assert_eq!(color(choice, &vars, terminal), expected, "{choice:?} {vars:?} {terminal}");
        }
    }

    #[test]
    fn the_locale_says_which_glyphs_there_are() {
        for (vars, expected) in [
            (env(&[]), false),
            (env(&[("LANG", "en_GB.UTF-8")]), true),
            (env(&[("LANG", "C.utf8")]), true),
            (env(&[("LANG", "C")]), false),
            (env(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]), false),
            (env(&[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C")]), true),
        ] {
            assert_eq!(is_utf8(&vars), expected, "{vars:?}");
        }
    }

    #[test]
    fn a_closed_output_is_told_from_other_broken_pipes() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(OutputClosed::caused(&anyhow::Error::from(mark(broken())).context("printing")));
        assert!(!OutputClosed::caused(&anyhow::Error::from(broken()).context("talking to the engine")));
    }

    #[test]
    fn an_error_is_told_with_its_causes_once() {
        let error = anyhow::anyhow!("no route\u{1b}[31m").context("asking: no route").context("cannot plan");
        let told = tell(&error, Color::Never, &env(&[]));
        assert_eq!(
            told,
            "error: cannot plan\n  caused by: asking: no route\n  caused by: no route\\u{1b}[31m\n"
        );
        let repeated = anyhow::anyhow!("no route").context("asking: no route");
        assert_eq!(tell(&repeated, Color::Never, &env(&[])), "error: asking: no route\n");
    }

    #[test]
    fn json_keeps_its_meaning_without_control_characters() {
        let json = serde_json::to_string(&["a\u{9b}31m\u{7f}\u{1b}", "ä"]).unwrap();
        let escaped = escape_json(&json);
        assert_eq!(escaped, r#"["a\u009b31m\u007f\u001b","ä"]"#);
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), ["a\u{9b}31m\u{7f}\u{1b}", "ä"]);
    }
}
