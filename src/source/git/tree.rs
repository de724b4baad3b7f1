//! Reads the specs of one commit out of the object store.

use std::collections::BTreeMap;

use super::super::{Problem, Snapshot};
use super::{GitError, Repository, Revision, Tree, Trouble};
use crate::text::{is_unsafe, printable};

/// As the directory source has them.
const ENTRIES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 32;
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// All specs together.
const TOTAL_BYTES_MAX: u64 = 64 << 20;
const SHOWN_CHARS_MAX: usize = 200;

impl Repository {
    /// The commit that a name stands for, if it is there.
    pub(super) fn resolve(&self, name: &str) -> Result<Option<String>, GitError> {
        let name = format!("{name}^{{commit}}");
        let output = self.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name], &[])?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let is_id = id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok((output.success && is_id).then_some(id))
    }

    /// All specs of a commit.
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
        let snapshot = self.blobs(listing)?;
        Ok(Tree { revision, snapshot })
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
            author: printable(author, 100),
            subject: printable(subject, SHOWN_CHARS_MAX),
            time: time.parse().unwrap_or_default(),
        })
    }

    fn blobs(&self, listing: Listing) -> Result<Snapshot, GitError> {
        let mut snapshot = Snapshot { files: BTreeMap::new(), problems: listing.problems };
        if listing.blobs.is_empty() {
            return Ok(snapshot);
        }
        let wanted: String = listing.blobs.values().map(|id| format!("{id}\n")).collect();
        let output = self.git(&["cat-file", "--batch"], wanted.as_bytes())?;
        let mut rest = output.stdout.as_slice();
        for (file, id) in listing.blobs {
            let Some((blob, after)) = next_blob(rest, &id) else {
                let message = format!("the object store is damaged at {id}: {}", output.complaint);
                return Err(GitError::new(Trouble::Local, message));
            };
            rest = after;
            match std::str::from_utf8(blob) {
                Ok(text) => drop(snapshot.files.insert(file, text.to_owned())),
                Err(error) => {
                    let line = blob[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                    let message = format!("line {line} is not UTF-8; save the file with that encoding");
                    snapshot.problems.push(Problem { file, message, unread: false });
                }
            }
        }
        Ok(snapshot)
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

#[derive(Default)]
struct Listing {
    /// The object of each spec, by path.
    blobs: BTreeMap<String, String>,
    problems: Vec<Problem>,
    total: u64,
}

impl Listing {
    /// Reads what `ls-tree` says; the error says what is wrong with the whole.
    fn read(&mut self, listed: &[u8]) -> Result<(), String> {
        for (index, entry) in listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).enumerate() {
            if index >= ENTRIES_MAX {
                return Err(format!(
                    "holds more than {ENTRIES_MAX} files; name the specs' folder with `path`"
                ));
            }
            let tab = entry.iter().position(|byte| *byte == b'\t').unwrap_or(entry.len());
            let head = String::from_utf8_lossy(&entry[..tab]);
            let parts: Vec<&str> = head.split_ascii_whitespace().collect();
            let [mode, _, id, size] = parts[..] else { return Err("cannot be listed".into()) };
            self.entry(mode, id, size, entry.get(tab + 1..).unwrap_or_default());
            if self.total > TOTAL_BYTES_MAX {
                return Err(format!("holds more than {} MiB of specs", TOTAL_BYTES_MAX >> 20));
            }
        }
        Ok(())
    }

    fn entry(&mut self, mode: &str, id: &str, size: &str, name: &[u8]) {
        let lossy = String::from_utf8_lossy(name);
        let file = printable(&lossy, SHOWN_CHARS_MAX);
        let parts: Vec<&str> = lossy.split('/').collect();
        let climbs = |part: &&str| part.is_empty() || matches!(*part, "." | "..");
        let hidden = |part: &&str| part.starts_with('.') && *part != "." && *part != "..";
        if parts.iter().any(hidden) {
            return;
        }
        if mode == "160000" {
            return self.problem(file, "is a submodule, which is not followed; put a copy here");
        }
        if !lossy.ends_with(".toml") {
            return;
        }
        let size: u64 = size.parse().unwrap_or(u64::MAX);
        if std::str::from_utf8(name).is_err() {
            self.problem(file, "its name is not UTF-8; rename it");
        } else if lossy.chars().any(is_unsafe) || file != lossy {
            self.problem(file, "its name has control characters or is too long; rename it");
        } else if parts.iter().any(climbs) {
            self.problem(file, "its path leads out of the tree");
        } else if parts.len() > DEPTH_MAX {
            self.problem(file, &format!("lies more than {DEPTH_MAX} folders deep"));
        } else if mode == "120000" {
            self.problem(file, "is a symlink, which is not followed; put a copy here");
        } else if !mode.starts_with("100") {
            self.problem(file, "is not a regular file");
        } else if size > FILE_BYTES_MAX {
            self.problem(file, &format!("is larger than {} KiB; a spec has a few", FILE_BYTES_MAX / 1024));
        } else {
            self.total += size;
            self.blobs.insert(file, id.to_owned());
        }
    }

    fn problem(&mut self, file: String, message: &str) {
        self.problems.push(Problem { file, message: message.to_owned(), unread: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(entries: &[(&str, &str, &[u8])]) -> Listing {
        let mut bytes = Vec::new();
        for (mode, size, name) in entries {
            bytes.extend(format!("{mode} blob {} {size:>7}\t", "a".repeat(40)).bytes());
            bytes.extend(*name);
            bytes.push(0);
        }
        let mut listing = Listing::default();
        listing.read(&bytes).unwrap();
        listing
    }

    #[test]
    fn only_plain_files_with_plain_names_are_specs() {
        let listing = listed(&[
            ("100644", "10", b"acme.toml"),
            ("100755", "10", b"eu/globex.toml"),
            ("100644", "10", b"README.md"),
            ("120000", "10", b"README.link"),
            ("100644", "10", b".hidden.toml"),
            ("100644", "10", b".git/x.toml"),
        ]);
        assert_eq!(listing.blobs.keys().collect::<Vec<_>>(), ["acme.toml", "eu/globex.toml"]);
        assert_eq!(listing.problems, []);
    }

    #[test]
    fn what_is_not_plain_is_a_problem_of_that_file() {
        let cases: &[(&str, &str, &[u8], &str)] = &[
            ("120000", "10", b"a.toml", "symlink"),
            ("160000", "-", b"sub", "submodule"),
            ("160000", "-", b"sub.toml", "submodule"),
            ("100644", "1048577", b"a.toml", "larger than 1024 KiB"),
            ("100644", "-", b"a.toml", "larger"),
            ("100644", "10", b"../a.toml", "leads out"),
            ("100644", "10", b"x/../../a.toml", "leads out"),
            ("100644", "10", b"./a.toml", "leads out"),
            ("100644", "10", b"/a.toml", "leads out"),
            ("100644", "10", b"x//a.toml", "leads out"),
            ("100644", "10", b"a\x1b[31m.toml", "control"),
            ("100644", "10", b"a\nb.toml", "control"),
            ("100644", "10", "a\u{202e}.toml".as_bytes(), "control"),
            ("100644", "10", b"a\xff.toml", "not UTF-8"),
            ("040000", "10", b"a.toml", "not a regular file"),
        ];
        for (mode, size, name, words) in cases {
            let listing = listed(&[(mode, size, name)]);
            assert!(listing.blobs.is_empty(), "{words}");
            let [problem] = &listing.problems[..] else { panic!("{words}: {:?}", listing.problems) };
            assert!(problem.message.contains(words), "{problem:?}");
            assert!(!problem.file.chars().any(is_unsafe), "{problem:?}");
        }
        let deep = format!("{}a.toml", "x/".repeat(DEPTH_MAX));
        assert!(listed(&[("100644", "10", deep.as_bytes())]).problems[0].message.contains("deep"));
    }

    #[test]
    fn too_many_and_too_much_refuse_the_whole() {
        let many = b"100644 blob aaaa 1\ta.toml\0".repeat(ENTRIES_MAX + 1);
        assert!(Listing::default().read(&many).unwrap_err().contains("more than 10000"));
        let much = b"100644 blob aaaa 1048576\ta.toml\0".repeat(65);
        assert!(Listing::default().read(&much).unwrap_err().contains("64 MiB"));
        assert!(Listing::default().read(b"rubbish\0").is_err());
    }

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
