//! Reads again only the files that a watch named, where that tells the same as reading everything.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::{Changes, DEPTH_MAX, FILE_BYTES_MAX, Found, Known, Listing, Reader, Stamp, TRIES};
use crate::source::SourceError;

/// What there is at a path that was named.
enum Named {
    Spec(Found),
    /// Nothing that a listing would show, and nothing that one showed before.
    Nothing,
    /// Only a listing of everything tells.
    Unclear,
}

impl Reader {
    /// Reads what may have changed if that is at these paths only; what is not simply a file that stands
    /// there is left to [`Reader::read`], so that nothing is ever called gone by a part of the directory.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_touched(&mut self, dir: &Path, touched: &BTreeSet<String>) -> Result<Changes, SourceError> {
        match self.texts_of(dir, touched) {
            Some(texts) => Ok(self.take(texts)),
            None => self.read(dir),
        }
    }

    fn texts_of(&self, dir: &Path, touched: &BTreeSet<String>) -> Option<Vec<(String, Known)>> {
        let root =
            self.plain.as_deref().filter(|plain| fs::canonicalize(dir).is_ok_and(|now| now == **plain))?;
        for _ in 0..TRIES {
            let before = self.list_touched(root, touched)?;
            let (known, problems) = self.texts(&before);
            if !problems.is_empty() {
                return None;
            }
            if self.list_touched(root, touched)? == before {
                return Some(known.into_iter().collect());
            }
        }
        None
    }

    fn list_touched(&self, root: &Path, touched: &BTreeSet<String>) -> Option<Listing> {
        let mut listing = Listing::default();
        for file in touched {
            match self.named(root, file) {
                Named::Spec(found) => drop(listing.files.insert(file.clone(), found)),
                Named::Nothing => {}
                Named::Unclear => return None,
            }
        }
        Some(listing)
    }

    fn named(&self, root: &Path, file: &str) -> Named {
        if file.split('/').any(|part| part.starts_with('.')) {
            return Named::Nothing;
        }
        let path = root.join(file);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.holds(file) => {
                return Named::Nothing;
            }
            Err(_) => return Named::Unclear,
        };
        let in_reach = file.matches('/').count() <= DEPTH_MAX && metadata.len() <= FILE_BYTES_MAX;
        match (metadata.is_file(), file.ends_with(".toml")) {
            (true, false) => Named::Nothing,
            // A folder above it may be a symlink since everything was listed.
            (true, true) if in_reach && fs::canonicalize(&path).is_ok_and(|real| real == path) => {
                Named::Spec(Found { path, stamp: Stamp::of(&metadata) })
            }
            _ => Named::Unclear,
        }
    }

    /// Whether a spec stood at this path or beneath it.
    fn holds(&self, file: &str) -> bool {
        let beneath = format!("{file}/");
        self.known.contains_key(file)
            || self
                .known
                .range(beneath.clone()..)
                .next()
                .is_some_and(|(first, _)| first.starts_with(&beneath))
    }

    fn take(&mut self, texts: Vec<(String, Known)>) -> Changes {
        let mut changes = Changes::default();
        for (file, known) in texts {
            let text = known.text.clone();
            let before = self.known.insert(file.clone(), known);
            if before.is_none_or(|before| before.text != text) {
                changes.changed.insert(file);
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests;
