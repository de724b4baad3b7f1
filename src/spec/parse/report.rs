//! Findings while reading: places in several files at once, before they become diagnostics.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::spec::diagnostics::{Diagnostic, Severity, position};
use crate::text::printable;

/// A byte range in one of the files, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) file: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// One finding. Findings are equal when they say the same about the same place, whichever
/// customer was being read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) file: u32,
    /// `None`: about the file as a whole.
    pub(super) span: Option<Span>,
    pub(super) severity: Severity,
    pub(super) key: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// What was found while reading one customer or template.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    dropped: bool,
}

/// Findings a file. People mend a page of errors at a time; a hostile file must not cost
/// memory for millions.
const FINDINGS_MAX: usize = 500;
/// Characters of a message. Ours are short; what they quote from the file may not be.
const MESSAGE_MAX: usize = 400;
/// Characters of one part of a dotted key.
const KEY_PART_MAX: usize = 64;

impl Report {
    pub(super) fn error(&mut self, span: Span, key: &str, message: &str, help: Option<String>) {
        self.push(Severity::Error, span.file, Some(span), key, message, help);
    }

    pub(super) fn warning(&mut self, span: Span, key: &str, message: &str, help: Option<String>) {
        self.push(Severity::Warning, span.file, Some(span), key, message, help);
    }

    /// An error about a file as a whole.
    pub(super) fn file_error(&mut self, file: u32, key: &str, message: &str, help: Option<String>) {
        self.push(Severity::Error, file, None, key, message, help);
    }

    /// A warning about a file as a whole.
    pub(super) fn file_warning(&mut self, file: u32, message: &str, help: Option<String>) {
        self.push(Severity::Warning, file, None, "", message, help);
    }

    /// No more is recorded, so that costly help need not be thought of.
    pub(super) fn is_full(&self) -> bool {
        self.findings.len() >= FINDINGS_MAX
    }

    /// There was more than could be recorded.
    pub(super) fn has_dropped(&self) -> bool {
        self.dropped
    }

    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Takes over what another report found, as far as it is wanted.
    pub(super) fn take(&mut self, other: Self, is_wanted: impl Fn(&Finding) -> bool) {
        self.dropped |= other.dropped;
        for finding in other.findings.into_iter().filter(|finding| is_wanted(finding)) {
            match self.is_full() {
                true => self.dropped = true,
                false => self.findings.push(finding),
            }
        }
    }

    fn push(
        &mut self,
        severity: Severity,
        file: u32,
        span: Option<Span>,
        key: &str,
        message: &str,
        help: Option<String>,
    ) {
        if self.is_full() {
            self.dropped = true;
            return;
        }
        self.findings.push(Finding {
            file,
            span,
            severity,
            key: key.to_owned(),
            message: printable(message, MESSAGE_MAX),
            help: help.map(|help| printable(&help, MESSAGE_MAX)),
        });
    }

    /// The findings, each once, in the order of files and places.
    pub(super) fn finish(mut self, file: u32) -> Vec<Finding> {
        if self.dropped {
            self.findings.push(Finding {
                file,
                span: None,
                severity: Severity::Error,
                key: String::new(),
                message: format!("there are more than {FINDINGS_MAX} errors, the rest is not shown"),
                help: None,
            });
        }
        self.findings.sort();
        self.findings.dedup();
        self.findings
    }
}

/// `parent.name`, with quotes where TOML wants them.
pub(super) fn join_key(parent: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let shown = printable(name, KEY_PART_MAX);
    let shown = if bare { shown } else { format!("\"{}\"", shown.replace('"', "\\\"")) };
    if parent.is_empty() { shown } else { format!("{parent}.{shown}") }
}

/// `parent[index]`.
pub(super) fn join_index(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// The files of one `load`, by number.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    files: Vec<(&'a str, &'a str)>,
    /// Of each file with a finding, where its lines begin.
    lines: RefCell<BTreeMap<u32, Vec<usize>>>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(files: &'a BTreeMap<String, String>) -> Self {
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        Self { files, lines: RefCell::default() }
    }

    pub(super) fn path(&self, file: u32) -> &'a str {
        self.files.get(file as usize).map_or("", |(path, _)| path)
    }

    pub(super) fn text(&self, file: u32) -> &'a str {
        self.files.get(file as usize).map_or("", |(_, text)| text)
    }

    /// All files with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &'a str, &'a str)> {
        (0u32..).zip(&self.files).map(|(i, (path, text))| (i, *path, *text))
    }

    /// As [`position`], at the cost of one line instead of the whole text.
    fn position(&self, file: u32, offset: usize) -> (usize, usize) {
        let text = self.text(file);
        let mut lines = self.lines.borrow_mut();
        let starts = lines.entry(file).or_insert_with(|| {
            std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect()
        });
        let line = starts.partition_point(|start| *start <= offset);
        let start = starts.get(line - 1).copied().unwrap_or(0);
        (line, position(text.get(start..).unwrap_or_default(), offset - start).1)
    }

    /// A finding with its line and column. `mention` ends the message.
    pub(super) fn diagnostic(&self, finding: &Finding, mention: &str) -> Diagnostic {
        let text = self.text(finding.file);
        let range = finding.span.map(|span| clip(text, span));
        let (line, column) = range.as_ref().map_or((0, 0), |range| self.position(finding.file, range.start));
        Diagnostic {
            severity: finding.severity,
            file: self.path(finding.file).to_owned(),
            span: range,
            line,
            column,
            key: finding.key.clone(),
            message: format!("{}{mention}", finding.message),
            help: finding.help.clone(),
        }
    }
}

/// The span within the text, on character boundaries, whatever a parser said.
fn clip(text: &str, span: Span) -> std::ops::Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}
