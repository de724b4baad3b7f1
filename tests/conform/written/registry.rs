//! The registry's API, as skep and engines use it.

use crate::op::{self, Does, Op, bare, push, push_again, registry, registry_body};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const ANY: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                   application/vnd.docker.distribution.manifest.list.v2+json, \
                   application/vnd.docker.distribution.manifest.v2+json";
/// Of `{}`.
const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn get(path: &str) -> Op {
    registry("GET", path).header("Accept", ANY).into()
}

fn head(path: &str) -> Op {
    registry("HEAD", path).header("Accept", ANY).into()
}

pub fn the_base() -> Vec<Op> {
    vec![
        get("/v2/"),
        head("/v2/"),
        get("/v2"),
        get("/v2/nothing"),
        registry("POST", "/v2/").into(),
        get("/v2/{name}none/tags/list"),
        get("/v2/UPPER/tags/list"),
        bare("GET", "/_ping").into(),
    ]
}

pub fn tags() -> Vec<Op> {
    vec![
        push("app", "1.0.0", Does::Runs),
        push("app", "1.10.0", Does::Runs),
        push("app", "1.2.0", Does::Runs),
        push("app", "latest", Does::Runs),
        get("/v2/{name}app/tags/list"),
        get("/v2/{name}app/tags/list?n=100"),
        get("/v2/{name}app/tags/list?n=-1"),
        get("/v2/{name}app/tags/list?n=x"),
        registry("POST", "/v2/{name}app/tags/list").into(),
        Op::DeleteTag { app: "app", tag: "1.2.0" },
        get("/v2/{name}app/tags/list"),
        head("/v2/{name}app/manifests/1.2.0"),
    ]
}

pub fn manifests() -> Vec<Op> {
    vec![
        push("app", "1.0.0", Does::Runs),
        head("/v2/{name}app/manifests/1.0.0"),
        head("/v2/{name}app/manifests/{digest:app:1.0.0}"),
        head("/v2/{name}app/manifests/2.0.0"),
        get("/v2/{name}app/manifests/2.0.0"),
        get(&format!("/v2/{{name}}app/manifests/{EMPTY}")),
        head(&format!("/v2/{{name}}app/manifests/{EMPTY}")),
        get("/v2/{name}app/manifests/-bad-"),
        head("/v2/{name}none/manifests/1.0.0"),
        get("/v2/{name}none/manifests/1.0.0"),
    ]
}

/// What the engine says of an image in a registry.
pub fn distribution() -> Vec<Op> {
    let ask = |image: &str| -> Op { op::get(&format!("/distribution/{image}/json")).into() };
    vec![
        push("app", "1.0.0", Does::Runs),
        ask("{repo}app:1.0.0"),
        ask("{repo}app:1.0.0@{digest:app:1.0.0}"),
        ask("{repo}app:2.0.0"),
        ask("{repo}none:1.0.0"),
        ask("{repo}app"),
        ask("UPPER"),
    ]
}

pub fn a_tag_that_moves() -> Vec<Op> {
    vec![
        push("app", "1.0.0", Does::Runs),
        head("/v2/{name}app/manifests/1.0.0"),
        push_again("app", "1.0.0", Does::Runs),
        head("/v2/{name}app/manifests/1.0.0"),
        get("/v2/{name}app/tags/list"),
    ]
}

pub fn deletion() -> Vec<Op> {
    vec![
        push("app", "1.0.0", Does::Runs),
        push("app", "2.0.0", Does::Runs),
        registry("DELETE", "/v2/{name}app/manifests/{digest:app:2.0.0}").into(),
        registry("DELETE", "/v2/{name}app/manifests/{digest:app:2.0.0}").into(),
        registry("DELETE", "/v2/{name}app/manifests/1.0.0").into(),
        head("/v2/{name}app/manifests/2.0.0"),
        head("/v2/{name}app/manifests/{digest:app:2.0.0}"),
        get("/v2/{name}app/tags/list"),
        registry("DELETE", &format!("/v2/{{name}}app/manifests/{EMPTY}")).into(),
    ]
}

pub fn uploads() -> Vec<Op> {
    let blob = "application/octet-stream";
    vec![
        head(&format!("/v2/{{name}}up/blobs/{EMPTY}")),
        registry_body("POST", &format!("/v2/{{name}}up/blobs/uploads/?digest={EMPTY}"), blob, "{}").into(),
        registry_body("POST", "/v2/{name}up/blobs/uploads/", blob, "").into(),
        registry_body("PUT", "/v2/{name}up/manifests/1.0.0", MANIFEST, "nonsense").into(),
        registry_body("PUT", "/v2/{name}up/manifests/1.0.0", MANIFEST, "{}").into(),
        registry_body(
            "PUT",
            "/v2/{name}up/manifests/1.0.0",
            MANIFEST,
            &format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{{\"mediaType\":\
                 \"application/vnd.docker.container.image.v1+json\",\"size\":2,\"digest\":\"{}\"}},\"layers\":[]}}",
                EMPTY.replace("4413", "4414")
            ),
        )
        .into(),
        get("/v2/{name}up/tags/list"),
    ]
}
