use std::time::Duration;

use super::fake::*;
use crate::image::Digest;
use crate::registry::{Registry as _, RegistryError, RegistryErrorKind as Kind};
use crate::version::Resolved;

const NOW: Duration = Duration::ZERO;
const CONFIG: &str = r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn image() -> String {
    let config = digest(CONFIG);
    format!(r#"{{"schemaVersion":2,"config":{{"digest":"{config}","size":{}}},"layers":[]}}"#, CONFIG.len())
}

fn index() -> String {
    let entry = |os: &str, arch: &str| {
        let image = digest(&image());
        format!(r#"{{"digest":"{image}","size":1,"platform":{{"os":"{os}","architecture":"{arch}"}}}}"#)
    };
    let all = [entry("linux", "amd64"), entry("linux", "arm64"), entry("unknown", "unknown")];
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX_TYPE}","manifests":[{}]}}"#, all.join(","))
}

fn platforms(resolved: &Resolved) -> Vec<String> {
    resolved.platforms.iter().map(|p| format!("{}/{}", p.os, p.architecture)).collect()
}

/// A registry that keeps `manifest` under the tag `1` and its digest, and the configuration.
async fn registry(manifest: String, head_has_digest: bool) -> Fake {
    Fake::start(|_| {
        move |seen| {
            let own = digest(&manifest);
            let by_tag = seen.path == "/v2/a/manifests/1";
            if by_tag || seen.path == format!("/v2/a/manifests/{own}") {
                let accept = seen.header("accept").unwrap();
                assert!(accept.contains(INDEX_TYPE) && accept.contains("manifest.list.v2+json"), "{accept}");
                let stated = own.to_string();
                let headers = [("docker-content-digest", stated.as_str())];
                return answer(200, if head_has_digest { &headers } else { &[] }, manifest.clone());
            }
            if seen.path == format!("/v2/a/blobs/{}", digest(CONFIG)) {
                return answer(200, &[], CONFIG);
            }
            answer(404, &[], "")
        }
    })
    .await
}

#[tokio::test]
async fn an_index_costs_a_head_and_once_a_get() {
    let fake = registry(index(), true).await;
    let client = client(options());
    for _ in 0..3 {
        let resolved = client.resolve(&fake.repository("a"), "1", NOW).await.unwrap();
        assert_eq!(resolved.digest, digest(&index()), "the index's own digest is kept");
        assert_eq!(platforms(&resolved), ["linux/amd64", "linux/arm64"]);
    }
    let by_digest = format!("GET /v2/a/manifests/{}", digest(&index()));
    assert_eq!(
        fake.asked(),
        ["HEAD /v2/a/manifests/1", &by_digest, "HEAD /v2/a/manifests/1", "HEAD /v2/a/manifests/1"]
    );
}

#[tokio::test]
async fn an_image_names_its_platform_in_its_configuration() {
    let fake = registry(image(), true).await;
    let client = client(options());
    for _ in 0..2 {
        let resolved = client.resolve(&fake.repository("a"), "1", NOW).await.unwrap();
        assert_eq!(
            (resolved.digest.clone(), platforms(&resolved)),
            (digest(&image()), vec!["linux/arm64".into()])
        );
    }
    assert_eq!(fake.seen().len(), 4, "{:?}", fake.asked());
    let by_digest = client.resolve(&fake.repository("a"), digest(&image()).as_str(), NOW).await.unwrap();
    assert_eq!(platforms(&by_digest), ["linux/arm64"]);
}

#[tokio::test]
async fn without_a_digest_in_head_the_body_is_hashed() {
    let fake = registry(index(), false).await;
    let client = client(options());
    for _ in 0..2 {
        let resolved = client.resolve(&fake.repository("a"), "1", NOW).await.unwrap();
        assert_eq!((resolved.digest.clone(), platforms(&resolved).len()), (digest(&index()), 2));
    }
    let one = ["HEAD /v2/a/manifests/1", "GET /v2/a/manifests/1"];
    // Content is asked for once a digest.
    let content = format!("GET /v2/a/manifests/{}", digest(&index()));
    assert_eq!(fake.asked(), [&one[..], &[content.as_str()], &one[..]].concat());
}

#[tokio::test]
async fn a_registry_without_head_is_asked_by_get() {
    let fake = Fake::start(|_| {
        |seen| if seen.method == "HEAD" { answer(405, &[], "") } else { answer(200, &[], index()) }
    })
    .await;
    let resolved = client(options()).resolve(&fake.repository("a"), "1", NOW).await.unwrap();
    assert_eq!(resolved.digest, digest(&index()));
}

async fn fails(path: &str, reference: &str) -> RegistryError {
    let other = digest("something else").to_string();
    let fake = Fake::start(|_| {
        move |seen| {
            let mine = digest(&index()).to_string();
            let stated = |value: &str| answer(200, &[("docker-content-digest", value)], index());
            match seen.path.split('/').nth(2).unwrap() {
                "header-lies" => stated(&other),
                "header-lies-get" if seen.method == "HEAD" => answer(200, &[], ""),
                "header-lies-get" => stated(&other),
                "other-answer" => stated(&mine),
                "sha512" => stated("sha512:abc"),
                "schema1" => answer(
                    200,
                    &[
                        ("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
                        ("docker-content-digest", &mine),
                    ],
                    "{}",
                ),
                "huge" if seen.method == "HEAD" => answer(200, &[], ""),
                "huge" => answer(200, &[], " ".repeat(10_000)),
                "no-config" if seen.path.contains("blobs") => answer(404, &[], ""),
                "bad-config" if seen.path.contains("blobs") => answer(200, &[], "{}"),
                "no-config" | "bad-config" if seen.method == "HEAD" => answer(200, &[], ""),
                "no-config" | "bad-config" => answer(200, &[], image()),
                "gone-by-digest" if seen.path.ends_with("/1") => stated(&mine),
                "gone-by-digest" | "gone" => answer(404, &[], ""),
                "html" if seen.method == "HEAD" => answer(200, &[], ""),
                "html" => answer(200, &[], "<html>"),
                other => panic!("{other}"),
            }
        }
    })
    .await;
    let client = client(limits(|l| l.manifest_bytes = 5_000));
    client.resolve(&fake.repository(path), reference, NOW).await.unwrap_err()
}

#[tokio::test]
async fn what_does_not_add_up_is_not_trusted() {
    let own = digest("{}").to_string();
    for (path, reference, kind, text) in [
        ("header-lies", "1", Kind::Untrusted, "has not the digest"),
        ("header-lies-get", "1", Kind::Untrusted, "another digest than the registry says"),
        ("other-answer", own.as_str(), Kind::Untrusted, "answered with another digest"),
        ("sha512", "1", Kind::Untrusted, "not sha256"),
        ("schema1", "1", Kind::Untrusted, "schema 1"),
        ("huge", "1", Kind::Untrusted, "longer than 5000"),
        ("no-config", "1", Kind::Untrusted, "configuration"),
        ("bad-config", "1", Kind::Untrusted, "has not the digest"),
        ("gone-by-digest", "1", Kind::Untrusted, "not found"),
        ("gone", "1", Kind::NotFound, "a:1".trim_start_matches('a')),
        ("html", "1", Kind::Untrusted, "not a manifest"),
        ("gone", "../../evil", Kind::NotFound, "neither a tag nor"),
        ("gone", "sha256:abc", Kind::NotFound, "neither a tag nor"),
    ] {
        let error = fails(path, reference).await;
        assert_eq!(error.kind, kind, "{path}: {error}");
        assert!(error.message.contains(text), "{path}: {error}");
    }
}

#[tokio::test]
async fn redirects_leave_credentials_behind() {
    let storage = Fake::start(|host| {
        move |seen| {
            assert_eq!(seen.header("authorization"), None);
            let challenge = format!("Bearer realm=\"http://{host}/token\"");
            match seen.path.as_str() {
                "/blob" => answer(200, &[], CONFIG),
                _ => answer(401, &[("www-authenticate", &challenge)], ""),
            }
        }
    })
    .await;
    let to = format!("http://{}", storage.host);
    let fake = Fake::start(|_| {
        move |seen| {
            if seen.header("authorization").is_none() {
                return answer(401, &[("www-authenticate", "Basic realm=\"r\"")], "");
            }
            match seen.path.as_str() {
                "/v2/a/manifests/1" => answer(307, &[("location", "/elsewhere")], ""),
                path if path.contains("sha256") && path.contains("manifests") => answer(200, &[], image()),
                "/elsewhere" => answer(200, &[], if seen.method == "HEAD" { String::new() } else { image() }),
                path if path.contains("blobs") => answer(307, &[("location", &format!("{to}/blob"))], ""),
                "/v2/thief/tags/list" => answer(302, &[("location", &format!("{to}/steal"))], ""),
                "/v2/round/tags/list" => answer(302, &[("location", "/v2/round/tags/list")], ""),
                "/v2/nowhere/tags/list" => answer(302, &[], ""),
                "/v2/file/tags/list" => answer(302, &[("location", "file:///etc/passwd")], ""),
                other => panic!("{other}"),
            }
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let client = configured(&fake.host, login(dir.path()), options());
    let resolved = client.resolve(&fake.repository("a"), "1", NOW).await.unwrap();
    assert_eq!(platforms(&resolved), ["linux/arm64"]);
    assert_eq!(storage.seen().len(), 1);
    // Another host's challenge is not answered, nor are its words about our credentials.
    for (path, kind, text) in [
        ("thief", Kind::Unauthorized, "401"),
        ("round", Kind::Untrusted, "more than 5 redirects"),
        ("nowhere", Kind::Untrusted, "without a location"),
        ("file", Kind::Untrusted, "not http"),
    ] {
        let error = client.tags(&fake.repository(path), NOW).await.unwrap_err();
        assert_eq!(error.kind, kind, "{path}: {error}");
        assert!(error.message.contains(text), "{path}: {error}");
    }
    assert_eq!(storage.seen().len(), 2);
    // Nor when the registry's own challenge is known already, so that this would be the first.
    skip(std::time::Duration::from_secs(3)).await;
    client.tags(&fake.repository("thief"), NOW).await.unwrap_err();
    assert!(storage.seen().iter().all(|s| s.path != "/token"), "{:?}", storage.asked());
    assert_eq!(storage.seen().len(), 3);
}
