//! Manifests and image configurations, as far as platforms go (OCI image specification 1.1,
//! and Docker's media types before it).

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::image::Digest;
use crate::version::Platform;

/// The media types asked for: indexes first, since an index is what all nodes can pull.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Distinct platforms of one manifest; real ones have some ten.
const PLATFORMS_MAX: usize = 256;
/// Characters of an operating system's or architecture's name.
const NAME_MAX: usize = 64;

/// What a manifest says of platforms.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// An index. Empty: it states none.
    Index(BTreeSet<Platform>),
    /// One image, whose configuration names its platform.
    Image { config: Digest },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<PlatformText>,
}

#[derive(Deserialize)]
struct PlatformText {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

/// Whether a media type is that of a schema 1 manifest, which has no digest of its own.
pub(super) fn is_schema1(media_type: &str) -> bool {
    media_type.trim_start().starts_with("application/vnd.docker.distribution.manifest.v1+")
}

/// Reads a manifest by what is in it. The error is a clause for a message.
pub(super) fn read(body: &[u8]) -> Result<Manifest, String> {
    let document: Document = serde_json::from_slice(body).map_err(|e| {
        format!("is not a manifest (JSON of another form at line {} column {})", e.line(), e.column())
    })?;
    if document.fs_layers.is_some() || document.schema_version == Some(1) {
        return Err(SCHEMA1.into());
    }
    match (document.manifests, document.config) {
        // Read as one by some and as the other by others, it could show two faces.
        (Some(_), Some(_)) => Err("claims to be both an index and an image".into()),
        (Some(_), None) if document.layers.is_some() => Err("claims to be both an index and an image".into()),
        (Some(manifests), None) => Ok(Manifest::Index(index_platforms(&manifests)?)),
        (None, Some(config)) => {
            let config = config.digest.parse().map_err(|_| "names its configuration by no sha256 digest")?;
            Ok(Manifest::Image { config })
        }
        (None, None) => Err("is neither an index nor an image manifest".into()),
    }
}

pub(super) const SCHEMA1: &str =
    "is a schema 1 manifest, which engines no longer pull: push it again with a current docker";

/// Attestations are entries with the platform `unknown/unknown`. One entry without a
/// platform may be for any, so then the index states none.
fn index_platforms(manifests: &[Descriptor]) -> Result<BTreeSet<Platform>, String> {
    let mut all = BTreeSet::new();
    for entry in manifests {
        match &entry.platform {
            None => return Ok(BTreeSet::new()),
            Some(platform) if platform.os == "unknown" => {}
            Some(platform) => all.extend(platform.read()?),
        }
        if all.len() > PLATFORMS_MAX {
            return Err(format!("names more than {PLATFORMS_MAX} platforms"));
        }
    }
    Ok(all)
}

/// The platform that an image's configuration states; empty if none, or if it is not an
/// image's configuration at all (other artifacts are stored so, too).
pub(super) fn config_platforms(body: &[u8]) -> Result<BTreeSet<Platform>, String> {
    match serde_json::from_slice::<PlatformText>(body) {
        Ok(platform) => Ok(platform.read()?.into_iter().collect()),
        Err(_) => Ok(BTreeSet::new()),
    }
}

impl PlatformText {
    fn read(&self) -> Result<Option<Platform>, String> {
        if self.os.is_empty() || self.architecture.is_empty() {
            return Ok(None);
        }
        let sound = |text: &str| {
            text.len() <= NAME_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !sound(&self.os) || !sound(&self.architecture) {
            return Err("names a platform that is none".into());
        }
        Ok(Some(Platform { os: self.os.clone(), architecture: self.architecture.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn platforms(all: &[(&str, &str)]) -> BTreeSet<Platform> {
        all.iter().map(|(os, a)| Platform { os: (*os).into(), architecture: (*a).into() }).collect()
    }

    #[test]
    fn reads_manifests() {
        let hex = "a".repeat(64);
        let digest = format!("sha256:{hex}");
        let entry = |platform: &str| format!(r#"{{"digest":"{digest}","size":1{platform}}}"#);
        let at = |os: &str, arch: &str| {
            entry(&format!(r#","platform":{{"os":"{os}","architecture":"{arch}","variant":"v8"}}"#))
        };
        let index =
            |entries: &[String]| format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        for (body, expected) in [
            (
                index(&[
                    at("linux", "amd64"),
                    at("linux", "arm64"),
                    at("linux", "arm64"),
                    at("unknown", "unknown"),
                ]),
                Ok(Manifest::Index(platforms(&[("linux", "amd64"), ("linux", "arm64")]))),
            ),
            (index(&[]), Ok(Manifest::Index(platforms(&[])))),
            (index(&[at("linux", "amd64"), entry("")]), Ok(Manifest::Index(platforms(&[])))),
            (index(&[at("linux", "")]), Ok(Manifest::Index(platforms(&[])))),
            (index(&[at("li nux", "amd64")]), Err("platform that is none")),
            (
                format!(r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#, entry("")),
                Ok(Manifest::Image { config: digest.parse().unwrap() }),
            ),
            (r#"{"schemaVersion":2,"config":{"digest":"sha512:x"}}"#.into(), Err("no sha256")),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.into(), Err("schema 1")),
            (format!(r#"{{"manifests":[],"config":{}}}"#, entry("")), Err("both")),
            (r#"{"manifests":[],"layers":[]}"#.into(), Err("both")),
            ("{}".into(), Err("neither")),
            ("<html>".into(), Err("not a manifest")),
            ("[]".into(), Err("not a manifest")),
        ] {
            match (read(body.as_bytes()), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{body}"),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{body}: {got}"),
                (got, _) => panic!("{body}: {got:?}"),
            }
        }
        let many: Vec<String> = (0..300).map(|n| at("linux", &format!("a{n}"))).collect();
        assert!(read(index(&many).as_bytes()).is_err());
    }

    #[test]
    fn reads_configurations() {
        for (body, expected) in [
            (r#"{"os":"linux","architecture":"amd64","x":1}"#, platforms(&[("linux", "amd64")])),
            (r#"{"os":"linux"}"#, platforms(&[])),
            ("{}", platforms(&[])),
            ("name: a helm chart", platforms(&[])),
        ] {
            assert_eq!(config_platforms(body.as_bytes()), Ok(expected), "{body}");
        }
        assert!(config_platforms(br#"{"os":"\u001b","architecture":"amd64"}"#).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body);
            let _ = config_platforms(&body);
        }
    }
}
