//! Images of the simulation: nothing in them but labels that say how they behave.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::store::{DOCKER_LIST, DOCKER_MANIFEST, Full, Manifest, OCI_INDEX, OCI_MANIFEST, Store};
use crate::image::Digest;
use crate::sim::engine::Behaviour;

pub const SAYS_LABEL: &str = "skep.sim.says";
pub const BEHAVIOUR_LABEL: &str = "skep.sim.behaviour";

/// An image to push. The same spec gives the same digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// What its containers say of themselves.
    pub says: String,
    pub behaviour: Behaviour,
    /// `os/architecture`, one image for each.
    pub platforms: Vec<String>,
    /// Behind an index (a manifest list), which several platforms need.
    pub index: bool,
    /// In OCI's media types, not docker's.
    pub oci: bool,
}

impl Default for ImageSpec {
    /// linux/amd64, no index, docker's media types; it runs.
    fn default() -> Self {
        Self {
            says: String::new(),
            behaviour: Behaviour::Runs,
            platforms: vec!["linux/amd64".to_owned()],
            index: false,
            oci: false,
        }
    }
}

impl ImageSpec {
    /// An image that runs and says this.
    pub fn new(says: &str) -> Self {
        Self { says: says.to_owned(), ..Self::default() }
    }
}

/// The label's text: `runs`, `unhealthy`, `exits 1 after 500ms`.
pub fn behaviour_label(behaviour: &Behaviour) -> String {
    match behaviour {
        Behaviour::Runs => "runs".to_owned(),
        Behaviour::Unhealthy => "unhealthy".to_owned(),
        Behaviour::Exits { after, code } => format!("exits {code} after {}ms", after.as_millis()),
    }
}

/// What a label says; other text is of a container that runs.
pub fn parse_behaviour(label: &str) -> Behaviour {
    let exits = || {
        let (code, after) = label.strip_prefix("exits ")?.split_once(" after ")?;
        let after = Duration::from_millis(after.strip_suffix("ms")?.parse().ok()?);
        Some(Behaviour::Exits { after, code: code.parse().ok()? })
    };
    if label == "unhealthy" { Behaviour::Unhealthy } else { exits().unwrap_or_default() }
}

/// Two blocks of zeroes: a tar with nothing in it, which every engine unpacks.
const EMPTY_TAR: [u8; 1024] = [0; 1024];

/// Puts the image's blobs and manifests into the store, the last one under the tag.
pub(super) fn store(
    store: &mut Store,
    repository: &str,
    tag: Option<&str>,
    image: &ImageSpec,
) -> Result<Digest, Full> {
    let several = image.index || image.platforms.len() != 1;
    let mut entries = Vec::new();
    for platform in &image.platforms {
        let config = store_blob(store, repository, config(image, platform).to_string())?;
        let layer = store_blob(store, repository, Bytes::from_static(&EMPTY_TAR))?;
        let (manifest_type, config_type, layer_type) = if image.oci {
            (
                OCI_MANIFEST,
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar",
            )
        } else {
            (
                DOCKER_MANIFEST,
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            )
        };
        let described = |kind: &str, (digest, size): &(Digest, usize)| json!({"mediaType": kind, "size": size, "digest": digest.as_str()});
        let body = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": described(config_type, &config),
            "layers": [described(layer_type, &layer)],
        })
        .to_string();
        let size = body.len();
        let manifest = Manifest { media_type: manifest_type.to_owned(), body: body.into() };
        let digest = store.put_manifest(repository, tag.filter(|_| !several), manifest)?;
        if !several {
            return Ok(digest);
        }
        let (os, architecture) = split(platform);
        let mut entry = described(manifest_type, &(digest, size));
        entry["platform"] = json!({"architecture": architecture, "os": os});
        entries.push(entry);
    }
    let media_type = if image.oci { OCI_INDEX } else { DOCKER_LIST };
    let body = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).to_string();
    store.put_manifest(repository, tag, Manifest { media_type: media_type.to_owned(), body: body.into() })
}

fn store_blob(store: &mut Store, repository: &str, body: impl Into<Bytes>) -> Result<(Digest, usize), Full> {
    let body = body.into();
    let size = body.len();
    Ok((store.put_blob(repository, body)?, size))
}

fn split(platform: &str) -> (&str, &str) {
    platform.split_once('/').unwrap_or((platform, ""))
}

fn config(image: &ImageSpec, platform: &str) -> Value {
    let (os, architecture) = split(platform);
    json!({
        "architecture": architecture,
        "os": os,
        "config": {
            "Cmd": ["/bin/app"],
            "Labels": {SAYS_LABEL: image.says, BEHAVIOUR_LABEL: behaviour_label(&image.behaviour)},
        },
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&EMPTY_TAR).as_str()]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviour_is_read_back_from_its_label() {
        let exits = Behaviour::Exits { after: Duration::from_millis(1_500), code: -3 };
        for behaviour in [Behaviour::Runs, Behaviour::Unhealthy, exits] {
            assert_eq!(parse_behaviour(&behaviour_label(&behaviour)), behaviour);
        }
        assert_eq!(parse_behaviour("exits soon"), Behaviour::Runs);
    }
}
