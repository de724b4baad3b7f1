//! What one commit holds: which entries are specs, and which others specs may name.

use std::collections::BTreeMap;

use super::super::Problem;
use crate::text::{is_unsafe, printable};

/// As the directory source has them.
const ENTRIES_MAX: usize = 20_000;
const DEPTH_MAX: usize = 32;
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// All specs together.
const TOTAL_BYTES_MAX: u64 = 64 << 20;
const SHOWN_CHARS_MAX: usize = 200;

#[derive(Default)]
pub(super) struct Listing {
    /// The object of each spec, by path.
    pub(super) blobs: BTreeMap<String, String>,
    /// All entries whose name is UTF-8, by path.
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) problems: Vec<Problem>,
    total: u64,
}

/// An entry of a tree that is no tree itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Symlink,
    Submodule,
    Odd,
}

impl Kind {
    fn of(mode: &str) -> Self {
        match mode {
            "120000" => Self::Symlink,
            "160000" => Self::Submodule,
            mode if mode.starts_with("100") => Self::File,
            _ => Self::Odd,
        }
    }

    /// Why it is not read.
    pub(super) fn fault(self) -> Option<&'static str> {
        match self {
            Self::File => None,
            Self::Symlink => Some("is a symlink, which is not followed; put a copy here"),
            Self::Submodule => Some("is a submodule, which is not followed; put a copy here"),
            Self::Odd => Some("is not a regular file"),
        }
    }
}

impl Listing {
    /// Reads what `ls-tree` says; the error says what is wrong with the whole.
    pub(super) fn read(&mut self, listed: &[u8]) -> Result<(), String> {
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
            let size = size.parse().unwrap_or(u64::MAX);
            let name = entry.get(tab + 1..).unwrap_or_default();
            self.entry(&Entry { kind: Kind::of(mode), id: id.to_owned(), size }, name);
            if self.total > TOTAL_BYTES_MAX {
                return Err(format!("holds more than {} MiB of specs", TOTAL_BYTES_MAX >> 20));
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, name: &[u8]) {
        let lossy = String::from_utf8_lossy(name);
        let is_utf8 = std::str::from_utf8(name).is_ok();
        if is_utf8 {
            self.entries.insert(lossy.to_string(), entry.clone());
        }
        let file = printable(&lossy, SHOWN_CHARS_MAX);
        let parts: Vec<&str> = lossy.split('/').collect();
        let climbs = |part: &&str| part.is_empty() || matches!(*part, "." | "..");
        let hidden = |part: &&str| part.starts_with('.') && *part != "." && *part != "..";
        if parts.iter().any(hidden) {
            return;
        }
        if entry.kind == Kind::Submodule {
            return self.problem(file, entry.kind.fault().unwrap_or_default());
        }
        if !lossy.ends_with(".toml") {
            return;
        }
        if !is_utf8 {
            self.problem(file, "its name is not UTF-8; rename it");
        } else if lossy.chars().any(is_unsafe) || file != lossy {
            self.problem(file, "its name has control characters or is too long; rename it");
        } else if parts.iter().any(climbs) {
            self.problem(file, "its path leads out of the tree");
        } else if parts.len() > DEPTH_MAX {
            self.problem(file, &format!("lies more than {DEPTH_MAX} folders deep"));
        } else if let Some(fault) = entry.kind.fault() {
            self.problem(file, fault);
        } else if entry.size > FILE_BYTES_MAX {
            self.problem(file, &format!("is larger than {} KiB; a spec has a few", FILE_BYTES_MAX / 1024));
        } else {
            self.total += entry.size;
            self.blobs.insert(file, entry.id.clone());
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
        assert!(Listing::default().read(&many).unwrap_err().contains("more than 20000"));
        let much = b"100644 blob aaaa 1048576\ta.toml\0".repeat(65);
        assert!(Listing::default().read(&much).unwrap_err().contains("64 MiB"));
        assert!(Listing::default().read(b"rubbish\0").is_err());
    }
}
