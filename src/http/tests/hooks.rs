//! Webhooks over a real socket: what they wake, and the bounds of receiving them.

use base64::Engine as _;

use super::*;
use crate::controller::Wake;
use crate::http::hooks::BODY_BYTES_MAX;

const SECRET: &str = "canary-hook";

fn known() -> BTreeSet<Repository> {
    ["r.io/shop/web", "r.io/shop/api", "s.io/shop/web"].iter().map(|name| name.parse().unwrap()).collect()
}

async fn listening(change: impl FnOnce(&mut Hooks)) -> Server {
    let secrets = Hook::ALL.map(|hook| (hook, SECRET));
    start_with(LONG, known(), change, &secrets).await
}

/// A request up to its body, with what shows the secret to a registry's hook.
fn head(length: usize) -> String {
    format!(
        "POST /hooks/registry/distribution HTTP/1.1\r\nHost: skep.any.name\r\nConnection: close\r\n\
         Authorization: Bearer {SECRET}\r\nContent-Length: {length}\r\n\r\n"
    )
}

async fn push(address: SocketAddr, id: &str, repository: &str) -> String {
    let event = format!(r#"{{"id": "{id}", "action": "push", "target": {{"repository": "{repository}"}}}}"#);
    let body = format!(r#"{{"events": [{event}]}}"#);
    exchange(address, format!("{}{body}", head(body.len())).as_bytes()).await
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
}

#[tokio::test]
async fn every_hook_is_described_and_only_posted_to() {
    let server = listening(|_| {}).await;
    let description = routes::description();
    let paths = description["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().filter_map(|path| path.strip_prefix("/hooks/")).collect();
    assert_eq!(described, Hook::ALL.map(Hook::name).into_iter().collect());
    for name in described {
        let operation = &paths[&format!("/hooks/{name}")]["post"];
        let scheme = operation["security"][0].as_object().unwrap().keys().next().unwrap();
        assert!(description["components"]["securitySchemes"][scheme].is_object(), "{name}");
        assert_eq!(operation["requestBody"]["required"], true, "{name}");
        let answer = get(server.address, &format!("/hooks/{name}")).await;
        assert!(status(&answer) == 405 && answer.to_lowercase().contains("allow: post"), "{answer}");
    }
    for path in ["/hooks/git/bitbucket", "/hooks/registry", "/hooks/registry/harbor/more"] {
        let answer = get(server.address, path).await;
        assert!(status(&answer) == 404 && answer.contains("git/github, git/gitlab"), "{answer}");
    }
}

#[tokio::test]
async fn a_hook_without_a_secret_is_closed() {
    let mut server = start(LONG).await;
    let answer = push(server.address, "1", "shop/web").await;
    assert_eq!(status(&answer), 404, "{answer}");
    assert!(answer.contains("set hooks.registry.distribution.secret_file"), "{answer}");
    assert!(server.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_push_has_its_repositories_asked_once() {
    let mut server = listening(|_| {}).await;
    let answer = push(server.address, "1", "shop/web").await;
    assert_eq!(status(&answer), 202, "{answer}");
    let asked: Vec<String> = server.asked.try_recv().unwrap().iter().map(Repository::normalized).collect();
    assert_eq!(asked, ["r.io/shop/web", "s.io/shop/web"], "whatever name the registry has");
    let answer = push(server.address, "1", "shop/web").await;
    assert!(status(&answer) == 200 && answer.contains("already seen"), "{answer}");
    let answer = push(server.address, "2", "shop/unused").await;
    assert!(status(&answer) == 202 && answer.contains("no spec uses"), "{answer}");
    assert!(server.asked.try_recv().is_err());
    for (outcome, count) in [("woken", 1), ("seen", 1), ("ignored", 1)] {
        let line =
            format!("skep_hooks_total{{provider=\"registry/distribution\",outcome=\"{outcome}\"}} {count}");
        assert!(server.state.metrics.encode().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn a_push_to_git_has_the_specs_read() {
    let mut server = listening(|_| {}).await;
    let body = r#"{"object_kind": "push", "ref": "refs/heads/main", "project": {"web_url": "https://h/p"}}"#;
    let request = format!(
        "POST /hooks/git/gitlab HTTP/1.1\r\nHost: skep\r\nConnection: close\r\nX-Gitlab-Token: {SECRET}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(server.address, request.as_bytes()).await;
    assert_eq!(status(&answer), 202, "{answer}");
    assert_eq!(server.woken.try_recv().unwrap(), Wake::Pushed);
}

#[tokio::test]
async fn what_waits_is_bounded_and_what_was_not_taken_may_come_again() {
    let mut server = listening(|_| {}).await;
    let mut taken = 0;
    let refused = loop {
        let answer = push(server.address, &taken.to_string(), "shop/api").await;
        if status(&answer) != 202 {
            break answer;
        }
        taken += 1;
    };
    assert!(status(&refused) == 503 && refused.to_lowercase().contains("retry-after: 1"), "{refused}");
    assert!(taken >= 16, "{taken}");
    while server.asked.try_recv().is_ok() {}
    let answer = push(server.address, &taken.to_string(), "shop/api").await;
    assert_eq!(status(&answer), 202, "{answer}");
}

#[tokio::test]
async fn a_body_is_bounded_in_size_and_time() {
    let server = listening(|hooks| hooks.body_within = Duration::from_millis(300)).await;
    let exact = format!("{}{}", head(BODY_BYTES_MAX), " ".repeat(BODY_BYTES_MAX));
    assert_eq!(status(&exchange(server.address, exact.as_bytes()).await), 400, "no JSON, but read whole");
    let over = format!("{}{}", head(BODY_BYTES_MAX + 1), " ".repeat(BODY_BYTES_MAX + 1));
    assert_eq!(status(&exchange(server.address, over.as_bytes()).await), 413);
    let chunked = head(0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let endless = format!("{chunked}{}", format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(5));
    assert_eq!(status(&exchange(server.address, endless.as_bytes()).await), 413);
    for slow in [format!("{}{{", head(100)), format!("{chunked}1\r\n{{\r\n")] {
        let answer = exchange(server.address, slow.as_bytes()).await;
        assert!(status(&answer) == 408 && answer.contains("did not come within"), "{answer}");
    }
}

#[tokio::test]
async fn so_many_are_received_at_once_and_the_api_goes_on_beside_them() {
    let server = listening(|_| {}).await;
    let mut held = Vec::new();
    let refused = loop {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head(100).as_bytes()).await.unwrap();
        let mut first = [0; 12];
        // Whoever has a place is waited for; whoever has none is told at once.
        match tokio::time::timeout(Duration::from_millis(500), stream.read_exact(&mut first)).await {
            Ok(read) => {
                read.unwrap();
                break String::from_utf8_lossy(&first).into_owned();
            }
            Err(_) => held.push(stream),
        }
        assert!(held.len() < 40, "no bound");
    };
    assert_eq!((refused.as_str(), held.len()), ("HTTP/1.1 503", 16));
    assert!(get(server.address, "/healthz").await.contains(" 200 OK"));
    held.clear();
    let taken = async {
        while status(&push(server.address, "1", "shop/web").await) == 503 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taken).await.expect("the places are free again");
}

#[tokio::test]
async fn a_registry_may_show_its_secret_as_a_password() {
    let server = listening(|_| {}).await;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("registry:{SECRET}"));
    let request = head(2).replace(&format!("Bearer {SECRET}"), &format!("Basic {pair}"));
    let answer = exchange(server.address, format!("{request}{{}}").as_bytes()).await;
    assert_eq!(status(&answer), 400, "let in, and then no envelope: {answer}");
}
