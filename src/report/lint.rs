//! `lint`: what is wrong with specs, for machines. People get the lines underlined.

use super::counted;
use serde::{Deserialize, Serialize};

use crate::spec::diagnostics::{Diagnostic, Severity};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LintReport {
    /// How many files were read.
    pub files: usize,
    pub diagnostics: Vec<LintDiagnostic>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintDiagnostic {
    /// `error` or `warning`.
    pub severity: String,
    pub file: String,
    /// 1-based; 0: the file as a whole.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// The dotted key.
    pub key: String,
    pub message: String,
    pub help: Option<String>,
}

impl LintReport {
    /// How many files, and what was found in them.
    pub fn summary(&self) -> String {
        let count =
            |severity: &str| self.diagnostics.iter().filter(|found| found.severity == severity).count();
        let found = [(count("error"), "error"), (count("warning"), "warning")];
        let found: Vec<String> =
            found.iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(*count, what)).collect();
        let files = counted(self.files, "file");
        if found.is_empty() {
            format!("{files}: no errors.")
        } else {
            format!("{files}: {}.", found.join(", "))
        }
    }

    /// 1 when there is an error; warnings alone leave 0.
    pub fn exit_status(&self) -> u8 {
        u8::from(self.diagnostics.iter().any(|diagnostic| diagnostic.severity == "error"))
    }
}

impl From<&Diagnostic> for LintDiagnostic {
    fn from(diagnostic: &Diagnostic) -> Self {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Self {
            severity: severity.into(),
            file: diagnostic.file.clone(),
            line: diagnostic.line,
            column: diagnostic.column,
            key: diagnostic.key.clone(),
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
        }
    }
}
