//! `skep lint`: check specs offline.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;

use super::{Context, FAILED};
use crate::report::{LintReport, Style};
use crate::source::{self, Beside, Snapshot, Standing};
use crate::spec::diagnostics::{self, Diagnostic, Severity};
use crate::spec::parse::{Loaded, SpecFiles, load_with};

/// Check specs offline; tells all errors, not only the first
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Spec files, or directories of them [default: the specs directory, or the last commit fetched from git]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

const HELP: &str = "\
Examples:
  skep lint
  skep lint specs/acme.toml
  skep lint --output json | jq '.diagnostics[]'

Exit status:
  0  all specs are valid
  1  invalid specs
  2  the specs could not be read";

/// Which files of a specs directory to speak of; `None`: all.
type Wanted = Option<BTreeSet<String>>;

/// What was found, its files named from where the command was started.
#[derive(Default)]
struct Findings {
    /// How many files were looked at.
    files: usize,
    diagnostics: Vec<Diagnostic>,
    texts: SpecFiles,
    /// Something could not be read, so that nobody can tell.
    unread: bool,
}

/// # Errors
/// When a path is not there or not a spec, or a directory cannot be read.
pub fn run(ctx: &mut Context, args: &Args) -> anyhow::Result<u8> {
    let mut findings = Findings::default();
    match &ctx.config.git {
        Some(git) if args.paths.is_empty() => {
            let tree = source::git::read_last(git, &ctx.config.state_dir)?;
            let contents = Beside::of_commit(&tree, Standing::Visitor);
            findings.add(Path::new(&git.path), tree.snapshot, &contents, None);
        }
        _ => {
            for (root, wanted) in roots(&args.paths, &ctx.config.specs_dir)? {
                let contents = Beside::new(&root, Standing::Visitor);
                findings.add(&root, source::read(&root)?, &contents, wanted.as_ref());
            }
        }
    }
    let report = LintReport {
        files: findings.files,
        diagnostics: findings.diagnostics.iter().map(Into::into).collect(),
    };
    ctx.print(&report, |report, out, style| render(report, &findings, out, style))?;
    Ok(if findings.unread { FAILED } else { report.exit_status() })
}

/// The specs directories that the paths name or lie in. A customer is checked together with
/// its template, so a file alone is never enough.
fn roots(paths: &[PathBuf], specs_dir: &Path) -> anyhow::Result<BTreeMap<PathBuf, Wanted>> {
    if paths.is_empty() {
        return Ok(BTreeMap::from([(specs_dir.to_owned(), None)]));
    }
    let mut roots: BTreeMap<PathBuf, Wanted> = BTreeMap::new();
    for path in paths {
        let metadata = path.metadata().with_context(|| format!("cannot read {}", path.display()))?;
        if metadata.is_dir() {
            roots.insert(path.clone(), None);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "toml") {
            anyhow::bail!("{} is no spec; specs are *.toml files", path.display());
        }
        let (root, file) = place(path, specs_dir);
        if let Some(files) = roots.entry(root).or_insert_with(|| Some(BTreeSet::new())) {
            files.insert(file);
        }
    }
    Ok(roots)
}

/// The specs directory that a file lies in, and its path in there: the configured one, else
/// the file's own folder, or the one above `templates`.
fn place(path: &Path, specs_dir: &Path) -> (PathBuf, String) {
    if let (Ok(full), Ok(root)) = (path.canonicalize(), specs_dir.canonicalize())
        && let Ok(inside) = full.strip_prefix(&root)
    {
        return (specs_dir.to_owned(), slashed(inside));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_templates = folder.file_name().is_some_and(|name| name == "templates");
    let root = match folder.parent().filter(|_| is_templates) {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => folder,
    };
    (root.to_owned(), slashed(path.strip_prefix(root).unwrap_or(path)))
}

/// With `/` between the parts, as `source` names files.
fn slashed(path: &Path) -> String {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

impl Findings {
    /// What the controller has in its environment is not known here, so `contents` is a visitor's.
    fn add(&mut self, root: &Path, snapshot: Snapshot, contents: &Beside, wanted: Option<&BTreeSet<String>>) {
        let is_wanted = |file: &str| wanted.is_none_or(|wanted| wanted.contains(file));
        self.files += snapshot.files.keys().filter(|file| is_wanted(file)).count();
        let name = |file: &str| root.join(file).display().to_string();
        for problem in &snapshot.problems {
            let touches = wanted.is_none_or(|wanted| wanted.iter().any(|file| under(file, &problem.file)));
            if touches {
                self.unread |= problem.unread;
                self.diagnostics.push(unreadable(name(&problem.file), problem.message.clone()));
            }
        }
        if wanted.is_none() {
            self.diagnostics.extend(overlooked(root, snapshot.files.is_empty()));
        }
        let files = SpecFiles { files: snapshot.files };
        let loaded = load_with(&files, contents);
        for mut diagnostic in of_interest(loaded, wanted) {
            diagnostic.file = name(&diagnostic.file);
            self.diagnostics.push(diagnostic);
        }
        self.texts.files.extend(files.files.into_iter().map(|(file, text)| (name(&file), text)));
    }
}

/// What is said of the wanted files, and of the templates through which they are invalid.
fn of_interest(loaded: Loaded, wanted: Option<&BTreeSet<String>>) -> Vec<Diagnostic> {
    let Some(wanted) = wanted else { return loaded.diagnostics };
    let mut all: Vec<Diagnostic> =
        loaded.diagnostics.into_iter().filter(|found| wanted.contains(&found.file)).collect();
    let customers = wanted.iter().filter(|file| !file.starts_with("templates/")).map(|file| stem(file));
    let mut seen = BTreeSet::new();
    for found in customers.filter_map(|name| loaded.invalid.get(name)).flatten() {
        // A template's mistake stands under each customer that uses it; once is enough.
        let place = (found.file.clone(), found.line, found.column, found.key.clone());
        if !wanted.contains(&found.file) && seen.insert(place) {
            all.push(found.clone());
        }
    }
    all
}

/// A customer's name, by its file's.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

fn under(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn unreadable(file: String, message: String) -> Diagnostic {
    let key = String::new();
    Diagnostic { severity: Severity::Error, file, span: None, line: 0, column: 0, key, message, help: None }
}

/// So many files that are no specs are named.
const OVERLOOKED_MAX: usize = 5;

/// What a newcomer may take for specs: compose files in the directory, or nothing at all.
fn overlooked(root: &Path, is_empty: bool) -> Vec<Diagnostic> {
    let warning = |file: String, message: &str, help: String| Diagnostic {
        severity: Severity::Warning,
        help: Some(help),
        ..unreadable(file, message.to_owned())
    };
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yml" || end == "yaml");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    let mut found: Vec<Diagnostic> = files
        .iter()
        .take(OVERLOOKED_MAX)
        .map(|path| {
            let (file, spec) = (path.display().to_string(), path.with_extension("toml"));
            let help = format!("`skep import {file} > {}` makes a spec of a compose file", spec.display());
            warning(file, "this is no spec, so skep does not read it: specs are *.toml", help)
        })
        .collect();
    if is_empty && found.is_empty() {
        let help =
            "a customer is a file NAME.toml; `skep import --stack NAME` makes one of a stack that runs";
        found.push(warning(root.display().to_string(), "there are no specs here", help.to_owned()));
    }
    found
}

fn render(report: &LintReport, findings: &Findings, out: &mut dyn Write, style: &Style) -> io::Result<()> {
    write!(out, "{}", diagnostics::render(&findings.diagnostics, &findings.texts, style.color))?;
    writeln!(out, "{}", report.summary())
}

#[cfg(test)]
mod tests;
