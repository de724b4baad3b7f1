//! Errors in spec files: where they are, what is wrong, and the mend.

/// One finding in one file. Offsets are bytes into the file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Relative to the specs directory.
    pub file: String,
    /// Byte range in the file; `None` when the finding is about the file as a whole.
    pub span: Option<std::ops::Range<usize>>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}
