//! Calls that are wrong, and calls of whoever knows a secret and means ill: none crashes, hangs,
//! deploys or leaks.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde_json::json;
use skep::config::Hook;

use crate::world::post::{Post, payload, secret, signature, status};
use crate::world::{Specs, World};

/// Fewer would not be all.
const CASES_MIN: usize = 60;
/// Longer than the deadline of a body, on a busy machine.
const WITHIN: Duration = Duration::from_secs(45);

/// What is sent, and the status that answers it.
struct Case {
    name: &'static str,
    request: Vec<u8>,
    status: u16,
}

fn case(name: &'static str, call: &Post, status: u16) -> Case {
    Case { name, request: call.bytes(), status }
}

const SIGNATURE: &str = "X-Hub-Signature-256";

fn signatures() -> Vec<Case> {
    let right = Post::recorded(Hook::GitGithub, "git-github-push");
    let digits = signature(&secret(Hook::GitGithub), &right.body);
    let signed = |value: &str| right.clone().instead(SIGNATURE, value);
    let other = signature("another secret", &right.body);
    let wrong_end = if digits.ends_with('0') { '1' } else { '0' };
    let empty = signature(&secret(Hook::GitGithub), b"");
    let mut longer = right.clone();
    longer.body.push(b'\n');
    vec![
        case("of another secret", &signed(&format!("sha256={other}")), 401),
        case("missing", &right.clone().without(SIGNATURE), 401),
        case("empty", &signed(""), 401),
        case("truncated", &signed(&format!("sha256={}", &digits[..63])), 401),
        case("only its algorithm", &signed("sha256="), 401),
        case("without its algorithm", &signed(&digits), 401),
        case("of a weaker algorithm", &signed(&format!("sha1={}", &digits[..40])), 401),
        case("of an unknown algorithm", &signed(&format!("sha512={digits}{digits}")), 401),
        case("in the old header", &right.clone().without(SIGNATURE).with("X-Hub-Signature", "sha1=00"), 401),
        case("twice", &right.clone().with(SIGNATURE, format!("sha256={digits}")), 401),
        case("right and wrong", &right.clone().with(SIGNATURE, format!("sha256={other}")), 401),
        case("with a wrong end", &signed(&format!("sha256={}{wrong_end}", &digits[..63])), 401),
        case(
            "in capitals, which is the same number",
            &signed(&format!("sha256={}", digits.to_uppercase())),
            202,
        ),
        case("with a space", &signed(&format!("sha256= {digits}")), 401),
        case("too long", &signed(&format!("sha256={}", digits.repeat(100))), 401),
        case("not hexadecimal", &signed(&format!("sha256={}", "é".repeat(32))), 401),
        case("not text", &right.clone().instead(SIGNATURE, b"sha256=\xff\xfe"), 401),
        case("of an empty body", &signed(&format!("sha256={empty}")), 401),
        case("of a body that was lengthened", &longer, 401),
        case(
            "of the body, with the secret itself beside it",
            &right.clone().with("X-Secret", secret(Hook::GitGithub)),
            202,
        ),
    ]
}

fn tokens() -> Vec<Case> {
    let gitlab = Post::recorded(Hook::GitGitlab, "git-gitlab-push");
    let gitea = Post::recorded(Hook::GitGitea, "git-gitea-push");
    let push = Post::recorded(Hook::RegistryDistribution, "registry-distribution-pull");
    let hub = Post::recorded(Hook::RegistryDockerHub, "registry-dockerhub");
    let (token, bearer) = (secret(Hook::GitGitlab), secret(Hook::RegistryDistribution));
    let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
    let hub_at = |query: &str| hub.clone().at(&format!("/hooks/registry/dockerhub{query}"));
    let hub_token = secret(Hook::RegistryDockerHub);
    let encoded: String = hub_token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        case("gitlab: none", &gitlab.clone().without("X-Gitlab-Token"), 401),
        case("gitlab: empty", &gitlab.clone().instead("X-Gitlab-Token", ""), 401),
        case(
            "gitlab: the beginning",
            &gitlab.clone().instead("X-Gitlab-Token", &token[..token.len() - 1]),
            401,
        ),
        case("gitlab: more than it", &gitlab.clone().instead("X-Gitlab-Token", format!("{token}x")), 401),
        case("gitlab: twice", &gitlab.clone().with("X-Gitlab-Token", &token), 401),
        case(
            "gitlab: another hook's",
            &gitlab.clone().instead("X-Gitlab-Token", secret(Hook::GitGitea)),
            401,
        ),
        case(
            "gitlab: in the URL",
            &gitlab.without("X-Gitlab-Token").at(&format!("/hooks/git/gitlab?token={token}")),
            401,
        ),
        case(
            "gitea: in github's form",
            &gitea.clone().instead(
                "X-Gitea-Signature",
                format!("sha256={}", signature(&secret(Hook::GitGitea), &gitea.body)),
            ),
            401,
        ),
        case("gitea: none", &gitea.without("X-Gitea-Signature"), 401),
        case("distribution: none", &push.clone().without("Authorization"), 401),
        case(
            "distribution: in capitals",
            &push.clone().instead("Authorization", format!("Bearer {}", bearer.to_uppercase())),
            401,
        ),
        case(
            "distribution: a wrong password",
            &push.clone().instead("Authorization", basic(format!("{bearer}:x"))),
            401,
        ),
        case("distribution: broken base64", &push.clone().instead("Authorization", "Basic ===="), 401),
        case("distribution: twice", &push.with("Authorization", format!("Bearer {bearer}")), 401),
        case("dockerhub: none", &hub_at(""), 401),
        case("dockerhub: empty", &hub_at("?token="), 401),
        case("dockerhub: wrong", &hub_at("?token=canary"), 401),
        case("dockerhub: twice", &hub_at(&format!("?token={hub_token}&token={hub_token}")), 401),
        case("dockerhub: in a header", &hub_at("").with("Authorization", format!("Bearer {hub_token}")), 401),
        case(
            "dockerhub: in percent signs, which is the same",
            &hub_at(&format!("?a=%ff&token={encoded}")),
            202,
        ),
        Case {
            name: "a hook's secret is not the API's token",
            request: format!(
                "POST /api/v1/reconcile HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Authorization: Bearer {bearer}\r\nContent-Length: 0\r\n\r\n"
            )
            .into_bytes(),
            status: 401,
        },
    ]
}

fn requests() -> Vec<Case> {
    let right = Post::recorded(Hook::RegistryHarbor, "registry-harbor-push");
    let method = |method: &'static str| Post { method, ..right.clone() };
    let big = Post::right(Hook::RegistryHarbor, vec![b' '; (256 << 10) + 1]);
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let chunked = |name, chunks: &[u8], status| Case { name, request: right.chunked(chunks), status };
    let length = |name, length: &str, status| Case {
        name,
        request: [right.head(), format!("Content-Length: {length}\r\n\r\n{{}}").into_bytes()].concat(),
        status,
    };
    vec![
        case("GET", &method("GET"), 405),
        case("PUT", &method("PUT"), 405),
        case("DELETE", &method("DELETE"), 405),
        case("an unknown hook", &right.clone().at("/hooks/registry/docker"), 404),
        case("no hook", &right.clone().at("/hooks/"), 404),
        case("a way out", &right.clone().at("/hooks/git/../../api/v1/reconcile"), 404),
        case(
            "a way out in percent signs",
            &right.clone().at("/hooks/registry/harbor%2f..%2f..%2fmetrics"),
            404,
        ),
        case("a body over the bound", &big, 413),
        chunked("chunks over the bound", chunk.repeat(5).as_bytes(), 413),
        chunked("chunks without an end", b"1\r\n{\r\n", 408),
        chunked("a chunk that breaks off", b"ffff\r\n{", 408),
        chunked("chunks that are none", b"zz\r\n{}\r\n0\r\n\r\n", 400),
        chunked("a chunk larger than all memory", b"fffffffffffffffe\r\n{", 408),
        length("a body that never comes", "1000", 408),
        length("a length below zero", "-1", 400),
        length("a length beyond all numbers", "99999999999999999999999", 400),
        length("a length that says too little", "1", 400),
    ]
}

fn payloads(host: &str, callback: &str) -> Vec<Case> {
    let github = |body: &[u8]| Post::right(Hook::GitGithub, body);
    let generic =
        |repository: &str| Post::right(Hook::RegistryGeneric, json!({"repository": repository}).to_string());
    let event = |repository: &str| json!({"action": "push", "target": {"repository": repository}});
    let events = |events: Vec<serde_json::Value>| {
        Post::right(Hook::RegistryDistribution, json!({"events": events}).to_string())
    };
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let escapes = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\r\nHTTP/1.1 200 OK";
    let odd = json!({"ref": escapes, "repository": {"clone_url": escapes, "default_branch": escapes}});
    let packed = [&b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"[..], &[0; 20]].concat();
    let hub = String::from_utf8(payload("registry-dockerhub")).unwrap();
    let hub = hub.replace("https://registry.hub.docker.com", &format!("http://{callback}"));
    vec![
        case("no JSON", &github(b"{"), 400),
        case("nothing", &github(b""), 400),
        case("zeros", &github(&[0; 1000]), 400),
        case("no UTF-8", &github(b"{\"ref\": \"\xff\"}"), 400),
        case("deep nesting", &github(&deep), 400),
        case("deep nesting beside what counts", &github(&[b"{\"x\":", &deep[..], b"}"].concat()), 400),
        case("huge numbers", &github(b"{\"ref\": 1e999999999999}"), 400),
        case("other types", &github(b"{\"ref\": {}, \"repository\": []}"), 400),
        case("keys twice", &github(b"{\"ref\": \"a\", \"ref\": \"b\"}"), 400),
        case("control characters and escapes in names", &github(odd.to_string().as_bytes()), 202),
        case("no event", &github(b"{}").without("X-GitHub-Event"), 400),
        case("an event that nobody knows", &github(b"{}").instead("X-GitHub-Event", "\u{1b}[31m"), 400),
        case("another event", &github(b"{}").instead("X-GitHub-Event", "watch"), 202),
        case("a ping", &Post::recorded(Hook::GitGithub, "git-github-ping").instead("X-GitHub-Event", "ping"), 200),
        case("an endless delivery ID", &Post::recorded(Hook::GitGithub, "git-github-push").with("X-GitHub-Delivery", "d".repeat(8000)), 202),
        case("a form", &github(b"payload=%7B%7D").instead("Content-Type", "application/x-www-form-urlencoded"), 415),
        case("text", &github(b"{}").instead("Content-Type", "text/plain; charset=utf-8"), 415),
        case("packed", &github(&packed).with("Content-Encoding", "gzip"), 415),
        case("packed in secret", &github(&packed), 400),
        case("too many events", &events(vec![event("shop/web"); 1001]), 400),
        case("no events", &Post::right(Hook::RegistryDistribution, "{\"events\": null}"), 400),
        case("a way out of the registry", &events(vec![event("../../etc/passwd")]), 202),
        case("escapes in a repository", &events(vec![event(escapes)]), 202),
        case("another registry's URL as a repository", &events(vec![event("http://evil.example/shop/web")]), 202),
        case("an endless name", &generic(&"a/".repeat(100_000)), 202),
        case("what no spec names", &generic(&format!("{host}/shop/other")), 202),
        case("a host that no spec names", &generic("evil.example/shop/web"), 202),
        case("quay of another host", &Post::right(Hook::RegistryQuay, json!({"docker_url": "evil.example/shop/web", "updated_tags": ["6.6.6"]}).to_string()), 202),
        case("a callback", &Post::right(Hook::RegistryDockerHub, hub), 202),
        case("a version that is not there", &Post::right(Hook::RegistryHarbor, json!({
            "type": "PUSH_ARTIFACT", "event_data": {
                "resources": [{"tag": "6.6.6", "digest": format!("sha256:{}", "6".repeat(64)), "resource_url": "evil.example/shop/web:6.6.6"}],
                "repository": {"repo_full_name": "shop/web"},
            },
        }).to_string()), 202),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn none_crashes_hangs_deploys_or_leaks() {
    let world = World::start(Specs::Directory).await;
    let callback = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = callback.local_addr().unwrap().to_string();
    let mut cases = [signatures(), tokens(), requests()].into_iter().flatten().collect::<Vec<_>>();
    cases.extend(payloads(&world.host, &address));
    assert!(cases.len() >= CASES_MIN, "{}", cases.len());
    world.spy.take();
    let (slow, quick): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.status == 408);
    let (mut answers, mut failed) = (Vec::new(), Vec::new());
    let mut judge = |case: &Case, answer: String, took: Duration| {
        let told = status(&answer);
        if told != case.status || took > WITHIN || answer.contains(['\u{1b}', '\u{202e}']) {
            failed.push(format!("{}: {told}, not {} ({took:.1?}): {answer}", case.name, case.status));
        }
        answers.push(answer);
    };
    for case in &quick {
        let begun = Instant::now();
        let answer = world.exchange(&case.request).await;
        judge(case, answer, begun.elapsed());
    }
    let begun = Instant::now();
    let late = join_all(slow.iter().map(|case| world.exchange(&case.request))).await;
    slow.iter().zip(late).for_each(|(case, answer)| judge(case, answer, begun.elapsed()));
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), quick.len() + slow.len(), failed.join("\n"));

    assert_eq!(status(&world.get("/healthz").await), 200, "{}", world.log());
    let log = world.log();
    assert!(!log.contains("panicked") && !log.contains('\u{202e}'), "{log}");
    assert_eq!(world.spy.take().len(), 0, "something was deployed");
    let called = tokio::time::timeout(Duration::from_millis(100), callback.accept()).await;
    assert!(called.is_err(), "the callback was called");
    let asked = world.registry.requests();
    let foreign: Vec<_> =
        asked.iter().filter(|it| it.path.contains("/v2/") && !it.path.contains("/shop/web/")).collect();
    assert!(foreign.iter().all(|it| it.path == "/v2/"), "the registry was asked for {foreign:?}");
    world.no_canary(&answers).await;
}

/// Bytes that come one by one hold a place no longer than bytes that never come: the whole has its time, and not each.
#[tokio::test(flavor = "multi_thread")]
async fn who_drips_is_not_waited_for() {
    let world = World::start(Specs::Directory).await;
    let right = Post::right(Hook::RegistryGeneric, r#"{"repository": "shop/none"}"#);
    let body = [right.head(), b"Content-Length: 100000\r\n\r\n".to_vec()].concat();
    let head = b"POST /hooks/registry/generic HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let ((answer, body_took), (cut, head_took)) =
        tokio::join!(world.drip(&body, b' '), world.drip(head, b'x'));
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(
        body_took < Duration::from_secs(30) && head_took < Duration::from_secs(90),
        "{body_took:?} {head_took:?}"
    );
    assert!(cut.is_empty() || status(&cut) == 408, "{cut}");
    assert_eq!(status(&world.post(&right).await), 202, "others are heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_seen_and_wakes_nothing() {
    let world = World::start(Specs::Directory).await;
    let (github, gitea) = (Hook::GitGithub, Hook::GitGitea);
    for call in [
        Post::recorded(github, "git-github-push").with("X-GitHub-Delivery", "one"),
        Post::recorded(gitea, "git-gitea-push").with("X-Gitea-Delivery", "one"),
        Post::recorded(Hook::GitGitlab, "git-gitlab-push").with("X-Gitlab-Event-UUID", "one"),
        Post::right(Hook::GitGeneric, "{}").with("X-Skep-Delivery", "one"),
        Post::recorded(Hook::RegistryGithub, "registry-github-package").with("X-GitHub-Delivery", "two"),
        Post::recorded(Hook::RegistryDistribution, "registry-distribution-push"),
        Post::recorded(Hook::RegistryHarbor, "registry-harbor-push"),
        Post::recorded(Hook::RegistryHarbor, "registry-harbor-cloudevents"),
        Post::recorded(Hook::RegistryDockerHub, "registry-dockerhub"),
    ] {
        let first = world.post(&call).await;
        assert_eq!(status(&first), 202, "{}: {first}", call.path);
        let again = world.post(&call).await;
        assert!(status(&again) == 200 && again.contains("already seen"), "{}: {again}", call.path);
    }
    // Under a seen ID another body changes nothing.
    let other = Post::recorded(github, "git-github-ping").instead("X-GitHub-Event", "ping");
    let other = other.with("X-GitHub-Delivery", "one");
    assert!(world.post(&other).await.contains("already seen"));
    // A push to Quay is never the same twice, though it looks so.
    let quay = Post::recorded(Hook::RegistryQuay, "registry-quay-push");
    assert_eq!((status(&world.post(&quay).await), status(&world.post(&quay).await)), (202, 202));
}
