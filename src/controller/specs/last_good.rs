//! The last good spec of each customer on disk, so that a restart does not leave alone who has errors then.
//!
//! Each save is a line, of which a customer's last one holds: what it costs does not grow with the fleet. A line is
//! the SHA-256 of what follows it, and that. What is read back is as it was written, or there is nothing: whoever reads
//! it has to know besides, from [`super::told`], that it is what was told of last. What specs take from outside stands
//! here as keyed hashes alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files::{Files, Real, Writable};
use crate::spec::{Outside, Seal};

/// More than a spec or template has, each of its characters escaped.
const LINE_BYTES_MAX: u64 = 8 << 20;
/// The file may have so much more than twice what holds before it is written anew.
const SPARE_BYTES: u64 = 1 << 20;
/// What is written at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Hexadecimal digits of a sum.
const SUM_DIGITS: usize = 64;

/// Texts by file.
pub(super) type Texts = BTreeMap<String, Arc<str>>;

/// A spec that was in force, as text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Good {
    /// Hash of what it meant.
    pub(super) hash: String,
    /// Relative to the specs directory.
    pub(super) file: String,
    pub(super) text: Arc<str>,
    /// The templates beneath it, by file.
    pub(super) templates: Texts,
    pub(super) outside: Outside,
}

/// What a line says. Texts that many share stand once.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Spec(Stored),
    /// A template; it goes by the sum of its line.
    Template(String),
    /// `fleet.toml` when it was last good; `None`: there was none.
    Fleet(Option<String>),
    /// The customer's spec does not count any more.
    Forgotten(String),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    customer: String,
    hash: String,
    file: String,
    text: String,
    /// Sums, by file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    templates: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<String, Keyed>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    configs: BTreeMap<String, Keyed>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    environments: BTreeMap<String, String>,
}

/// A seal.
#[derive(Serialize, Deserialize)]
struct Keyed {
    hash: String,
    key: String,
}

/// Where a line is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    hash: String,
    file: String,
    /// Sums.
    templates: Vec<String>,
}

/// What stands where in the file.
#[derive(Debug, Default)]
struct Index {
    customers: BTreeMap<String, Entry>,
    /// By their sums.
    templates: BTreeMap<String, Place>,
    /// Where the fleet's rules stand, and their sum.
    fleet: Option<(Place, String)>,
    bytes: u64,
    /// When it is this long, it is looked at how much of it still holds.
    look_at_bytes: u64,
    /// Something in it is no line, so that it is to be written anew.
    is_spoilt: bool,
}

/// The file, and what is to be written to it.
#[derive(Debug)]
pub(super) struct LastGood {
    files: Arc<dyn Files>,
    file: Option<PathBuf>,
    /// `None`: nobody has looked yet.
    index: Option<Index>,
    /// `None`: to be forgotten.
    unsaved: BTreeMap<String, Option<Good>>,
    unsaved_fleet: Option<Option<String>>,
}

impl LastGood {
    /// Without a file nothing is kept. It is not looked at before that is needed.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self::on(Arc::new(Real), file)
    }

    fn on(files: Arc<dyn Files>, file: Option<PathBuf>) -> Self {
        Self { files, file, index: None, unsaved: BTreeMap::new(), unsaved_fleet: None }
    }

    fn index(&mut self) -> &mut Index {
        let file = self.file.as_deref();
        self.index.get_or_insert_with(|| file.map(Index::read).unwrap_or_default())
    }

    /// The hash and the file of what is kept of a customer, saved or not.
    pub(super) fn kept(&mut self, customer: &str) -> Option<(String, String)> {
        if let Some(unsaved) = self.unsaved.get(customer) {
            return unsaved.as_ref().map(|good| (good.hash.clone(), good.file.clone()));
        }
        let index = self.index();
        let entry = index.customers.get(customer)?;
        // Where a template's line is spoilt, the spec is of no use.
        let is_whole = entry.templates.iter().all(|sum| index.templates.contains_key(sum));
        is_whole.then(|| (entry.hash.clone(), entry.file.clone()))
    }

    /// Keeps it from the next save on.
    pub(super) fn keep(&mut self, customer: &str, good: impl FnOnce() -> Option<Good>, hash: &str) {
        if self.file.is_some() && self.kept(customer).is_none_or(|(kept, _)| kept != hash) {
            match good() {
                Some(good) => drop(self.unsaved.insert(customer.to_owned(), Some(good))),
                // What was kept is not what is in force.
                None => self.forget(customer),
            }
        }
    }

    pub(super) fn forget(&mut self, customer: &str) {
        if self.kept(customer).is_some() {
            self.unsaved.insert(customer.to_owned(), None);
        }
    }

    /// Keeps the fleet's rules from the next save on; `None`: there is no file of them.
    pub(super) fn keep_fleet(&mut self, text: Option<&str>) {
        let text = text.map(str::to_owned);
        let sum = line(&Line::Fleet(text.clone())).ok().map(|(_, sum)| sum);
        let kept = self.index().fleet.as_ref().map(|(_, sum)| sum.clone());
        self.unsaved_fleet = (kept != sum).then_some(text);
    }

    /// What was saved of a customer.
    pub(super) fn good(&mut self, customer: &str) -> Option<Good> {
        let place = self.index().customers.get(customer)?.place;
        let Line::Spec(stored) = self.line_at(place, None)? else { return None };
        let mut templates = BTreeMap::new();
        for (file, sum) in stored.templates {
            let place = *self.index().templates.get(&sum)?;
            let Line::Template(text) = self.line_at(place, Some(&sum))? else { return None };
            templates.insert(file, Arc::from(text));
        }
        let seal = |keyed: Keyed| Seal { hash: keyed.hash, key_id: keyed.key };
        let seals = |of: BTreeMap<String, Keyed>| of.into_iter().map(|(name, it)| (name, seal(it))).collect();
        let outside = Outside {
            secrets: seals(stored.secrets),
            configs: seals(stored.configs),
            environments: stored.environments,
        };
        let (hash, file, text) = (stored.hash, stored.file, Arc::from(stored.text));
        (stored.customer == customer).then_some(Good { hash, file, text, templates, outside })
    }

    /// The fleet's rules as they were saved; the inner `None`: there was no file of them.
    pub(super) fn fleet(&mut self) -> Option<Option<String>> {
        let (place, sum) = self.index().fleet.clone()?;
        match self.line_at(place, Some(&sum))? {
            Line::Fleet(text) => Some(text),
            _ => None,
        }
    }

    fn line_at(&self, place: Place, sum: Option<&str>) -> Option<Line> {
        let file = self.file.as_ref()?;
        let mut bytes = vec![0; usize::try_from(place.bytes).ok()?];
        File::open(file).and_then(|file| file.read_exact_at(&mut bytes, place.at)).ok()?;
        let (found, line) = parse(&bytes)?;
        sum.is_none_or(|sum| sum == found).then_some(line)
    }

    /// Puts on disk what is not there yet, to stay.
    pub(super) fn save(&mut self) -> io::Result<()> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        if self.unsaved.is_empty() && self.unsaved_fleet.is_none() {
            return Ok(());
        }
        // Somebody has taken it away, or put another in its place.
        let bytes = fs::metadata(&file).map(|metadata| metadata.len()).unwrap_or_default();
        if self.index().bytes != bytes {
            self.index = None;
        }
        if self.index().is_to_be_written_anew() {
            self.write_anew(&file)?;
        }
        self.append(&file)?;
        self.unsaved.clear();
        self.unsaved_fleet = None;
        Ok(())
    }

    fn append(&mut self, file: &Path) -> io::Result<()> {
        private(file)?;
        let log = self.files.append(file)?;
        let mut index = self.index.take().unwrap_or_default();
        // If this breaks off, nobody knows what the file holds.
        let mut out = Out { log, at: index.bytes, chunk: Vec::new() };
        if let Some(text) = &self.unsaved_fleet {
            index.fleet = Some(out.put(&Line::Fleet(text.clone()))?);
        }
        for (customer, good) in &self.unsaved {
            let Some(good) = good else {
                out.put(&Line::Forgotten(customer.clone()))?;
                index.customers.remove(customer);
                continue;
            };
            let mut templates = BTreeMap::new();
            for (file, text) in &good.templates {
                let (bytes, sum) = line(&Line::Template(text.to_string()))?;
                if !index.templates.contains_key(&sum) {
                    index.templates.insert(sum.clone(), out.put_bytes(&bytes)?);
                }
                templates.insert(file.clone(), sum);
            }
            let entry = Entry {
                place: Place::default(),
                hash: good.hash.clone(),
                file: good.file.clone(),
                templates: templates.values().cloned().collect(),
            };
            let (place, _) = out.put(&Line::Spec(stored(customer, good, templates)))?;
            index.customers.insert(customer.clone(), Entry { place, ..entry });
        }
        index.bytes = out.end()?;
        // Its name too, also where a skep that died has made it.
        file.parent().map_or(Ok(()), |dir| self.files.sync_dir(dir))?;
        self.index = Some(index);
        Ok(())
    }

    /// Leaves out what does not hold any more.
    fn write_anew(&mut self, file: &Path) -> io::Result<()> {
        let new = file.with_extension("new");
        private(&new)?;
        let mut out = Out { log: self.files.create(&new)?, at: 0, chunk: Vec::new() };
        let old = self.index.take().unwrap_or_default();
        let from = File::open(file).ok();
        let used: BTreeSet<&String> = old.customers.values().flat_map(|entry| &entry.templates).collect();
        let mut index = Index::default();
        let copy = |out: &mut Out, place: Place| -> io::Result<Option<(Place, String)>> {
            let mut bytes = vec![0; usize::try_from(place.bytes).unwrap_or_default()];
            let read = from.as_ref().and_then(|from| from.read_exact_at(&mut bytes, place.at).ok());
            match read.and_then(|()| parse(&bytes)) {
                Some((sum, _)) => Ok(Some((out.put_bytes(&bytes)?, sum.to_owned()))),
                None => Ok(None),
            }
        };
        if let Some((place, _)) = old.fleet {
            index.fleet = copy(&mut out, place)?;
        }
        for (sum, place) in &old.templates {
            if used.contains(sum)
                && let Some((place, sum)) = copy(&mut out, *place)?
            {
                index.templates.insert(sum, place);
            }
        }
        for (customer, entry) in &old.customers {
            if let Some((place, _)) = copy(&mut out, entry.place)? {
                let (hash, file, templates) =
                    (entry.hash.clone(), entry.file.clone(), entry.templates.clone());
                index.customers.insert(customer.clone(), Entry { place, hash, file, templates });
            }
        }
        index.bytes = out.end()?;
        self.files.rename(&new, file)?;
        self.index = Some(index);
        Ok(())
    }
}

fn stored(customer: &str, good: &Good, templates: BTreeMap<String, String>) -> Stored {
    let keyed = |seals: &BTreeMap<String, Seal>| {
        let keyed = |seal: &Seal| Keyed { hash: seal.hash.clone(), key: seal.key_id.clone() };
        seals.iter().map(|(name, seal)| (name.clone(), keyed(seal))).collect()
    };
    Stored {
        customer: customer.to_owned(),
        hash: good.hash.clone(),
        file: good.file.clone(),
        text: good.text.to_string(),
        templates,
        secrets: keyed(&good.outside.secrets),
        configs: keyed(&good.outside.configs),
        environments: good.outside.environments.clone(),
    }
}

/// Lines on their way to the disk.
struct Out {
    log: Box<dyn Writable>,
    at: u64,
    chunk: Vec<u8>,
}

impl Out {
    fn put(&mut self, said: &Line) -> io::Result<(Place, String)> {
        let (bytes, sum) = line(said)?;
        Ok((self.put_bytes(&bytes)?, sum))
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> io::Result<Place> {
        let place = Place { at: self.at, bytes: bytes.len() as u64 };
        self.at += place.bytes;
        self.chunk.extend(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.log.write(&std::mem::take(&mut self.chunk))?;
        }
        Ok(place)
    }

    /// All is on disk; gives the length.
    fn end(mut self) -> io::Result<u64> {
        self.log.write(&self.chunk)?;
        self.log.sync()?;
        Ok(self.at)
    }
}

impl Index {
    /// What cannot be understood is passed over.
    fn read(path: &Path) -> Self {
        let mut index = Self::default();
        match File::open(path) {
            Ok(file) => index.take(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read the last good specs");
                index.is_spoilt = true;
            }
        }
        index
    }

    fn take(&mut self, mut file: impl BufRead) {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot read all of the last good specs");
                    self.is_spoilt = true;
                    break;
                }
            }
            let place = Place { at: self.bytes, bytes: bytes.len() as u64 };
            self.bytes += place.bytes;
            match parse(&bytes) {
                Some((sum, line)) => self.note(place, sum, line),
                // A crash may have cut it off, or the disk spoilt it.
                None => self.is_spoilt = true,
            }
        }
    }

    fn note(&mut self, place: Place, sum: &str, line: Line) {
        match line {
            Line::Spec(stored) => {
                let (hash, file) = (stored.hash, stored.file);
                let templates = stored.templates.into_values().collect();
                self.customers.insert(stored.customer, Entry { place, hash, file, templates });
            }
            Line::Template(_) => drop(self.templates.insert(sum.to_owned(), place)),
            Line::Fleet(_) => self.fleet = Some((place, sum.to_owned())),
            Line::Forgotten(customer) => drop(self.customers.remove(&customer)),
        }
    }

    fn is_to_be_written_anew(&mut self) -> bool {
        if self.bytes > self.look_at_bytes {
            self.look_at_bytes = 2 * self.held_bytes() + SPARE_BYTES;
        }
        self.is_spoilt || self.bytes > self.look_at_bytes
    }

    /// How long the file would be if it were written anew.
    fn held_bytes(&self) -> u64 {
        let used: BTreeSet<&String> = self.customers.values().flat_map(|entry| &entry.templates).collect();
        let templates = used.into_iter().filter_map(|sum| self.templates.get(sum));
        let specs = self.customers.values().map(|entry| &entry.place);
        let fleet = self.fleet.iter().map(|(place, _)| place);
        templates.chain(specs).chain(fleet).map(|place| place.bytes).sum()
    }
}

/// A line with its end, and its sum.
fn line(said: &Line) -> io::Result<(Vec<u8>, String)> {
    let json = serde_json::to_vec(said)?;
    let sum = sum(&json);
    let mut bytes = Vec::with_capacity(SUM_DIGITS + json.len() + 2);
    bytes.extend(sum.as_bytes());
    bytes.push(b' ');
    bytes.extend(json);
    bytes.push(b'\n');
    Ok((bytes, sum))
}

/// What a line says, if it is whole.
fn parse(bytes: &[u8]) -> Option<(&str, Line)> {
    let (head, json) = bytes.strip_suffix(b"\n")?.split_at_checked(SUM_DIGITS)?;
    let (head, json) = (std::str::from_utf8(head).ok()?, json.strip_prefix(b" ")?);
    if sum(json) != head {
        return None;
    }
    Some((head, serde_json::from_slice(json).ok()?))
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Specs may say what is not everybody's to read: makes it a file of skep's alone.
fn private(file: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(file).map(drop)
}

#[cfg(test)]
mod tests;
