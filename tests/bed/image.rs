//! Images for the tests, built from a static busybox by a few lines of tar and JSON.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What a container of the image does, after it has said its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Runs, and answers every connection to port 80 with its text.
    Serve,
    /// Says nothing and exits with status 1 at once.
    FailAtStart,
    /// Exits with status 1 after so many seconds.
    CrashAfter(u32),
    /// Runs, and its health check passes.
    Healthy,
    /// Runs, and its health check never passes.
    Unhealthy,
    /// Exits with status 0, as a job does.
    Finish,
}

/// `Image::says("frontend 1.10.0").does(Does::Unhealthy).oci().index()`
#[derive(Clone, Debug)]
pub struct Image {
    says: String,
    does: Does,
    oci: bool,
    index: bool,
}

impl Image {
    /// Prints this one line, then serves it. The content decides the digest: the same text, the same digest.
    pub fn says(text: &str) -> Self {
        assert!(!text.contains(['\'', '\n']), "keep it simple: {text:?}");
        Image { says: text.to_owned(), does: Does::Serve, oci: false, index: false }
    }

    pub fn does(self, does: Does) -> Self {
        Image { does, ..self }
    }

    /// OCI media types in place of Docker's.
    pub fn oci(self) -> Self {
        Image { oci: true, ..self }
    }

    /// As an index (Docker: manifest list) of two platforms.
    pub fn index(self) -> Self {
        Image { index: true, ..self }
    }

    pub(super) fn build(&self) -> Built {
        let mut built = Built { blobs: vec![base_layer(), Blob::new(self.layer())], manifests: Vec::new() };
        if !self.index {
            self.manifest(architecture(), &mut built);
            return built;
        }
        let other = if architecture() == "arm64" { "amd64" } else { "arm64" };
        let mut entries = Vec::new();
        for architecture in [other, architecture()] {
            let (media, body) = self.manifest(architecture, &mut built);
            let mut entry = describe(&media, &body);
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entries.push(entry);
        }
        let media = if self.oci {
            "application/vnd.oci.image.index.v1+json"
        } else {
            "application/vnd.docker.distribution.manifest.list.v2+json"
        };
        let index = json!({"schemaVersion": 2, "mediaType": media, "manifests": entries});
        built.manifests.push((media.to_owned(), Blob::new(index.to_string().into_bytes())));
        built
    }

    /// Adds configuration and manifest for one platform, and returns the manifest.
    fn manifest(&self, architecture: &str, built: &mut Built) -> (String, Blob) {
        let config = Blob::new(self.config(architecture, &built.blobs).to_string().into_bytes());
        // Docker has no media type for an unpacked layer in a registry; engines look at the content.
        let (media, config_media, layer_media) = if self.oci {
            (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar",
            )
        } else {
            (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            )
        };
        let layers: Vec<Value> = built.blobs[..2].iter().map(|layer| describe(layer_media, layer)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media, "config": describe(config_media, &config), "layers": layers
        });
        built.blobs.push(config);
        let manifest = (media.to_owned(), Blob::new(manifest.to_string().into_bytes()));
        built.manifests.push(manifest.clone());
        manifest
    }

    fn config(&self, architecture: &str, layers: &[Blob]) -> Value {
        let mut config = json!({
            "Env": ["PATH=/bin"],
            "Cmd": ["/bin/sh", "/run.sh"],
            // A PID 1 that ignores SIGTERM costs 10 s a stop.
            "StopSignal": "SIGKILL",
        });
        let check = |command: &str| json!({"Test": ["CMD", command], "Interval": 500_000_000, "Timeout": 5_000_000_000_u64, "Retries": 2});
        match self.does {
            Does::Healthy => config["Healthcheck"] = check("/bin/true"),
            Does::Unhealthy => config["Healthcheck"] = check("/bin/false"),
            _ => {}
        }
        let diffs: Vec<&str> = layers[..2].iter().map(|layer| layer.digest.as_str()).collect();
        json!({
            "architecture": architecture, "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diffs},
        })
    }

    fn layer(&self) -> Vec<u8> {
        let says = format!("echo '{}'", self.says);
        let script = match self.does {
            Does::Serve | Does::Healthy | Does::Unhealthy => {
                format!("{says}\nexec nc -ll -p 80 -e cat /version\n")
            }
            Does::FailAtStart => "exit 1\n".to_owned(),
            Does::CrashAfter(seconds) => format!("{says}\nsleep {seconds}\nexit 1\n"),
            Does::Finish => format!("{says}\n"),
        };
        let mut tar = Tar::default();
        tar.file("run.sh", 0o755, script.as_bytes());
        tar.file("version", 0o644, format!("{}\n", self.says).as_bytes());
        tar.end()
    }
}

/// What has to be pushed: blobs first, then manifests; the tag points at the last one.
pub(super) struct Built {
    pub blobs: Vec<Blob>,
    /// With their media types.
    pub manifests: Vec<(String, Blob)>,
}

#[derive(Clone)]
pub(super) struct Blob {
    pub bytes: Arc<[u8]>,
    pub digest: String,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let sum = Sha256::digest(&bytes);
        let digest = sum.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"));
        Blob { bytes: bytes.into(), digest }
    }
}

fn describe(media: &str, body: &Blob) -> Value {
    json!({"mediaType": media, "size": body.bytes.len(), "digest": body.digest})
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The machine's static busybox: `SKEP_BED_BUSYBOX`, or the one of the package busybox-static.
pub(super) fn busybox() -> Option<PathBuf> {
    let named = std::env::var_os("SKEP_BED_BUSYBOX").map(PathBuf::from);
    let usual = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| {
        // A dynamic executable names its interpreter near the start of the file.
        let head: Vec<u8> = std::fs::read(path).unwrap_or_default().into_iter().take(4096).collect();
        head.starts_with(b"\x7fELF") && !head.windows(8).any(|window| window == b"ld-linux")
    })
}

fn base_layer() -> Blob {
    static LAYER: OnceLock<Blob> = OnceLock::new();
    let layer = LAYER.get_or_init(|| {
        let busybox = busybox().expect("a static busybox: checked before a bed is started");
        let busybox = std::fs::read(busybox).expect("busybox can be read");
        let mut tar = Tar::default();
        tar.folder("bin");
        tar.folder("tmp");
        tar.file("bin/busybox", 0o755, &busybox);
        for applet in ["sh", "cat", "echo", "env", "false", "hostname", "kill", "nc", "sleep", "true"] {
            tar.link(&format!("bin/{applet}"), "busybox");
        }
        Blob::new(tar.end())
    });
    layer.clone()
}

/// A ustar archive: everything belongs to root and dates from 1970, so that the bytes depend on the content alone.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn file(&mut self, name: &str, mode: u32, body: &[u8]) {
        self.header(name, mode, body.len(), b'0', "");
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    fn folder(&mut self, name: &str) {
        self.header(&format!("{name}/"), 0o777, 0, b'5', "");
    }

    fn link(&mut self, name: &str, target: &str) {
        self.header(name, 0o777, 0, b'2', target);
    }

    fn header(&mut self, name: &str, mode: u32, size: usize, kind: u8, target: &str) {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, "00000000000");
        put(148, "        ");
        put(157, target);
        put(257, "ustar\x0000");
        block[156] = kind;
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&block);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
