//! Reads the specs of one commit out of the object store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{Problem, Snapshot};
use super::listing::Listing;
use super::{GitError, Repository, Revision, Tree, Trouble};
use crate::text::printable;

const AUTHOR_CHARS_MAX: usize = 100;
const SUBJECT_CHARS_MAX: usize = 200;

impl Repository {
    /// The commit that a name stands for, if it is there.
    pub(super) fn resolve(&self, name: &str) -> Result<Option<String>, GitError> {
        let name = format!("{name}^{{commit}}");
        let output = self.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name], &[])?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let is_id = id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok((output.success && is_id).then_some(id))
    }

    /// All specs of a commit, with the files that they name.
    pub(super) fn tree(&self, commit: &str) -> Result<Tree, GitError> {
        let revision = self.revision(commit)?;
        let folder = &self.config.path;
        let root = if folder.is_empty() { commit.to_owned() } else { format!("{commit}:{folder}") };
        let listed = self.git(&["ls-tree", "-r", "-z", "-l", "--full-tree", &root], &[])?;
        if !listed.success {
            let place = if folder.is_empty() { "tree".into() } else { format!("folder `{folder}`") };
            let message = format!("{} has no {place} that can be read: {}", short(commit), listed.complaint);
            return Err(GitError::new(Trouble::Refused, message));
        }
        let mut listing = Listing::default();
        listing.read(&listed.stdout).map_err(|message| {
            GitError::new(Trouble::Refused, format!("commit {} {message}", short(commit)))
        })?;
        let entries = std::mem::take(&mut listing.entries);
        let snapshot = self.specs(listing)?;
        let beside = self.beside(&snapshot, &entries)?;
        Ok(Tree { revision, snapshot, beside: Arc::new(beside) })
    }

    fn revision(&self, commit: &str) -> Result<Revision, GitError> {
        let format = "--format=%an <%ae>%x00%at%x00%s";
        let output = self.git(&["log", "-1", "--no-show-signature", format, commit, "--"], &[])?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut parts = text.trim_end_matches('\n').splitn(3, '\0');
        let (author, time, subject) = (parts.next(), parts.next(), parts.next());
        let (true, Some(author), Some(time), Some(subject)) = (output.success, author, time, subject) else {
            let message = format!("cannot read commit {}: {}", short(commit), output.complaint);
            return Err(GitError::new(Trouble::Local, message));
        };
        Ok(Revision {
            commit: commit.to_owned(),
            author: printable(author, AUTHOR_CHARS_MAX),
            subject: printable(subject, SUBJECT_CHARS_MAX),
            time: time.parse().unwrap_or_default(),
        })
    }

    fn specs(&self, listing: Listing) -> Result<Snapshot, GitError> {
        let mut snapshot = Snapshot { files: BTreeMap::new(), problems: listing.problems };
        let blobs = self.objects(listing.blobs.values().map(String::as_str))?;
        for (file, blob) in listing.blobs.into_keys().zip(blobs) {
            match String::from_utf8(blob) {
                Ok(text) => drop(snapshot.files.insert(file, text)),
                Err(error) => {
                    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                    let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
                    let message = format!("line {line} is not UTF-8; save the file with that encoding");
                    snapshot.problems.push(Problem { file, message, unread: false });
                }
            }
        }
        Ok(snapshot)
    }

    /// Blobs by their names, in order; who asks has bounded their sizes.
    pub(super) fn objects<'a>(
        &self,
        ids: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<Vec<u8>>, GitError> {
        let wanted: String = ids.clone().map(|id| format!("{id}\n")).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let output = self.git(&["cat-file", "--batch"], wanted.as_bytes())?;
        let mut rest = output.stdout.as_slice();
        let mut blobs = Vec::new();
        for id in ids {
            let Some((blob, after)) = next_blob(rest, id) else {
                let message = format!("the object store is damaged at {id}: {}", output.complaint);
                return Err(GitError::new(Trouble::Local, message));
            };
            rest = after;
            blobs.push(blob.to_vec());
        }
        Ok(blobs)
    }
}

/// One answer of `cat-file --batch`, and what follows it.
fn next_blob<'a>(answer: &'a [u8], id: &str) -> Option<(&'a [u8], &'a [u8])> {
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let size: usize = head.strip_prefix(id)?.strip_prefix(" blob ")?.parse().ok()?;
    let rest = answer.get(end + 1..)?;
    Some((rest.get(..size)?, rest.get(size + 1..)?))
}

pub(super) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_taken_by_their_sizes() {
        let answer = b"id1 blob 3\na\nb\nid2 blob 0\n\n";
        let (blob, rest) = next_blob(answer, "id1").unwrap();
        assert_eq!(blob, b"a\nb");
        assert_eq!(next_blob(rest, "id2").unwrap(), (&b""[..], &b""[..]));
        for bad in
            [&b"id1 missing\n"[..], b"id1 blob 9\nabc\n", b"id1 tree 3\nabc\n", b"id2 blob 1\na\n", b""]
        {
            assert_eq!(next_blob(bad, "id1"), None);
        }
    }
}
