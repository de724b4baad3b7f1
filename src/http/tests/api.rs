//! The API over a real socket.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::controller::orders::Retry;
use crate::controller::{Next, Report, Wake};
use crate::events::{Log, NewEvent, Options, Trigger};
use crate::report::{ServiceStatus, StatusCustomer, SyncState, TaskCount};

/// A server that knows acme with two services, and the customer globex.
async fn known() -> Server {
    let server = start(LONG).await;
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    server.api.board.specs(
        &BTreeMap::from([("acme".to_owned(), keys(&["web", "db"])), ("globex".to_owned(), keys(&["web"]))]),
        true,
    );
    server
}

fn stands(state: SyncState) -> StatusCustomer {
    let service = |key: &str| ServiceStatus {
        service: key.into(),
        desired: None,
        running: Vec::new(),
        tasks: TaskCount::default(),
        state,
        conditions: Vec::new(),
        message: "<b>\u{1b}[31m".into(),
    };
    StatusCustomer {
        customer: "acme".into(),
        revision: Some("abc".into()),
        services: vec![service("web"), service("db")],
        ..StatusCustomer::default()
    }
}

/// The status and the body.
async fn call(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let answer = exchange(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

const AUTH: &str = "Authorization: Bearer canary-token\r\n";

async fn post(address: SocketAddr, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = call(address, "POST", path, AUTH, body).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}")))
}

async fn look(address: SocketAddr, path: &str) -> (u16, Value) {
    let (status, body) = call(address, "GET", path, "", "").await;
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}")))
}

#[tokio::test]
async fn customers_are_as_status_has_them_and_unknown_before_the_first_pass() {
    let server = known().await;
    let (status, all) = look(server.address, "/api/v1/customers").await;
    assert_eq!((status, all["customers"].as_array().unwrap().len()), (200, 2));
    assert_eq!(all["customers"][0]["services"][0]["state"], "Unknown");
    server.api.board.pass("acme", tokio::time::Instant::now(), Ok(stands(SyncState::InSync)));
    let (_, one) = look(server.address, "/api/v1/customers/acme").await;
    let report: crate::report::StatusReport = serde_json::from_value(one).unwrap();
    assert_eq!(report.customers.len(), 1);
    assert_eq!(report.customers[0].revision.as_deref(), Some("abc"));
    let states: Vec<_> = report.customers[0].services.iter().map(|s| s.state).collect();
    assert_eq!(states, [SyncState::InSync, SyncState::InSync]);
    let (status, error) = look(server.address, "/api/v1/customers/acne").await;
    assert_eq!(status, 404);
    assert!(error["error"].as_str().unwrap().contains("did you mean acme?"), "{error}");
}

#[tokio::test]
async fn every_route_of_the_description_answers_and_every_change_needs_the_token() {
    let server = known().await;
    let (_, described) = look(server.address, "/api/v1/openapi.json").await;
    // Those of webhooks are held against the handlers in `hooks.rs`.
    let paths = described["paths"].as_object().unwrap().iter();
    let paths = paths.filter(|(path, _)| !path.starts_with("/hooks/"));
    let handlers: BTreeSet<_> =
        routes::table().iter().map(|r| (r.path.clone(), r.method.to_owned())).collect();
    let mut told = BTreeSet::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            told.insert((path.clone(), method.clone()));
            let path = path.replace("{customer}", "acme").replace("{service}", "web");
            let upper = method.to_uppercase();
            let (status, body) = call(server.address, &upper, &path, AUTH, r#"{"reason":"why"}"#).await;
            assert!((200..300).contains(&status), "{upper} {path}: {status}");
            assert!(!body.contains("canary"), "{upper} {path} gives the token away: {body}");
            let other = if upper == "GET" { "PUT" } else { "GET" };
            assert_eq!(call(server.address, other, &path, AUTH, "").await.0, 405, "{other} {path}");
            assert_eq!(operation["security"].is_array(), upper == "POST", "{path}");
            if upper == "POST" {
                for wrong in
                    ["", "Authorization: Bearer canary-toke\r\n", "Authorization: Basic canary-token\r\n"]
                {
                    let (status, body) =
                        call(server.address, "POST", &path, wrong, r#"{"reason":"why"}"#).await;
                    assert_eq!(status, 401, "{path}");
                    assert!(!body.contains("canary"), "{body}");
                }
            }
        }
    }
    assert_eq!(told, handlers);
}

#[tokio::test]
async fn a_page_of_another_site_gets_nothing() {
    let server = known().await;
    for path in ["/", "/api/v1/customers", "/api/v1/events"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        let answer = exchange(server.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 421 ") && !answer.contains("acme"), "{answer}");
    }
}

#[tokio::test]
async fn reconcile_wakes_and_waits_for_what_comes_of_it() {
    let mut server = known().await;
    let address = server.address;
    let (status, answer) = post(address, "/api/v1/reconcile", "").await;
    assert_eq!((status, &answer["converged"]), (202, &Value::Null));
    assert_eq!(server.woken.recv().await, Some(Wake::Manual(None)));
    for (state, converged) in
        [(SyncState::InSync, Value::Bool(true)), (SyncState::Stalled, Value::Bool(false))]
    {
        // What was seen before the question is no answer to it.
        server.api.board.pass("acme", tokio::time::Instant::now(), Ok(stands(SyncState::InSync)));
        let asked = tokio::spawn(post(address, "/api/v1/reconcile/acme?wait=60s", ""));
        assert_eq!(server.woken.recv().await, Some(Wake::Manual(Some("acme".into()))));
        server.api.board.specs_were_read(Ok(()));
        server.api.board.pass("acme", tokio::time::Instant::now(), Ok(stands(SyncState::Progressing)));
        assert!(!asked.is_finished());
        server.api.board.pass("acme", tokio::time::Instant::now(), Ok(stands(state)));
        let (status, answer) = asked.await.unwrap();
        assert_eq!(
            (status, &answer["converged"], &answer["timed_out"]),
            (200, &converged, &Value::Bool(false))
        );
        assert_eq!(answer["customers"][0]["customer"], "acme");
    }
    let (status, answer) = post(address, "/api/v1/reconcile/acme?wait=1ms", "").await;
    assert_eq!((status, &answer["timed_out"]), (200, &Value::Bool(true)));
    assert_eq!(answer["converged"], Value::Bool(false));
    assert_eq!(post(address, "/api/v1/reconcile/acme?wait=soon", "").await.0, 400);
    assert_eq!(post(address, "/api/v1/reconcile/nobody", "").await.0, 404);
}

/// A pass that left nothing under way, or something.
fn passes(server: &Server, customer: &str, next: Next) {
    let (plan, outcomes) = (crate::plan::Plan::default(), Vec::new());
    let report = Report { plan, revision: None, outcomes, next, rolling: false };
    let now = tokio::time::Instant::now();
    server.api.ledger.pass(customer, now, Ok(&report));
    server.api.board.pass(customer, now, Ok(stands(SyncState::InSync)));
}

/// Asks for something to be applied, for which the specs are read first.
async fn begin(server: &mut Server, path: &'static str) -> (u16, Value) {
    let asked = tokio::spawn(post(server.address, path, ""));
    assert_eq!(server.woken.recv().await, Some(Wake::Pushed));
    assert!(!asked.is_finished());
    server.api.board.specs_were_read(Ok(()));
    asked.await.unwrap()
}

#[tokio::test]
async fn nothing_is_applied_of_specs_that_could_not_be_fetched() {
    let mut server = known().await;
    let asked = tokio::spawn(post(server.address, "/api/v1/reconcile?until=rest", ""));
    assert_eq!(server.woken.recv().await, Some(Wake::Pushed));
    let fetched = |begun, error: Option<&str>| {
        let error = error.map(str::to_owned);
        server.api.board.specs_were_fetched(&crate::controller::Fetch { begun, error });
        server.api.board.specs_were_read(Ok(()));
    };
    fetched(None, None);
    assert!(!asked.is_finished(), "the old commit is no answer");
    fetched(Some(tokio::time::Instant::now()), Some("no good signature"));
    let (status, answer) = asked.await.unwrap();
    assert_eq!((status, &answer["error"]), (502, &"cannot read the specs: no good signature".into()));
    assert!(server.woken.try_recv().is_err(), "nobody is looked at");
}

#[tokio::test]
async fn what_is_done_is_told_to_whoever_applies() {
    let mut server = known().await;
    let address = server.address;
    let (status, begun) = begin(&mut server, "/api/v1/reconcile/acme?until=rest").await;
    assert_eq!((status, &begun["applied"]), (202, &Value::Null));
    assert_eq!(server.woken.recv().await, Some(Wake::Manual(Some("acme".into()))));
    let on = format!("/api/v1/reconcile/acme?until=rest&since={}", begun["since"]);
    passes(&server, "acme", Next::Settled);
    let (_, answer) = post(address, &format!("{on}&wait=1ms"), "").await;
    assert_eq!(answer["timed_out"], true, "the specs may be older than the question");
    server.api.board.specs_were_read(Ok(()));
    passes(&server, "acme", Next::Rolling);
    let (_, answer) = post(address, &format!("{on}&wait=1ms"), "").await;
    assert_eq!((&answer["timed_out"], &answer["since"]), (&Value::Bool(true), &begun["since"]));
    let (_, sent) = post(address, &format!("{}&wait=60s", on.replace("rest", "pass")), "").await;
    assert_eq!(sent["timed_out"], false, "what was sent is not waited for");
    let asked = {
        let path = format!("{on}&wait=60s");
        tokio::spawn(async move { post(address, &path, "").await })
    };
    passes(&server, "acme", Next::Settled);
    let (_, answer) = asked.await.unwrap();
    assert_eq!(answer["timed_out"], false);
    assert_eq!(answer["applied"]["customers"][0]["customer"], "acme: 0");
    assert_eq!(answer["applied"]["customers"].as_array().unwrap().len(), 1, "{answer}");
    let broken = BTreeMap::from([("hooli".to_owned(), "unknown key".to_owned())]);
    server.api.board.invalid(&broken);
    passes(&server, "globex", Next::Settled);
    let (_, all) = post(address, &format!("{}&wait=60s", on.replace("/acme", "")), "").await;
    let waiting = &all["applied"]["customers"][2];
    assert_eq!(
        (&waiting["customer"], &waiting["waiting"][0]["reason"]),
        (&"hooli".into(), &"SpecInvalid".into())
    );
    assert!(server.woken.try_recv().is_err(), "who goes on waiting wakes nothing");
}

#[tokio::test]
async fn a_customer_that_is_gone_is_asked_for_only_to_be_removed() {
    let mut server = known().await;
    let address = server.address;
    let later = "2100-01-01T00:00:00Z".parse().unwrap();
    server.api.board.set_gone(&BTreeMap::from([("hooli".to_owned(), later)]));
    server.api.board.specs_were_read(Ok(()));
    assert_eq!(begin(&mut server, "/api/v1/reconcile/hooli").await.0, 404);
    while server.woken.try_recv().is_ok() {}
    let (status, begun) = begin(&mut server, "/api/v1/reconcile/hooli?until=rest&allow_prune=true").await;
    assert_eq!((status, server.woken.recv().await), (202, Some(Wake::Prune(Some("hooli".into())))));
    server.api.board.specs_were_read(Ok(()));
    let on = format!("/api/v1/reconcile/hooli?until=rest&allow_prune=true&since={}&wait=", begun["since"]);
    assert_eq!(post(address, &format!("{on}1ms"), "").await.1["timed_out"], true, "it is still there");
    passes(&server, "hooli", Next::Settled);
    server.api.board.set_gone(&BTreeMap::new());
    let (_, answer) = post(address, &format!("{on}60s"), "").await;
    assert_eq!(answer["timed_out"], false);
    assert_eq!(answer["applied"]["customers"][0]["customer"], "hooli: 0");
    // Who applies waits for those whose time has come, and is told that they are held.
    server.api.board.set_gone(&BTreeMap::from([
        ("initech".to_owned(), jiff::Timestamp::UNIX_EPOCH),
        ("later".to_owned(), later),
    ]));
    let (status, begun) = begin(&mut server, "/api/v1/reconcile?until=rest").await;
    assert_eq!((status, server.woken.recv().await), (202, Some(Wake::Manual(None))));
    let on = format!("/api/v1/reconcile?until=rest&since={}&wait=", begun["since"]);
    server.api.board.specs_were_read(Ok(()));
    passes(&server, "acme", Next::Settled);
    passes(&server, "globex", Next::Settled);
    assert_eq!(
        post(address, &format!("{on}1ms"), "").await.1["timed_out"],
        true,
        "initech is to be looked at"
    );
    passes(&server, "initech", Next::Settled);
    let (_, answer) = post(address, &format!("{on}60s"), "").await;
    assert_eq!(answer["timed_out"], false, "{answer}");
    let told = answer["applied"]["customers"].as_array().unwrap();
    assert!(told.iter().any(|customer| customer["customer"] == "initech: 0"), "{answer}");
    // For all of them, only who is allowed to waits for the ones that are gone.
    let (status, _) = post(address, "/api/v1/reconcile?allow_prune=true", "").await;
    assert_eq!((status, server.woken.recv().await), (202, Some(Wake::Prune(None))));
}

#[tokio::test]
async fn holds_are_remembered_and_ended() {
    let mut server = known().await;
    let address = server.address;
    let hold = |name: &str| server.api.memory.hold(name).hold;
    let (status, held) = post(address, "/api/v1/suspend/acme/web", r#"{"reason":" release freeze "}"#).await;
    assert_eq!((status, &held["reason"]), (200, &Value::from("release freeze")));
    assert_eq!(hold("acme/web").unwrap().reason, "release freeze");
    assert_eq!(server.woken.recv().await, Some(Wake::Manual(Some("acme".into()))));
    let until = r#"{"reason":"audit","until":"2100-01-01T00:00:00Z"}"#;
    let (_, held) = post(address, "/api/v1/suspend/acme", until).await;
    assert_eq!(held["still_held"], serde_json::json!(["acme/web"]));
    assert_eq!(held["until"], "2100-01-01T00:00:00Z");
    assert_eq!(post(address, "/api/v1/resume/acme/web", "").await.0, 409, "held as a whole");
    let (status, held) = post(address, "/api/v1/resume/acme", "").await;
    assert_eq!((status, &held["suspended"]), (200, &Value::Bool(false)));
    assert_eq!(held["still_held"], serde_json::json!(["acme/web"]));
    assert_eq!(post(address, "/api/v1/resume/acme/web", "").await.0, 200);
    assert!(hold("acme").is_none() && hold("acme/web").is_none());
    for bad in [
        "",
        "{}",
        r#"{"reason":""}"#,
        r#"{"reason":"x","until":"2001-01-01T00:00:00Z"}"#,
        r#"{"reason":"x","for":1}"#,
    ] {
        assert_eq!(post(address, "/api/v1/suspend/acme", bad).await.0, 400, "{bad}");
    }
    assert_eq!(post(address, "/api/v1/suspend/acme/nothing", until).await.0, 404);
    server.api.board.pass("acme", tokio::time::Instant::now(), Ok(stands(SyncState::Suspended)));
    let (status, error) = post(address, "/api/v1/resume/acme", "").await;
    assert_eq!(status, 409);
    assert!(error["error"].as_str().unwrap().contains("out of the spec"), "{error}");
}

#[tokio::test]
async fn a_retry_waits_for_its_customers_pass() {
    let mut server = known().await;
    let (status, _) = post(server.address, "/api/v1/retry/acme/web?version=1.2.3", "").await;
    assert_eq!(status, 202);
    assert_eq!(server.woken.recv().await, Some(Wake::Manual(Some("acme".into()))));
    let waiting = server.api.orders.clone().take("acme");
    assert_eq!(waiting, [Retry { service: "web".into(), version: Some("1.2.3".into()) }]);
    assert_eq!(post(server.address, "/api/v1/retry/acme/web?version=latest", "").await.0, 400);
}

fn log(server: &Server) -> Log {
    Log::open(&server.api.events, Options { max_bytes: 1 << 20, keep: 4 }).unwrap()
}

fn write(log: &Log, customer: &str, kind: Kind, message: &str) {
    let mut event = NewEvent::new(kind, Reason::NotOwned, Trigger::Swarm, message);
    event.customer = Some(customer.into());
    log.append_many(vec![event], jiff::Timestamp::now()).unwrap();
}

#[tokio::test]
async fn events_are_listed_as_they_were_asked_for() {
    let server = known().await;
    let log = log(&server);
    for at in 0..5 {
        let kind = if at % 2 == 0 { Kind::Warning } else { Kind::Normal };
        write(&log, if at < 3 { "acme" } else { "globex" }, kind, &at.to_string());
    }
    for (query, expected) in [
        ("", &[1, 2, 3, 4, 5][..]),
        ("?customer=acme", &[1, 2, 3]),
        ("?type=warning", &[1, 3, 5]),
        ("?limit=2", &[4, 5]),
        ("?after=3", &[4, 5]),
        ("?reason=NotOwned,TagMoved&customer=globex", &[4, 5]),
        ("?reason=TagMoved", &[]),
        ("?since=1h&type=Normal", &[2, 4]),
        ("?service=web", &[]),
    ] {
        let (status, answer) = look(server.address, &format!("/api/v1/events{query}")).await;
        let seqs: Vec<_> =
            answer["events"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
        assert_eq!((status, &seqs[..]), (200, expected), "{query}");
    }
    for bad in ["?type=Odd", "?reason=Nothing", "?since=yesterday", "?limit=many", "?after=-1"] {
        let (status, _) = call(server.address, "GET", &format!("/api/v1/events{bad}"), "", "").await;
        assert_eq!(status, 400, "{bad}");
    }
}

/// Reads until `wanted` came.
async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(wanted) {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "ended with {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&part[..read]);
    }
    String::from_utf8(text).unwrap()
}

async fn listen(address: SocketAddr, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn events_stream_on_from_the_last_one_seen() {
    let server = known().await;
    let log = log(&server);
    for message in ["one", "two", "three"] {
        write(&log, "acme", Kind::Normal, message);
    }
    let mut again = listen(server.address, "Last-Event-ID: 1\r\n").await;
    let text = until(&mut again, "three").await;
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.contains("id: 2") && !text.contains("id: 1\n"), "{text}");
    let mut new = listen(server.address, "").await;
    until(&mut new, "200 OK").await;
    write(&log, "acme", Kind::Normal, "four");
    let text = until(&mut new, "four").await;
    assert!(text.contains("id: 4") && !text.contains("id: 3"), "{text}");
    assert!(until(&mut again, "four").await.contains("id: 4"));
    let refused = until(&mut listen(server.address, "Last-Event-ID: x\r\n").await, "error").await;
    assert!(refused.contains("400 Bad Request"), "{refused}");
    server.api.stop.cancel();
    let mut rest = Vec::new();
    new.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn listeners_are_bounded_and_places_given_on() {
    let server = known().await;
    let mut all = Vec::new();
    for _ in 0..stream::LISTENERS_MAX {
        let mut listener = listen(server.address, "").await;
        until(&mut listener, "200 OK").await;
        all.push(listener);
    }
    let refused = until(&mut listen(server.address, "").await, "too many listen").await;
    assert!(refused.contains("503 Service Unavailable"), "{refused}");
    assert_eq!(look(server.address, "/api/v1/customers").await.0, 200, "others are served");
    all.clear();
    while server.api.limits.listeners.available_permits() == 0 {
        tokio::task::yield_now().await;
    }
    until(&mut listen(server.address, "").await, "200 OK").await;
}

#[tokio::test]
async fn the_page_shows_what_stands_and_nothing_foreign_runs() {
    let server = known().await;
    write(&log(&server), "acme", Kind::Warning, "<script>x</script>");
    server.api.board.pass("acme", tokio::time::Instant::now(), Ok(stands(SyncState::Drifted)));
    let (status, page) = call(server.address, "GET", "/", "", "").await;
    assert_eq!(status, 200);
    assert!(page.contains("Drifted") && page.contains("globex") && page.contains("&lt;script&gt;"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains('\u{1b}'), "{page}");
}
