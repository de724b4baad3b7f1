//! `skep.toml`: every key against the table, every error with its place.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Place, fit_to_print};
use super::values::Raw;
use super::{Config, Problem, Sources, keys, registries};

/// A configuration is written by hand; more than this is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One file being read.
pub(super) struct File<'a> {
    pub path: &'a Path,
    /// Fit to print; offsets are those of the file's own text.
    shown: Arc<str>,
    problems: &'a mut Vec<Problem>,
}

/// Reads the named file, which must be there, or the default one if it is. Gives back where
/// `[docker]` stands in it, for what can be judged only when all sources are read.
pub(super) fn apply(sources: &Sources, config: &mut Config, problems: &mut Vec<Problem>) -> Option<Place> {
    let named = sources.file.clone().or_else(|| sources.var("SKEP_CONFIG").map(PathBuf::from));
    let path = named.as_deref().unwrap_or(&sources.default_file);
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            let origin = path.display().to_string();
            let message = format!("cannot read the configuration {origin}: {error}");
            problems.push(Problem { origin, message, help: None, place: None });
            return None;
        }
    };
    config.file = Some(path.to_owned());
    let shown = fit_to_print(&text).into();
    File { path, shown, problems }.apply(config, &text)
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

impl File<'_> {
    fn apply(&mut self, config: &mut Config, text: &str) -> Option<Place> {
        let mut docker_place = None;
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            self.problem(error.span().unwrap_or(0..0), error.message().to_owned(), None);
        }
        // What was recovered of a broken file would only give errors about errors.
        if errors.is_empty() {
            self.section(config, "", root.get_ref());
            let docker = root.get_ref().get("docker");
            docker_place = docker.map(|table| Place::new(&self.shown, table.span()));
        }
        // Tables come sorted by key; people read from the top.
        self.problems.sort_by_key(|problem| problem.place.as_ref().map(|place| place.span.start));
        docker_place
    }

    fn section(&mut self, config: &mut Config, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            if name == "registries" {
                registries::apply(self, config, value);
            } else if keys::NOT_YET.contains(&name.as_str()) {
                self.problem(key.span(), format!("`{name}` is not built yet"), Some("take it out".into()));
            } else if is_section(&name) {
                match value.get_ref().as_table() {
                    Some(inner) => self.section(config, &format!("{name}."), inner),
                    None => self.not_a_table(&name, value),
                }
            } else if keys::KEYS.iter().any(|(known, _)| *known == name) {
                let raw = Raw::Toml { value: value.get_ref(), file: self.path };
                if let Err(mend) = keys::set(config, &name, &raw) {
                    self.problem(value.span(), format!("`{name}` {mend}"), None);
                }
            } else {
                self.unknown(prefix, key, &children(prefix));
            }
        }
    }

    pub(super) fn not_a_table(&mut self, name: &str, value: &Spanned<DeValue<'_>>) {
        let message = format!("`{name}` is not a table");
        self.problem(value.span(), message, Some(format!("write [{name}] and its keys below")));
    }

    /// A key that is not known in the section `prefix`, whose keys are `siblings`.
    pub(super) fn unknown(&mut self, prefix: &str, key: &Spanned<toml::de::DeString<'_>>, siblings: &[&str]) {
        let name = key.get_ref();
        let is_secret = |(habit, file): &&(&str, &str)| *habit == name.as_ref() && siblings.contains(file);
        if let Some((habit, file)) = keys::SECRETS.iter().find(is_secret) {
            // The place is the key's, so that the secret itself is not printed.
            let message = format!("`{prefix}{habit}` is refused: a configuration file holds no secrets");
            let help =
                format!("write the {habit} to a file of mode 0600 and name it: {file} = \"/run/secrets/…\"");
            self.problems.push(Problem {
                origin: self.path.display().to_string(),
                message,
                help: Some(help),
                place: Some(self.without_values(key.span())),
            });
            return;
        }
        let place =
            if prefix.is_empty() { String::new() } else { format!(" in [{}]", prefix.trim_end_matches('.')) };
        let help = match keys::nearest(name, siblings) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", siblings.join(", ")),
        };
        self.problem(key.span(), format!("unknown key `{name}`{place}"), Some(help));
    }

    /// A place whose text stops after the key.
    fn without_values(&self, span: std::ops::Range<usize>) -> Place {
        let shown: Arc<str> = self.shown[..span.end].into();
        Place::new(&shown, span)
    }

    pub(super) fn problem(&mut self, span: std::ops::Range<usize>, message: String, help: Option<String>) {
        let place = Some(Place::new(&self.shown, span));
        self.problems.push(Problem { origin: self.path.display().to_string(), message, help, place });
    }
}

fn is_section(name: &str) -> bool {
    keys::KEYS.iter().any(|(known, _)| known.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The keys and sections that may stand directly under `prefix`, each once.
fn children(prefix: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = keys::KEYS
        .iter()
        .filter_map(|(known, _)| known.strip_prefix(prefix)?.split('.').next())
        .chain(prefix.is_empty().then_some("registries"))
        .collect();
    names.dedup();
    names
}
