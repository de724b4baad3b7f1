//! What is wrong with a configuration: where, what, and the mend.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::spec::diagnostics::position;
use crate::text::printable;

/// Everything that is wrong, in the order of the sources and their lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A file's path, the name of an environment variable, or a flag.
    pub origin: String,
    pub message: String,
    pub help: Option<String>,
    /// Where in the file, if it is about a place in it.
    pub place: Option<Place>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes into `text`.
    pub span: Range<usize>,
    /// 1-based; the column in characters.
    pub line: usize,
    pub column: usize,
    /// The whole file, made fit to print, to show the line.
    pub text: std::sync::Arc<str>,
}

impl Place {
    pub(super) fn new(text: &std::sync::Arc<str>, span: Range<usize>) -> Self {
        let end = span.end.min(text.len());
        let start = span.start.min(end);
        let (line, column) = position(text, start);
        Self { span: start..end, line, column, text: text.clone() }
    }
}

/// `text` with what a terminal could obey, or a reader not see, replaced; every byte offset
/// still means the same place.
pub(super) fn fit_to_print(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let replace = |c: char| match (c, c.len_utf8()) {
        ('\n' | '\t' | '\r', _) => c,
        (c, 1) if c.is_control() => '?',
        (c, 2) if c.is_control() => '\u{bf}',
        (c, 3) if hidden(c) => '\u{fffd}',
        _ => c,
    };
    text.chars().map(replace).collect()
}

impl Problem {
    /// About a variable or a flag: its name, and what is wrong with it.
    pub(super) fn elsewhere(origin: &str, mend: String) -> Self {
        let origin = printable(origin, 80);
        Self { message: format!("{origin} {mend}"), origin, help: None, place: None }
    }

    fn report(&self, renderer: &Renderer) -> String {
        let message = printable(&self.message, 400);
        let mut group = match &self.place {
            None => {
                Level::ERROR.primary_title(message).element(annotate_snippets::Origin::path(&self.origin))
            }
            Some(place) => Level::ERROR.primary_title(message).element(
                Snippet::source(&*place.text)
                    .path(printable(&self.origin, 300))
                    .annotation(AnnotationKind::Primary.span(place.span.clone())),
            ),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(printable(help, 400)));
        }
        renderer.render(&[group])
    }
}

impl ConfigError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// With the offending lines underlined, for a terminal.
    pub fn render(&self, color: bool, unicode: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let decor = if unicode { DecorStyle::Unicode } else { DecorStyle::Ascii };
        let renderer = renderer.decor_style(decor);
        self.problems.iter().map(|problem| problem.report(&renderer)).collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column, .. }) = self.place {
            write!(f, "{}:{line}:{column}: ", printable(&self.origin, 300))?;
        }
        f.write_str(&printable(&self.message, 400))?;
        self.help.iter().try_for_each(|help| write!(f, " ({})", printable(help, 400)))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
