use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::payload::{self, News, Told};
use super::registry::is_meant;
use super::*;
use crate::config::{Config, Flags, Hook, Sources};
use crate::http::Secret;
use crate::image::Repository;

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/hooks/payloads/", $name, ".json"))
    };
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    let mut all = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        all.append(name, value);
    }
    all
}

fn read(hook: Hook, pairs: &[(&'static str, &str)], body: &[u8]) -> Result<Vec<Told>, String> {
    payload::read(hook, &Call { headers: &headers(pairs), query: None, body })
}

fn one(hook: Hook, pairs: &[(&'static str, &str)], body: &[u8]) -> Told {
    let mut told = read(hook, pairs, body).unwrap_or_else(|error| panic!("{}: {error}", hook.name()));
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

/// Which of these the payload is about.
fn wakes(news: &News, known: &[&str]) -> Vec<String> {
    let News::Image(named) = news else { panic!("{news:?}") };
    let names = BTreeSet::from([named.clone()]);
    let known = known.iter().map(|known| known.parse::<Repository>().unwrap());
    known.filter(|known| is_meant(&names, known)).map(|known| known.normalized()).collect()
}

const KNOWN: &[&str] = &[
    "registry.example.com:5000/shop/web",
    "10.0.0.5:5000/shop/web",
    "ghcr.io/shop/web",
    "quay.io/shop/web",
    "shop/web",
    "registry.example.com:5000/shop/api",
    "registry.example.com:5000/web",
    "registry.example.com:5000/shop/web/more",
];
/// Of a registry that does not know by which name others reach it.
const ALL_WEB: &[&str] = &[
    "registry.example.com:5000/shop/web",
    "10.0.0.5:5000/shop/web",
    "ghcr.io/shop/web",
    "quay.io/shop/web",
    "docker.io/shop/web",
];

#[test]
fn what_registries_push_names_its_repository_and_no_other() {
    let package = [("x-github-event", "registry_package"), ("x-github-delivery", "d1")];
    let old_package = [("x-github-event", "package"), ("x-github-delivery", "d2")];
    let ours = [("x-skep-delivery", "d3")];
    type Case<'a> = (Hook, &'a [(&'static str, &'static str)], &'a [u8], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (Hook::RegistryHarbor, &[], recorded!("registry-harbor-push"), ALL_WEB),
        (Hook::RegistryHarbor, &[], recorded!("registry-harbor-cloudevents"), ALL_WEB),
        (
            Hook::RegistryGithub,
            &package,
            recorded!("registry-github-registry-package"),
            &["ghcr.io/shop/web"],
        ),
        (Hook::RegistryGithub, &old_package, recorded!("registry-github-package"), &["ghcr.io/shop/web"]),
        (Hook::RegistryDockerHub, &[], recorded!("registry-dockerhub"), &["docker.io/shop/web"]),
        (Hook::RegistryQuay, &[], recorded!("registry-quay-push"), &["quay.io/shop/web"]),
        (
            Hook::RegistryGeneric,
            &ours,
            recorded!("registry-generic"),
            &["registry.example.com:5000/shop/web"],
        ),
        (Hook::RegistryGeneric, &ours, br#"{"repository": "shop/web"}"#, ALL_WEB),
        (Hook::RegistryGeneric, &ours, br#"{"repository": "docker.io/shop/web"}"#, &["docker.io/shop/web"]),
    ];
    for (hook, pairs, body, expected) in cases {
        let told = one(*hook, pairs, body);
        assert_eq!(wakes(&told.news, KNOWN), *expected, "{}", hook.name());
        assert_eq!(told.id.is_some(), *hook != Hook::RegistryQuay, "{}", hook.name());
    }
}

#[test]
fn the_envelope_of_docker_registry_has_events_of_their_own() {
    let told = read(Hook::RegistryDistribution, &[], recorded!("registry-distribution-push")).unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (told[0].id.as_deref(), &told[0].news),
        (Some("320678d8-ca14-430f-8bb6-4ca139cd83f7"), &News::Other("a layer"))
    );
    assert_eq!(wakes(&told[1].news, KNOWN), ALL_WEB);
    let pull = one(Hook::RegistryDistribution, &[], recorded!("registry-distribution-pull"));
    assert_eq!(pull.news, News::Other("neither a push nor a deletion"));
    assert_eq!(one(Hook::RegistryDistribution, &[], b"{\"events\": []}").news, News::Other("no event"));
    let gone = br#"{"events": [{"id": "1", "action": "delete", "target": {"repository": "shop/web", "digest": "sha256:ab"}}]}"#;
    assert_eq!(wakes(&one(Hook::RegistryDistribution, &[], gone).news, KNOWN), ALL_WEB);
    let many = format!("{{\"events\": [{}{{}}]}}", "{},".repeat(1000));
    assert!(read(Hook::RegistryDistribution, &[], many.as_bytes()).unwrap_err().contains("1001 events"));
}

#[test]
fn what_is_no_push_wakes_nothing() {
    for (hook, event, body) in [
        (Hook::GitGithub, "issues", &br#"{"action": "opened"}"#[..]),
        (Hook::RegistryGithub, "push", recorded!("git-github-push")),
        (Hook::RegistryQuay, "", recorded!("registry-quay-build")),
        (Hook::RegistryHarbor, "", br#"{"type": "SCANNING_COMPLETED", "event_data": {}}"#),
        (Hook::GitGitlab, "", br#"{"object_kind": "merge_request"}"#),
        (Hook::RegistryGithub, "package", br#"{"package": {"package_type": "npm", "name": "web"}}"#),
        (Hook::RegistryDockerHub, "", br#"{"repository": {"repo_name": "\u001b[31m/../web"}}"#),
        (Hook::RegistryGeneric, "", br#"{"repository": "shop/web:1.0.0 and more"}"#),
    ] {
        let told = one(hook, &[("x-github-event", event)], body);
        assert!(matches!(told.news, News::Other(_)), "{}: {told:?}", hook.name());
    }
    for hook in [Hook::GitGithub, Hook::RegistryGithub] {
        let body: &[u8] = match hook {
            Hook::GitGithub => recorded!("git-github-ping"),
            _ => recorded!("registry-github-ping"),
        };
        assert_eq!(one(hook, &[("x-github-event", "ping")], body).news, News::Ping);
    }
}

#[test]
fn what_is_not_the_senders_json_is_told() {
    for (hook, body, part) in [
        (Hook::GitGithub, &b"{"[..], "EOF while parsing"),
        (Hook::GitGithub, b"{}", "names no repository or no `ref`"),
        (Hook::GitGithub, br#"{"ref": 7}"#, "invalid type"),
        (Hook::GitGitlab, b"{}", "no `object_kind`"),
        (Hook::GitGitea, b"[]", "invalid"),
        (Hook::RegistryDistribution, b"{}", "missing field `events`"),
        (Hook::RegistryHarbor, b"{}", "no `type`"),
        (Hook::RegistryGithub, b"{}", "neither `registry_package` nor `package`"),
        (Hook::RegistryDockerHub, b"{}", "repository.repo_name"),
        (Hook::RegistryGeneric, b"{}", "no `repository`"),
        (Hook::RegistryQuay, b"null", "invalid type"),
        (Hook::RegistryGeneric, b"\xff\xfe", "expected value"),
    ] {
        let event = if hook == Hook::RegistryGithub { "package" } else { "push" };
        let error = read(hook, &[("x-github-event", event), ("x-gitea-event", event)], body).unwrap_err();
        assert!(error.contains(part), "{}: {error}", hook.name());
    }
    let error = read(Hook::GitGithub, &[], b"{}").unwrap_err();
    assert_eq!(error, "the header x-github-event is missing");
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(read(Hook::RegistryQuay, &[], &deep).is_err());
    // What is of no interest is passed over, however deep, without going down into it.
    let deep = [&br#"{"more": "#[..], &deep, b"}"].concat();
    assert_eq!(one(Hook::RegistryQuay, &[], &deep).news, News::Other("not a push"));
}

fn source(text: &str) -> GitSource {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("skep.toml");
    std::fs::write(&file, format!("[source.git]\n{text}\n")).unwrap();
    let config = Config::load(&Sources::new(Some(file), [], Flags::default())).unwrap();
    GitSource::new(config.git.as_ref().unwrap()).unwrap()
}

#[test]
fn a_push_counts_if_it_is_to_the_repository_and_ref_of_the_specs() {
    let push = [("x-github-event", "push"), ("x-gitea-event", "push")];
    let https = "url = 'https://git.example.com/Ops/fleet.git'";
    let ssh = "ssh_key_file = '/key'\nknown_hosts_file = '/hosts'\nurl = 'ssh://git@git.example.com:2222/ops/fleet'";
    let github = "url = 'https://github.com/ops/fleet'";
    let branch = |url: &str, name: &str| format!("{url}\nbranch = '{name}'");
    let tag = |url: &str, name: &str| format!("{url}\ntag = '{name}'");
    let gitlab_tag: &[u8] = recorded!("git-gitlab-tag");
    let gitlab: &[u8] = recorded!("git-gitlab-push");
    let gitea: &[u8] = recorded!("git-gitea-push");
    for (config, hook, body, expected) in [
        (https.to_owned(), Hook::GitGitlab, gitlab, true),
        (ssh.to_owned(), Hook::GitGitlab, gitlab, true),
        (https.to_owned(), Hook::GitGitea, gitea, true),
        (ssh.to_owned(), Hook::GitGitea, gitea, true),
        (branch(https, "main"), Hook::GitGitea, gitea, true),
        (branch(https, "next"), Hook::GitGitea, gitea, false),
        (tag(https, "main"), Hook::GitGitea, gitea, false),
        (tag(https, "v1.0.0"), Hook::GitGitlab, gitlab_tag, true),
        (branch(https, "v1.0.0"), Hook::GitGitlab, gitlab_tag, false),
        (https.to_owned(), Hook::GitGitlab, gitlab_tag, false),
        (github.to_owned(), Hook::GitGitlab, gitlab, false),
        (github.to_owned(), Hook::GitGithub, recorded!("git-github-push"), true),
        (branch(github, "main"), Hook::GitGithub, recorded!("git-github-push"), true),
        (https.to_owned(), Hook::GitGithub, recorded!("git-github-push"), false),
        (https.to_owned(), Hook::GitGeneric, recorded!("git-generic"), true),
        (branch(https, "main"), Hook::GitGeneric, b"{}", true),
        (branch(https, "main"), Hook::GitGeneric, br#"{"ref": "refs/heads/next"}"#, false),
        (https.to_owned(), Hook::GitGeneric, br#"{"repository": "git@git.example.com:ops/fleet.git"}"#, true),
        (
            https.to_owned(),
            Hook::GitGeneric,
            br#"{"repository": "https://git.example.com/ops/fleet-2"}"#,
            false,
        ),
        (
            "url = 'file:///srv/fleet.git'".to_owned(),
            Hook::GitGeneric,
            br#"{"repository": "/srv/fleet"}"#,
            true,
        ),
    ] {
        let told = one(hook, &push, body);
        let News::Moved(moved) = told.news else { panic!("{}", hook.name()) };
        let is_meant = source(&config).is_meant(&moved);
        assert_eq!(is_meant, expected, "{config}\n{}: {moved:?}", hook.name());
    }
}

#[test]
fn a_delivery_has_the_id_that_all_its_tries_share() {
    let push: &[u8] = recorded!("git-gitlab-push");
    for (pairs, expected) in [
        (&[("x-gitlab-event-uuid", "u"), ("idempotency-key", "k"), ("webhook-id", "w")][..], Some("w")),
        (&[("x-gitlab-event-uuid", "u"), ("idempotency-key", "k")], Some("k")),
        (&[("x-gitlab-event-uuid", "u")], Some("u")),
        (&[("x-gitlab-event-uuid", "")], None),
        (&[], None),
    ] {
        assert_eq!(one(Hook::GitGitlab, pairs, push).id.as_deref(), expected, "{pairs:?}");
    }
    let cloud = one(Hook::RegistryHarbor, &[], recorded!("registry-harbor-cloudevents"));
    assert_eq!(cloud.id.as_deref(), Some("66e18103-09c1-41f6-982f-37df223f3eeb"));
    let own = recorded!("registry-harbor-push");
    let later = String::from_utf8_lossy(own).replace("1795420800", "1795420801");
    let id = |body: &[u8]| one(Hook::RegistryHarbor, &[], body).id;
    assert!(id(own) == id(own) && id(own) != id(later.as_bytes()));
}

fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn the_signature_that_github_documents_is_right() {
    // The example of "Validating webhook deliveries".
    let secret = Secret::new("It's a Secret to Everybody").unwrap();
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let check = |signature: &str, body: &[u8]| {
        let headers = headers(&[("x-hub-signature-256", signature)]);
        proof::check(Hook::GitGithub, &secret, &Call { headers: &headers, query: None, body }, 0)
    };
    assert_eq!(check(signature, b"Hello, World!"), Ok(()));
    assert!(check(signature, b"Hello, World").is_err());
}

#[test]
fn a_signing_token_of_gitlab_is_no_plain_token() {
    let key = b"0123456789abcdef0123456789abcdef";
    let token = format!("whsec_{}", STANDARD.encode(key));
    let secret = Secret::new(&token).unwrap();
    let (id, body, now) = ("msg_1", &b"{}"[..], 1_795_420_800_i64);
    let signed = |time: &str, body: &[u8]| {
        let message = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
        format!("v1,{}", STANDARD.encode(sign(key, &message)))
    };
    let check = |time: &str, signature: &str| {
        let headers =
            headers(&[("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)]);
        proof::check(Hook::GitGitlab, &secret, &Call { headers: &headers, query: None, body }, now)
    };
    let time = now.to_string();
    assert_eq!(check(&time, &signed(&time, body)), Ok(()));
    assert_eq!(check(&time, &format!("v1,AAAA v2,x {}", signed(&time, body))), Ok(()), "one of several");
    for (time, signature) in [
        (&time, signed(&time, b"{ }")),
        (&time, signed("1", body)),
        (&time, "v1,".to_owned()),
        (&time, signed(&time, body).replace("v1,", "v2,")),
        (&(now - 301).to_string(), signed(&(now - 301).to_string(), body)),
        (&(now + 301).to_string(), signed(&(now + 301).to_string(), body)),
        (&"99999999999999999999".to_owned(), signed("99999999999999999999", body)),
    ] {
        assert!(check(time, &signature).is_err(), "{time} {signature}");
    }
    let plain = headers(&[("x-gitlab-token", &token)]);
    let call = Call { headers: &plain, query: None, body };
    assert!(proof::check(Hook::GitGitlab, &secret, &call, now).is_err(), "the key itself is not sent around");
    assert!(check_secret(Hook::GitGitlab, &secret).is_ok());
    for broken in ["whsec_", "whsec_%%"] {
        assert!(check_secret(Hook::GitGitlab, &Secret::new(broken).unwrap()).is_err(), "{broken}");
        assert!(check_secret(Hook::GitGithub, &Secret::new(broken).unwrap()).is_ok(), "{broken}");
    }
}

#[test]
fn a_registry_shows_its_secret_in_one_of_three_ways() {
    let secret = Secret::new("s3cret").unwrap();
    let pair = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let check = |value: &str| {
        let headers = headers(&[("authorization", value)]);
        let call = Call { headers: &headers, query: None, body: b"" };
        proof::check(Hook::RegistryHarbor, &secret, &call, 0)
    };
    for right in ["s3cret", "Bearer s3cret", "bearer s3cret", &pair("any:s3cret"), &pair(":s3cret")] {
        assert_eq!(check(right), Ok(()), "{right}");
    }
    let wrong =
        ["Bearer", "Bearer ", "Bearer s3cre", "Basic s3cret", "Basic %", &pair("s3cret"), &pair("s3cret:")];
    for wrong in wrong.into_iter().chain(["", "Digest s3cret", &pair("a:b:s3cret")]) {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
