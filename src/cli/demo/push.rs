//! `skep demo push`: a new version for the registry of `skep demo --serve`, over its own HTTP
//! API as `docker push` does it.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::fleet;
use super::world::USER;
use crate::cli::{CLEAN, Context};
use crate::config::{Config, RegistryConfig};
use crate::image::{Digest, ImageRef};
use crate::sim::engine::Behaviour;
use crate::sim::registry::{BEHAVIOUR_LABEL, SAYS_LABEL, behaviour_label};

/// Push a new version to the registry of `skep demo --serve`
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// What to push, such as saas/frontend:1.5.0
    #[arg(value_name = "REPO:TAG")]
    pub image: String,
    /// Its containers end with an error soon after they start
    #[arg(long)]
    pub broken: bool,
}

const HELP: &str = "\
Examples:
  skep demo push saas/frontend:1.5.0
  skep demo push saas/frontend:1.6.0 --broken

Needs SKEP_CONFIG (or --config) as `skep demo --serve` prints it.

Exit status:
  0  pushed
  2  it could not be pushed";

/// The registry answers with little.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Shorter than Swarm watches new tasks at any speed of the demo.
const BREAKS_AFTER: std::time::Duration = std::time::Duration::from_millis(5);
const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
const LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A tar with nothing in it.
const LAYER: [u8; 1024] = [0; 1024];

/// # Errors
/// When no demo's registry is configured, or it does not take the image.
pub(super) async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let registry = Target::of(&ctx.config)?;
    let text = args
        .image
        .strip_prefix(&registry.address)
        .map_or(args.image.as_str(), |path| path.trim_start_matches('/'));
    let image: ImageRef = format!("{}/{text}", registry.address).parse()?;
    let tag = image.tag.as_deref().filter(|_| image.digest.is_none());
    let tag = tag.with_context(|| format!("`{}` is no REPO:TAG, such as saas/frontend:1.5.0", args.image))?;
    let path = image.repository.path();
    let behaviour = match args.broken {
        true => Behaviour::Exits { after: BREAKS_AFTER, code: 1 },
        false => Behaviour::Runs,
    };
    let digest = registry.push(path, tag, &fleet::says(path, tag), &behaviour).await?;
    if ctx.json {
        writeln!(
            ctx.out,
            "{}",
            json!({"image": format!("{}/{path}:{tag}", registry.address), "digest": digest})
        )?;
    } else {
        writeln!(ctx.out, "pushed {}/{path}:{tag}@{digest}", registry.address)?;
    }
    Ok(CLEAN)
}

/// The registry of a demo, which is on this machine.
struct Target {
    address: String,
    authorization: String,
}

impl Target {
    /// The one that the demo's own configuration names, so that no other is ever written to.
    fn of(config: &Config) -> anyhow::Result<Self> {
        let is_ours = |address: &str, registry: &RegistryConfig| {
            address.starts_with("127.0.0.1:") && registry.username.as_deref() == Some(USER)
        };
        let found = config.registries.iter().find(|(address, registry)| is_ours(address, registry));
        let password =
            found.and_then(|(address, registry)| Some((address, registry.password_file.as_ref()?)));
        let Some((address, file)) = password else {
            bail!("no demo's registry is configured; set SKEP_CONFIG as `skep demo --serve` prints it");
        };
        let password = std::fs::read_to_string(file).with_context(|| {
            format!("cannot read {}; does `skep demo --serve` still run?", file.display())
        })?;
        let basic = STANDARD.encode(format!("{USER}:{}", password.trim_end()));
        Ok(Self { address: address.clone(), authorization: format!("Basic {basic}") })
    }

    async fn push(
        &self,
        repository: &str,
        tag: &str,
        says: &str,
        behaviour: &Behaviour,
    ) -> anyhow::Result<Digest> {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {SAYS_LABEL: says, BEHAVIOUR_LABEL: behaviour_label(behaviour)}},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&LAYER).as_str()]},
        });
        let config = self.push_blob(repository, CONFIG_TYPE, config.to_string().into()).await?;
        let layer = self.push_blob(repository, LAYER_TYPE, Bytes::from_static(&LAYER)).await?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [layer],
        })
        .to_string();
        let digest = Digest::of(manifest.as_bytes());
        let path = format!("/v2/{repository}/manifests/{tag}");
        self.send(Method::PUT, &path, Some(MANIFEST_TYPE), manifest.into(), StatusCode::CREATED).await?;
        Ok(digest)
    }

    /// Its descriptor, for the manifest.
    async fn push_blob(&self, repository: &str, kind: &str, body: Bytes) -> anyhow::Result<Value> {
        let (digest, size) = (Digest::of(&body), body.len());
        let begin = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.send(Method::POST, &begin, None, Bytes::new(), StatusCode::ACCEPTED).await?;
        let location = begun.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.context("the registry names no place for the upload")?;
        // Absolute or not.
        let place = location.strip_prefix(&format!("http://{}", self.address)).unwrap_or(location);
        let sign = if place.contains('?') { '&' } else { '?' };
        let path = format!("{place}{sign}digest={digest}");
        let bytes = Some("application/octet-stream");
        self.send(Method::PUT, &path, bytes, body, StatusCode::CREATED).await?;
        Ok(json!({"mediaType": kind, "size": size, "digest": digest.as_str()}))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Bytes,
        expected: StatusCode,
    ) -> anyhow::Result<http::HeaderMap> {
        let gone = || format!("{} does not answer; does `skep demo --serve` still run?", self.address);
        let stream = TcpStream::connect(&self.address).await.with_context(gone)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { connection.await.ok() });
        let mut request = http::Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, &self.authorization);
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let (parts, body) = response.into_parts();
        if parts.status != expected {
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let text =
                body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
            bail!("{method} {path}: {} {}", parts.status, crate::text::printable(&text, 300));
        }
        Ok(parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_a_demos_registry_is_written_to() {
        let password = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(password.path(), "secret\n").unwrap();
        let config = |address: &str, user: Option<&str>| {
            let registry = RegistryConfig {
                username: user.map(str::to_owned),
                password_file: Some(password.path().into()),
                ..RegistryConfig::default()
            };
            Config { registries: BTreeMap::from([(address.to_owned(), registry)]), ..Config::default() }
        };
        let found = Target::of(&config("127.0.0.1:4711", Some(USER))).unwrap();
        assert_eq!(found.address, "127.0.0.1:4711");
        assert_eq!(found.authorization, format!("Basic {}", STANDARD.encode("demo:secret")));
        for other in [
            config("registry.example.com", Some(USER)),
            config("127.0.0.1:5000", Some("ci")),
            config("127.0.0.1:5000", None),
            Config::default(),
        ] {
            assert!(Target::of(&other).is_err_and(|error| error.to_string().contains("SKEP_CONFIG")));
        }
    }
}
