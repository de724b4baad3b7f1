//! Text to tree: size and depth bounds, TOML syntax with recovery.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;
use toml_parser::{Source, lexer::TokenKind};

use super::report::{Report, Sources, Span};
use super::tree::{self, Table};

/// Bytes of a file. Real ones have a few kilobytes; the bound keeps a stray archive or log
/// out of the parser.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Levels of lists and inline tables, and parts of a dotted key. The deepest key of a spec
/// has about ten parts. The TOML parser bounds each of the two, but at a value whose product
/// overflows the stack when the tree is dropped.
const NESTING_MAX: usize = 16;
/// How often a file is parsed again past a line that stops the parser.
const RECOVERIES_MAX: usize = 20;

/// A parsed file.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Table,
    /// Syntax errors stand in the file: what is missing may only be unreadable.
    pub(super) broken: bool,
    /// Where the tree may be wrong because of syntax errors, so that findings there would
    /// only be echoes.
    quiet: Vec<Range<usize>>,
}

impl Document {
    /// Whether a finding at this place would be an echo of a syntax error.
    pub(super) fn is_quiet(&self, offset: usize) -> bool {
        self.quiet.iter().any(|range| range.contains(&offset))
    }
}

/// Parses a file as far as possible; all errors go to the report.
pub(super) fn parse(sources: &Sources<'_>, file: u32, report: &mut Report) -> Document {
    let text = sources.text(file);
    let unreadable = Document { root: Table::default(), broken: true, quiet: Vec::new() };
    if text.len() > FILE_BYTES_MAX {
        let help = format!("a spec file has at most {FILE_BYTES_MAX} bytes");
        report.file_error(file, "", &format!("the file is too large: {} bytes", text.len()), Some(help));
        return unreadable;
    }
    if let Some(range) = too_deep(text) {
        let span = Span { file, start: range.start, end: range.end };
        report.error(
            span,
            "",
            "the nesting is too deep",
            Some(format!(
                "a dotted key has at most {NESTING_MAX} parts, and lists and inline tables nest as deep"
            )),
        );
        return unreadable;
    }
    parse_syntax(text, file, report)
}

fn parse_syntax(text: &str, file: u32, report: &mut Report) -> Document {
    let mut readable = text.to_owned();
    let mut lines = Lines::default();
    for _ in 0..RECOVERIES_MAX {
        let (table, errors) = DeTable::parse_recoverable(&readable);
        let mut blank = Vec::new();
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            // The first error of a line; the others mostly follow from it.
            let Some(line) = lines.add(text, span.start) else { continue };
            let help = syntax_help(text, &line, error.message());
            let span = Span { file, start: span.start, end: span.end };
            let message =
                if is_bare_text(text, span.start, error.message()) { BARE } else { error.message() };
            report.error(span, "", &format!("invalid TOML: {message}"), help);
            // The parser gives up at such a line: read on without it.
            if error.message().starts_with("key with no value") {
                blank.push(line);
            }
            if report.has_dropped() {
                return Document { root: Table::default(), broken: true, quiet: Vec::new() };
            }
        }
        if blank.is_empty() {
            let quiet = lines.quiet(text);
            // What the parser makes of a broken value would be told a second time.
            let is_echo = |at: usize| quiet.iter().any(|range| range.contains(&at));
            let root = tree::from_toml(file, table.get_ref(), &is_echo, report);
            return Document { root, broken: !lines.0.is_empty(), quiet };
        }
        blank_out(&mut readable, &blank);
    }
    Document { root: Table::default(), broken: true, quiet: Vec::new() }
}

/// Lines with syntax errors, by their start.
#[derive(Default)]
struct Lines(BTreeMap<usize, usize>);

impl Lines {
    /// The line around an offset. `None`: it is there already.
    fn add(&mut self, text: &str, offset: usize) -> Option<Range<usize>> {
        if self.0.range(..=offset).next_back().is_some_and(|(_, end)| offset <= *end) {
            return None;
        }
        let line = line_around(text, offset);
        self.0.insert(line.start, line.end);
        Some(line)
    }

    fn quiet(&self, text: &str) -> Vec<Range<usize>> {
        self.0.iter().map(|(start, end)| quiet_range(text, &(*start..*end))).collect()
    }
}

/// Replaces lines by spaces, so that the offsets of all others stay.
fn blank_out(text: &mut String, lines: &[Range<usize>]) {
    for line in lines {
        let spaces = " ".repeat(line.len());
        text.replace_range(line.clone(), &spaces);
    }
}

/// The line around an offset, without its end.
fn line_around(text: &str, offset: usize) -> Range<usize> {
    let bytes = text.as_bytes();
    let offset = offset.min(bytes.len());
    let start = bytes[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let end = bytes[offset..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| offset + i);
    start..end
}

/// A broken line, and after a broken table header all lines up to the next header: their
/// keys were taken into another table.
fn quiet_range(text: &str, line: &Range<usize>) -> Range<usize> {
    let is_header = |line: &str| line.trim_start().starts_with('[');
    if !text.get(line.clone()).is_some_and(is_header) {
        return line.start..line.end + 1;
    }
    let mut end = line.end + 1;
    for next in text.get(end..).unwrap_or_default().split_inclusive('\n') {
        if is_header(next) {
            break;
        }
        end += next.len();
    }
    line.start..end
}

/// What the parser says of most texts that stand without quotes.
const BARE: &str = "string values must be quoted";

/// Whether a text stands without quotes, also where the parser took it for a number or the like, as `nginx` for `nan`
/// and `1.2.3` for a float: what it says of those helps nobody.
fn is_bare_text(text: &str, at: usize, message: &str) -> bool {
    if message.starts_with(BARE) {
        return true;
    }
    let is_number = ["invalid float", "invalid integer", "invalid datetime", "invalid boolean"];
    if !is_number.iter().any(|kind| message.starts_with(kind)) {
        return false;
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, '=' | ',' | '[' | ']' | '{' | '}' | '#');
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let before = before.rsplit(is_end).next().unwrap_or_default();
    let after = after.split(is_end).next().unwrap_or_default();
    let value = format!("{before}{after}");
    value.starts_with(|c: char| c.is_ascii_alphabetic()) || value.matches('.').count() > 1
}

fn syntax_help(text: &str, line: &Range<usize>, message: &str) -> Option<String> {
    let line = text.get(line.clone()).unwrap_or_default();
    if message.starts_with("duplicate key") {
        return Some("keep one of the two".into());
    }
    if message.starts_with("key with no value") && line.contains(':') {
        return Some("this is TOML, not YAML: write `key = value`".into());
    }
    let quotes = message.contains("must be quoted")
        || message.starts_with("invalid boolean")
        || message.contains("leading zero")
        || message.starts_with("invalid integer")
        || message.starts_with("invalid float")
        || message.starts_with("invalid datetime");
    quotes.then(|| "a text stands in quotes: `key = \"value\"`".into())
}

/// The first place where keys or values nest deeper than the bound.
fn too_deep(text: &str) -> Option<Range<usize>> {
    let mut open = 0usize;
    let mut dots = 0usize;
    for token in Source::new(text).lex() {
        match token.kind() {
            TokenKind::Dot => dots += 1,
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                open += 1;
                dots = 0;
            }
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                open = open.saturating_sub(1);
                dots = 0;
            }
            TokenKind::Whitespace | TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString => {}
            _ => dots = 0,
        }
        if open > NESTING_MAX || dots >= NESTING_MAX {
            let span = token.span();
            return Some(span.start()..span.end());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<(usize, String)> {
        let files = BTreeMap::from([("a.toml".to_owned(), text.to_owned())]);
        let sources = Sources::new(&files);
        let mut report = Report::default();
        parse(&sources, 0, &mut report);
        let findings = report.finish(0);
        findings.iter().map(|f| sources.diagnostic(f, "")).map(|d| (d.line, d.message)).collect()
    }

    #[test]
    fn reads_on_after_a_syntax_error() {
        let found = errors("a = \nb\nc: 1\nd = \"x\ne = 1\ne = 2\n[x\ny = 1\n[z]\nz = 01\n");
        let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6, 7, 10], "{found:?}");
    }

    #[test]
    fn a_text_without_quotes_is_told_of_once_and_as_that() {
        for value in
            ["nginx", "infra", "1.2.3", "registry.example.com/app:1", "true1", "[nginx]", "{ a = nginx }"]
        {
            let found = errors(&format!("a = {value} # a comment\n"));
            assert_eq!(found, [(1, format!("invalid TOML: {BARE}"))], "{value}");
        }
        let found = errors("a = 1_\nb = nan\n");
        assert!(found[0].1.starts_with("invalid TOML: ") && !found[0].1.contains(BARE), "{found:?}");
        assert_eq!(found[1], (2, "the number is not finite".to_owned()));
    }

    #[test]
    fn bounds_nesting_before_the_parser_sees_it() {
        let deep_key = format!("{}a = 1", "a.".repeat(100_000));
        let deep_list = format!("a = {}", "[".repeat(100_000));
        let deep_both = format!("a = {}", "{a.a.a.a.a.a.a.a = ".repeat(1000));
        for text in [deep_key, deep_list, deep_both] {
            assert_eq!(errors(&text), [(1, "the nesting is too deep".to_owned())]);
        }
        let fine =
            format!("{}a = 1\nb = {}1{}\nc = [1.5, 2.5]\n", "a.".repeat(15), "[".repeat(16), "]".repeat(16));
        assert_eq!(errors(&fine), []);
        assert_eq!(errors("a = \"................................\"\n# ..........................\n"), []);
    }

    #[test]
    fn bounds_the_size() {
        let found = errors(&format!("# {}", "x".repeat(FILE_BYTES_MAX)));
        assert_eq!(found, [(0, format!("the file is too large: {} bytes", FILE_BYTES_MAX + 2))]);
    }
}
