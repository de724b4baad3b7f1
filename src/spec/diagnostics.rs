//! Errors in spec files: where they are, what is wrong, and the mend.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::parse::SpecFiles;
use crate::text::printable;

#[cfg(test)]
mod tests;

/// One finding in one file. Offsets are bytes into the file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Relative to the specs directory.
    pub file: String,
    /// Byte range in the file; `None` when the finding is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// 1-based; 0 when there is no span.
    pub line: usize,
    /// 1-based, in characters; 0 when there is no span.
    pub column: usize,
    /// The dotted key, e.g. `services.frontend.image`.
    pub key: String,
    pub message: String,
    /// What to write instead, or the nearest known key.
    pub help: Option<String>,
}

/// Errors make the spec invalid; warnings do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// Characters of a file name or dotted key in a message.
const NAME_MAX: usize = 300;
/// Bytes of a line that is still shown with the finding underlined.
const LINE_BYTES_MAX: usize = 1000;
/// Lines shown of a finding that spans several.
const LINES_MAX: usize = 4;

impl Diagnostic {
    /// `acme.toml:3:9: services.frontend.verson: unknown key; did you mean `version`?`
    pub fn one_line(&self) -> String {
        let mut out = printable(&self.file, NAME_MAX);
        if self.span.is_some() {
            out.push_str(&format!(":{}:{}", self.line, self.column));
        }
        out.push_str(&format!(": {}", self.title()));
        if let Some(help) = &self.help {
            out.push_str(&format!("; {help}"));
        }
        out
    }

    fn title(&self) -> String {
        if self.key.is_empty() {
            return self.message.clone();
        }
        format!("{}: {}", printable(&self.key, NAME_MAX), self.message)
    }
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    // A byte order mark is no column: editors do not show it.
    let shown = before[line_start..].trim_start_matches('\u{feff}');
    (line, shown.chars().count() + 1)
}

/// The findings as a compiler shows them: file, line and column, the text underlined, the
/// mend. Control characters in the files are made visible, never sent to the terminal.
pub fn render(diagnostics: &[Diagnostic], sources: &SpecFiles, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group: Group<'_> =
            level.primary_title(diagnostic.title()).element(place(diagnostic, sources));
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        out.push_str(&renderer.render(&[group]));
        out.push_str("\n\n");
    }
    out
}

/// The underlined text, or only the place where there is no text to show.
fn place<'a>(diagnostic: &Diagnostic, sources: &SpecFiles) -> Element<'a> {
    let path = printable(&diagnostic.file, NAME_MAX);
    let origin = Origin::path(path.clone());
    let Some(span) = &diagnostic.span else { return origin.into() };
    let window = sources.files.get(&diagnostic.file).and_then(|text| window(text, span));
    match window {
        Some((text, span)) => Snippet::source(text)
            .line_start(diagnostic.line)
            .path(path)
            .annotation(AnnotationKind::Primary.span(span))
            .into(),
        None => origin.line(diagnostic.line).char_column(diagnostic.column).into(),
    }
}

/// The lines that the span touches, made fit to print, and the span within them. `None` when
/// a line is too long to show.
fn window(text: &str, span: &Range<usize>) -> Option<(Cow<'static, str>, Range<usize>)> {
    let before = text.get(..span.start)?;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let rest = text.get(start..)?;
    let mut shown = String::new();
    let (mut from, mut to) = (None, None);
    let mut lines = 0;
    for (i, c) in rest.char_indices() {
        let at = start + i;
        if at >= span.start && from.is_none() {
            from = Some(shown.len());
        }
        if at >= span.end && to.is_none() {
            to = Some(shown.len());
        }
        if c == '\n' {
            lines += 1;
            if at >= span.end || lines == LINES_MAX {
                break;
            }
        }
        if c != '\u{feff}' && c != '\r' {
            shown.push(visible(c));
        }
        if i > LINE_BYTES_MAX {
            return None;
        }
    }
    let from = from.unwrap_or(shown.len());
    let to = to.unwrap_or(shown.len()).max(from);
    Some((Cow::Owned(shown), from..to))
}

/// One character for one, so that columns stay.
fn visible(c: char) -> char {
    match c {
        '\n' => c,
        '\t' => ' ',
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        _ if printable(c.encode_utf8(&mut [0; 4]), 20).starts_with('\\') && c != '\\' => '\u{fffd}',
        _ => c,
    }
}
