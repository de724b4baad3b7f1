//! docker-registry: one storage behind four doors.
//!
//! - `open`: anybody may read and write, `192.168.77.2:5000`.
//! - `private`: the same repositories for whoever knows [`USER`] and [`PASSWORD`], `192.168.77.2:5001`.
//! - `token`: the same for whoever has a token of [`super::token`]'s, `192.168.77.2:5003`; shut until it is started.
//! - a unix socket, by which the tests push, also while the other doors are shut.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::control::Control;
use super::http::{Answer, Request, over_socket};
use super::image::{Blob, Image};
use super::token;
use super::wait::{check, wait_until};

pub const USER: &str = "ci";
pub const PASSWORD: &str = "correct-horse";
/// `htpasswd -nbB -C 4 ci correct-horse`: docker-registry reads bcrypt only.
const HTPASSWD: &str = "ci:$2y$04$sWl8vwu88nfVOcmVRt/ZQOOUqYJPxHCHizxkgdJye5xlFlh8iFdem\n";

/// The password after [`Registry::change_password`].
pub const NEXT_PASSWORD: &str = "battery-staple";
const NEXT_HTPASSWD: &str = "ci:$2b$04$FrX.uDKIwzqreVtAzLqpW.zZVz2Q/HJ/8EP2JcP5tydCNYcpxaz9i\n";

/// One way into the registry; it can be shut and opened without losing anything.
pub struct Door {
    control: Arc<Control>,
    dir: PathBuf,
    name: &'static str,
    /// `host:port`, as it stands in image names.
    pub address: &'static str,
}

impl Door {
    fn configure(control: &Arc<Control>, dir: &Path, name: &'static str, address: &'static str) -> Self {
        let http = match address.strip_prefix("unix:") {
            Some(file) => json!({"net": "unix", "addr": dir.join(file), "secret": "bed"}),
            None => json!({"addr": address, "secret": "bed"}),
        };
        let mut config = json!({
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": dir.join("registry")}, "delete": {"enabled": true}},
            "http": http,
        });
        if name == "private" {
            fs::write(dir.join("htpasswd"), HTPASSWD).expect("the bed's directory is ours");
            config["auth"] = json!({"htpasswd": {"realm": "skep-bed", "path": dir.join("htpasswd")}});
        }
        if name == "token" {
            config["auth"] = json!({"token": {
                "realm": format!("http://{}/token", token::ADDRESS),
                "service": token::SERVICE,
                "issuer": token::ISSUER,
                "rootcertbundle": token::AUTHORITY,
            }});
        }
        // JSON is YAML.
        fs::write(dir.join(format!("{name}.yml")), config.to_string()).expect("the bed's directory is ours");
        Door { control: Arc::clone(control), dir: dir.to_owned(), name, address }
    }

    /// The registry goes away as by `kill -9`: connections are refused.
    pub fn stop(&self) {
        self.control.run(&format!("registry_down {}", self.name));
    }

    /// Back with the same address and content.
    pub fn start(&self) {
        self.start_in(if self.address.starts_with("unix:") { "-" } else { "registry" });
    }

    fn start_in(&self, namespace: &str) {
        let before = self.log().len();
        self.control.run(&format!("registry_up {} {namespace}", self.name));
        wait_until(Duration::from_secs(20), "the registry listens", || {
            let log = self.log();
            check(log[before..].contains("listening on"), || log[before..].to_owned())
        });
    }

    /// The registry hangs: connections are accepted by the kernel, and nothing is ever answered.
    pub fn freeze(&self) {
        self.control.run(&format!("kill -STOP $(cat $dir/{}.pid)", self.name));
    }

    /// Ends [`Door::freeze`].
    pub fn thaw(&self) {
        self.control.run(&format!("kill -CONT $(cat $dir/{}.pid)", self.name));
    }

    /// Everything it has logged, with a line in the common log format for each request.
    pub fn log(&self) -> String {
        let log = fs::read(self.dir.join(format!("{}.log", self.name))).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// `"HEAD /v2/lighttag/frontend/manifests/1.2.3"` for each request so far, in order.
    pub fn requests(&self) -> Vec<String> {
        let log = self.log();
        let quoted = log.lines().filter_map(|line| line.split(" \"").nth(1)?.split_once(" HTTP/1."));
        quoted.filter(|(what, _)| what.contains(" /v2/")).map(|(what, _)| what.to_owned()).collect()
    }
}

/// What [`super::Bed::push`] has put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub repository: String,
    pub tag: String,
    /// `sha256:…` of the manifest, or of the index.
    pub digest: String,
}

pub struct Registry {
    pub open: Door,
    pub private: Door,
    /// Shut at first, like the token server that it needs.
    pub token: Door,
    push: Door,
}

impl Registry {
    pub(super) fn start(control: &Arc<Control>, dir: &Path) -> Self {
        fs::create_dir_all(dir.join("registry")).expect("the bed's directory is ours");
        let registry = Registry {
            open: Door::configure(control, dir, "open", "192.168.77.2:5000"),
            private: Door::configure(control, dir, "private", "192.168.77.2:5001"),
            token: Door::configure(control, dir, "token", "192.168.77.2:5003"),
            push: Door::configure(control, dir, "push", "unix:push.sock"),
        };
        for door in [&registry.open, &registry.private, &registry.push] {
            door.start();
        }
        registry
    }

    /// From now on the private door knows [`NEXT_PASSWORD`] and no longer [`PASSWORD`].
    pub fn change_password(&self) {
        fs::write(self.private.dir.join("htpasswd"), NEXT_HTPASSWD).expect("the bed's directory is ours");
        self.private.stop();
        self.private.start();
    }

    /// From now on what is pushed is told to a URL of the client's network, by docker-registry itself.
    pub fn notify(&self, url: &str, authorization: &str) {
        let path = self.push.dir.join("push.yml");
        let text = fs::read(&path).expect("it was configured");
        let mut config: serde_json::Value = serde_json::from_slice(&text).expect("we wrote JSON");
        config["notifications"] = json!({"endpoints": [{
            "name": "skep", "url": url, "headers": {"Authorization": [authorization]},
            "timeout": "5s", "threshold": 3, "backoff": "1s",
        }]});
        fs::write(&path, config.to_string()).expect("the bed's directory is ours");
        self.push.stop();
        let socket = self.push.dir.join("push.sock");
        fs::remove_file(&socket).unwrap_or_else(|e| panic!("{}: {e}", socket.display()));
        self.push.start_in("client");
    }

    /// A request past all doors: any method, no password.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let socket = self.push.dir.join("push.sock");
        over_socket(&socket, Request { method, path, headers, body })
            .unwrap_or_else(|e| panic!("registry: {method} {path}: {e}"))
    }

    pub(super) fn push(&self, repository: &str, tag: &str, image: &Image) -> Pushed {
        let built = image.build();
        for blob in &built.blobs {
            self.push_blob(repository, blob);
        }
        let mut last = String::new();
        for (number, (media, Blob { bytes, digest })) in built.manifests.iter().enumerate() {
            last.clone_from(digest);
            let reference = if number + 1 == built.manifests.len() { tag } else { digest };
            let path = format!("/v2/{repository}/manifests/{reference}");
            let answer = self.ask("PUT", &path, &[("Content-Type", media)], bytes);
            assert_eq!(answer.status, 201, "{path}: {}", answer.text());
            assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()), "{path}");
        }
        Pushed { repository: repository.to_owned(), tag: tag.to_owned(), digest: last }
    }

    fn push_blob(&self, repository: &str, Blob { bytes, digest }: &Blob) {
        if self.ask("HEAD", &format!("/v2/{repository}/blobs/{digest}"), &[], b"").status == 200 {
            return;
        }
        let answer = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
        assert_eq!(answer.status, 202, "upload to {repository}: {}", answer.text());
        let location = answer.header("location").expect("an upload has a location").to_owned();
        let path = location.find("/v2/").map_or("", |at| &location[at..]);
        let join = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{join}digest={}", super::http::percent_encode(digest));
        let answer = self.ask("PUT", &path, &[("Content-Type", "application/octet-stream")], bytes);
        assert_eq!(answer.status, 201, "upload to {repository}: {}", answer.text());
    }

    /// The tag goes, its content stays: the API of this registry can only delete a manifest with all its tags.
    pub(super) fn delete_tag(&self, repository: &str, tag: &str) {
        let root = self.push.dir.join("registry/docker/registry/v2/repositories");
        let tag = root.join(repository).join("_manifests/tags").join(tag);
        fs::remove_dir_all(&tag).unwrap_or_else(|e| panic!("{}: {e}", tag.display()));
    }
}
