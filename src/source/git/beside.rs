//! The files beside specs: what secrets, configs and `env_file` of one commit name.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::listing::{Entry, Kind};
use super::{GitError, Repository, Trouble};
use crate::source::Snapshot;
use crate::spec::parse::{SpecFiles, load_with};
use crate::spec::{Content, Contents, FoundFile, SecretBytes};

/// All that the specs of a commit name together.
const TOTAL_BYTES_MAX: u64 = 64 << 20;

impl Repository {
    /// What the specs of a commit name, by path, out of the same commit.
    pub(super) fn beside(
        &self,
        snapshot: &Snapshot,
        entries: &BTreeMap<String, Entry>,
    ) -> Result<BTreeMap<String, Content>, GitError> {
        let mut found = BTreeMap::new();
        let mut wanted = Vec::new();
        let mut total = 0;
        for (path, bytes_max) in named(snapshot) {
            match look(entries, &path, bytes_max) {
                Ok(entry) => {
                    total += entry.size;
                    wanted.push((path, entry.id.as_str()));
                }
                Err(content) => drop(found.insert(path, content)),
            }
        }
        if total > TOTAL_BYTES_MAX {
            let most = TOTAL_BYTES_MAX >> 20;
            let message = format!("the files that its specs name come to more than {most} MiB");
            return Err(GitError::new(Trouble::Refused, message));
        }
        let blobs = self.objects(wanted.iter().map(|(_, id)| *id))?;
        found.extend(wanted.into_iter().map(|(path, _)| path).zip(blobs.into_iter().map(content)));
        Ok(found)
    }
}

/// The files that specs name, and how many bytes each may have. No file's content decides which
/// others are named, so they are known before any is read.
fn named(snapshot: &Snapshot) -> BTreeMap<String, usize> {
    // `file`, `env_file`, or either written with escapes.
    let may_name = |text: &String| text.contains("file") || text.contains('\\');
    let named = Named::default();
    if snapshot.files.values().any(may_name) {
        load_with(&SpecFiles { files: snapshot.files.clone() }, &named);
    }
    named.0.into_inner()
}

/// Notes what it is asked for.
#[derive(Default)]
struct Named(RefCell<BTreeMap<String, usize>>);

impl Contents for Named {
    fn file(&self, path: &str, bytes_max: usize) -> FoundFile {
        let mut named = self.0.borrow_mut();
        let most = named.entry(path.to_owned()).or_default();
        *most = bytes_max.max(*most);
        Content::Unknown.into()
    }

    fn variable(&self, _: &str) -> Content {
        Content::Unknown
    }
}

/// The entry to read, or what there is to say without reading.
fn look<'a>(
    entries: &'a BTreeMap<String, Entry>,
    path: &str,
    bytes_max: usize,
) -> Result<&'a Entry, Content> {
    if let Some(above) = path.match_indices('/').find_map(|(at, _)| entries.get(&path[..at])) {
        let leads_on = matches!(above.kind, Kind::Symlink | Kind::Submodule);
        let why = "lies in a folder that is a symlink or submodule, which is not followed; put a copy here";
        // A file is no folder.
        return Err(if leads_on { Content::Bad(why.into()) } else { Content::Missing });
    }
    let entry = entries.get(path).ok_or(Content::Missing)?;
    match entry.kind.fault() {
        Some(fault) => Err(Content::Bad(fault.into())),
        None if entry.size > bytes_max as u64 => Err(Content::TooLarge),
        None => Ok(entry),
    }
}

/// A checkout would make something else of some files; here no filter runs, and what stands in
/// their place is nobody's secret.
fn content(blob: Vec<u8>) -> Content {
    if blob.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Content::Bad("is kept in Git LFS, which is not fetched; put the file itself into git".into());
    }
    if blob.starts_with(b"\0GITCRYPT\0") {
        return Content::Bad(
            "is encrypted by git-crypt, which is not undone; use `environment` or `external`".into(),
        );
    }
    Content::Found(SecretBytes::new(blob))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(&str, Kind, u64)]) -> BTreeMap<String, Entry> {
        let entry = |kind, size| Entry { kind, id: "a".repeat(40), size };
        of.iter().map(|(path, kind, size)| ((*path).to_owned(), entry(*kind, *size))).collect()
    }

    #[test]
    fn only_plain_files_of_the_tree_are_content() {
        let entries = entries(&[
            ("eu/token", Kind::File, 8),
            (".hidden/token", Kind::File, 8),
            ("link", Kind::Symlink, 8),
            ("module", Kind::Submodule, 0),
            ("odd", Kind::Odd, 8),
        ]);
        for (path, bytes_max, wanted) in [
            ("eu/token", 8, None),
            (".hidden/token", 100, None),
            ("eu/token", 7, Some("TooLarge")),
            ("token", 8, Some("Missing")),
            ("eu", 8, Some("Missing")),
            ("eu/token/x", 8, Some("Missing")),
            ("link", 8, Some("is a symlink")),
            ("link/token", 8, Some("symlink or submodule")),
            ("module", 8, Some("is a submodule")),
            ("module/deep/token", 8, Some("symlink or submodule")),
            ("odd", 8, Some("not a regular file")),
        ] {
            let found = look(&entries, path, bytes_max).map(|entry| entry.size);
            match wanted {
                None => assert_eq!(found, Ok(8), "{path}"),
                Some(words) => {
                    let said = format!("{:?}", found.unwrap_err());
                    assert!(said.contains(words), "{path}: {said}");
                }
            }
        }
    }

    #[test]
    fn what_a_filter_would_have_made_is_not_taken_as_it_is() {
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        assert!(matches!(content(lfs.to_vec()), Content::Bad(why) if why.contains("LFS")));
        assert!(matches!(content(b"\0GITCRYPT\0x".to_vec()), Content::Bad(why) if why.contains("git-crypt")));
        assert_eq!(content(b"version 2".to_vec()), Content::Found(SecretBytes::new(*b"version 2")));
    }

    #[test]
    fn the_files_that_specs_name_are_known_before_they_are_read() {
        let text = |text: &str| text.to_owned();
        let files = BTreeMap::from([
            (
                text("eu/acme.toml"),
                text(
                    "[services.web]\nimage = 'r.example.com/web'\nenv_file = '../web.env'\n[secrets.a]\nfile = '${customer}/a'\n",
                ),
            ),
            (
                text("globex.toml"),
                text(
                    "[services.web]\nimage = 'r.example.com/web'\n[configs.b]\n\"fi\\u006ce\" = 'b'\n[secrets.c]\nenvironment = 'C'\n",
                ),
            ),
        ]);
        let snapshot = Snapshot { files, problems: Vec::new() };
        let named = named(&snapshot);
        assert_eq!(named.keys().collect::<Vec<_>>(), ["b", "eu/acme/a", "web.env"]);
        assert!(named["eu/acme/a"] < named["b"], "a secret may have less than a config");
        assert!(super::named(&Snapshot::default()).is_empty());
    }
}
