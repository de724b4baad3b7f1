//! What a registry holds: plain data, in memory and bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use crate::image::Digest;

pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[derive(Debug)]
pub(super) struct Store {
    pub(super) repositories: BTreeMap<String, Repository>,
    /// Content of blobs; repositories only name them.
    blobs: HashMap<Digest, Bytes>,
    pub(super) uploads: HashMap<String, Upload>,
    /// Bytes of all blobs, manifests and uploads, and how many there may be.
    bytes: usize,
    bytes_max: usize,
    ids: u64,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) tags: BTreeMap<String, Digest>,
    pub(super) manifests: HashMap<Digest, Manifest>,
    pub(super) blobs: BTreeSet<Digest>,
    /// A blob was once here, which puts it into the catalog for good.
    pub(super) listed: bool,
    /// A tag was once here, without which its tag list is unknown.
    pub(super) tagged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) repository: String,
    pub(super) data: Vec<u8>,
}

/// The store holds no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the embedded registry holds no more")]
pub struct Full;

impl Store {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            repositories: BTreeMap::new(),
            blobs: HashMap::new(),
            uploads: HashMap::new(),
            bytes: 0,
            bytes_max,
            ids: 0,
        }
    }

    /// In the form of a UUID, and the same in each run.
    pub(super) fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.ids >> 48, self.ids & 0xffff_ffff_ffff)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Full> {
        if self.bytes + bytes > self.bytes_max {
            return Err(Full);
        }
        self.bytes += bytes;
        Ok(())
    }

    pub(super) fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// A blob that the repository has.
    pub(super) fn blob(&self, name: &str, digest: &Digest) -> Option<&Bytes> {
        self.repository(name)?.blobs.get(digest).and_then(|digest| self.blobs.get(digest))
    }

    pub(super) fn put_blob(&mut self, name: &str, body: Bytes) -> Result<Digest, Full> {
        let digest = Digest::of(&body);
        if !self.blobs.contains_key(&digest) {
            self.take(body.len())?;
            self.blobs.insert(digest.clone(), body);
        }
        self.link_blob(name, digest.clone());
        Ok(digest)
    }

    pub(super) fn link_blob(&mut self, name: &str, digest: Digest) {
        let repository = self.repositories.entry(name.to_owned()).or_default();
        repository.listed = true;
        repository.blobs.insert(digest);
    }

    /// Unlinks a blob; the content stays, as it does until a garbage collection.
    pub(super) fn delete_blob(&mut self, name: &str, digest: &Digest) -> bool {
        self.repositories.get_mut(name).is_some_and(|repository| repository.blobs.remove(digest))
    }

    pub(super) fn put_manifest(
        &mut self,
        name: &str,
        tag: Option<&str>,
        manifest: Manifest,
    ) -> Result<Digest, Full> {
        let digest = Digest::of(&manifest.body);
        if self.repository(name).is_none_or(|repository| !repository.manifests.contains_key(&digest)) {
            self.take(manifest.body.len())?;
        }
        let repository = self.repositories.entry(name.to_owned()).or_default();
        repository.manifests.insert(digest.clone(), manifest);
        if let Some(tag) = tag {
            repository.tagged = true;
            repository.tags.insert(tag.to_owned(), digest.clone());
        }
        Ok(digest)
    }

    /// Deletes a manifest with all its tags, which it gives; `None`: there is none.
    pub(super) fn delete_manifest(&mut self, name: &str, digest: &Digest) -> Option<Vec<String>> {
        let repository = self.repositories.get_mut(name)?;
        let manifest = repository.manifests.remove(digest)?;
        let tags: Vec<String> = repository
            .tags
            .iter()
            .filter(|(_, meant)| *meant == digest)
            .map(|(tag, _)| tag.clone())
            .collect();
        for tag in &tags {
            repository.tags.remove(tag);
        }
        self.bytes -= manifest.body.len();
        Some(tags)
    }

    pub(super) fn begin_upload(&mut self, name: &str) -> String {
        let id = self.next_id();
        self.uploads.insert(id.clone(), Upload { repository: name.to_owned(), data: Vec::new() });
        id
    }

    pub(super) fn append(&mut self, id: &str, data: &[u8]) -> Result<(), Full> {
        self.take(data.len())?;
        if let Some(upload) = self.uploads.get_mut(id) {
            upload.data.extend_from_slice(data);
        }
        Ok(())
    }

    /// Ends an upload; what it held is given back and no longer counted.
    pub(super) fn end_upload(&mut self, id: &str) -> Vec<u8> {
        let data = self.uploads.remove(id).map(|upload| upload.data).unwrap_or_default();
        self.bytes -= data.len();
        data
    }
}
