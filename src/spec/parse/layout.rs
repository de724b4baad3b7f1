//! Which file is what, by its path alone.

use std::collections::BTreeMap;

use super::report::{Finding, Report, Sources};
use crate::text::printable;

/// Files that are read. A fleet has hundreds, the largest measured 10,000; the bound keeps a directory
/// named by mistake from filling the memory.
pub const FILES_MAX: usize = 20_000;
/// Characters of a customer's name, by the contract: `<customer>_<key>` must fit a name of
/// the Swarm.
const CUSTOMER_NAME_MAX: usize = 40;
const TEMPLATES: &str = "templates/";
/// The rules of the fleet.
pub const FLEET_FILE: &str = "fleet.toml";

/// Whether a file is no customer's, but shared by customers; so is a folder, whose path ends in `/`.
pub fn is_shared(path: &str) -> bool {
    path == FLEET_FILE || path.starts_with(TEMPLATES) || path.ends_with('/')
}

/// The files by what they are for, and what is wrong with their names.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    /// By name.
    pub(super) templates: BTreeMap<&'a str, u32>,
    /// By stem: more than one file is an error in each.
    pub(super) customers: BTreeMap<&'a str, Vec<u32>>,
    /// `fleet.toml`.
    pub(super) fleet: Option<u32>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Layout<'a> {
    pub(super) fn of(sources: &Sources<'a>) -> Self {
        let mut layout = Self::default();
        let is_spec =
            |path: &str| path.ends_with(".toml") && !path.split('/').any(|part| part.starts_with('.'));
        for (count, (file, path, _)) in sources.iter().filter(|(_, path, _)| is_spec(path)).enumerate() {
            let mut report = Report::default();
            if count >= FILES_MAX {
                let help = "is this the right directory?".to_owned();
                report.file_error(file, "", &format!("more than {FILES_MAX} files"), Some(help));
            }
            layout.place(file, path, &mut report);
            layout.findings.extend(report.finish(file));
        }
        layout.check_unique(sources);
        layout
    }

    fn place(&mut self, file: u32, path: &'a str, report: &mut Report) {
        if path == FLEET_FILE {
            self.fleet = Some(file);
            return;
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = name.strip_suffix(".toml").unwrap_or(name);
        if let Some(rest) = path.strip_prefix(TEMPLATES) {
            if rest.contains('/') {
                let help = "move it to templates/ itself".to_owned();
                report.file_warning(file, "not read: folders in templates/ are not searched", Some(help));
            } else {
                self.templates.insert(name, file);
            }
            return;
        }
        if !is_customer_name(name) {
            let help = format!(
                "name the file with lower-case letters, digits and `-`, with a letter or digit at both ends, at most {CUSTOMER_NAME_MAX}"
            );
            let message = format!("`{}` is not a customer name", printable(name, 60));
            report.file_error(file, "", &message, Some(help));
        }
        self.customers.entry(name).or_default().push(file);
    }

    fn check_unique(&mut self, sources: &Sources<'_>) {
        for (name, files) in self.customers.iter().filter(|(_, files)| files.len() > 1) {
            for file in files {
                let other =
                    files.iter().find(|other| *other != file).map_or("", |other| sources.path(*other));
                let mut report = Report::default();
                let message = format!("customer `{}` has another file: {other}", printable(name, 60));
                report.file_error(*file, "", &message, Some("rename one of the two, or take it away".into()));
                self.findings.extend(report.finish(*file));
            }
        }
    }
}

/// `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`, at most 40 characters.
pub fn is_customer_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty()
        && name.len() <= CUSTOMER_NAME_MAX
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
