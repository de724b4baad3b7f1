use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::config::Hook;
use crate::controller::orders::Orders;
use crate::events::{Kind, Reason};
use crate::image::Repository;
use crate::memory::InMemory;

const TOKEN: &str = "canary-token";

mod api;
mod hooks;
use crate::registry::RateLimit;

struct Server {
    address: SocketAddr,
    state: HttpState,
    api: Arc<Api>,
    woken: tokio::sync::mpsc::Receiver<crate::controller::Wake>,
    asked: tokio::sync::mpsc::Receiver<BTreeSet<Repository>>,
    #[expect(dead_code, reason = "the event log lives as long as the server")]
    dir: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

async fn start(heartbeat_max: Duration) -> Server {
    start_with(heartbeat_max, BTreeSet::new(), |_| {}, &[]).await
}

/// One whose specs use these repositories, and that listens to these webhooks, which `change` may limit.
async fn start_with(
    heartbeat_max: Duration,
    known: BTreeSet<Repository>,
    change: impl FnOnce(&mut Hooks),
    secrets: &[(Hook, &str)],
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = HttpState { metrics: Arc::new(Metrics::new()), health: Arc::new(Health::new(heartbeat_max)) };
    let dir = tempfile::tempdir().unwrap();
    let (poke, woken, asked) = crate::controller::wakeups::Poke::detached(known);
    let api = Arc::new(Api {
        token: Secret::new(TOKEN).unwrap(),
        hosts: Hosts::default(),
        board: Arc::default(),
        ledger: Arc::new(Ledger::new(told)),
        events: dir.path().to_owned(),
        memory: Arc::new(InMemory::default()),
        orders: Orders::default(),
        poke,
        stop: Default::default(),
        limits: Limits::default(),
    });
    let secrets = secrets.iter().map(|(hook, secret)| (*hook, Secret::new(secret).unwrap())).collect();
    let mut hooks = Hooks::new(secrets, None, api.poke.clone(), Arc::clone(&state.metrics));
    change(&mut hooks);
    let served = Served { state: state.clone(), api: Arc::clone(&api), hooks: Arc::new(hooks) };
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let serving = tokio::spawn(serve(Listener::Tcp(listener), served, shutdown));
    Server { address, state, api, woken, asked, dir, stop, serving }
}

/// The customer's name, and how many steps were taken.
fn told(customer: &str, applied: &crate::controller::Applied, _: bool) -> crate::report::PlanCustomer {
    let customer = format!("{customer}: {}", applied.outcomes.len());
    crate::report::PlanCustomer { customer, ..Default::default() }
}

/// The whole answer to `GET path`, on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: skep\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer still leaves what was read.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn alive_while_the_loop_goes_round() {
    let server = start(LONG).await;
    let answer = get(server.address, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok\n"), "{answer}");

    let server = start(Duration::ZERO).await;
    let answer = get(server.address, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("the loop has not gone round for 0 s\n"), "{answer}");
}

#[test]
fn a_beat_counts_from_its_own_time() {
    let health = Health::new(Duration::from_secs(10));
    health.beat();
    let now = Instant::now();
    assert_eq!(health.stuck_for(now), None);
    let later = now + Duration::from_secs(60);
    assert!(health.stuck_for(later).is_some_and(|since| since >= Duration::from_secs(60)));
}

#[tokio::test]
async fn ready_once_everything_was_seen_and_until_it_is_lost() {
    let server = start(LONG).await;
    let (address, state) = (server.address, server.state.clone());
    let body = |answer: String| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(
        body(answer),
        r#"{"ready":false,"reasons":[{"part":"specs","message":"not seen yet"},{"part":"swarm","message":"not seen yet"},{"part":"registries","message":"not seen yet"}]}"#
    );
    state.health.seen(Part::Specs, Ok(()));
    state.health.seen(Part::Swarm, Ok(()));
    state.health.seen(Part::Registries, Err("r.example.com: 401\u{1b}[0m"));
    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(
        body(answer),
        r#"{"ready":false,"reasons":[{"part":"registries","message":"r.example.com: 401\\u{1b}[0m"}]}"#
    );
    state.health.seen(Part::Registries, Ok(()));
    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(body(answer), r#"{"ready":true,"reasons":[]}"#);
    state.health.seen(Part::Swarm, Err("no leader"));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn metrics_are_served_as_open_metrics() {
    let server = start(LONG).await;
    let (address, state) = (server.address, server.state.clone());
    state.metrics.queue_depth(3);
    let answer = get(address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(answer.contains("\nskep_queue_depth 3\n") && answer.ends_with("# EOF\n"), "{answer}");
}

#[test]
fn the_contracts_metrics_have_its_names_and_labels() {
    let metrics = Metrics::new();
    metrics.set_service("acme", "frontend", Highest::Yes, Some("1.10.0"), Some("sha256:ab"));
    metrics.set_service("acme", "db", Highest::No, Some("16.3.0"), Some("sha256:cd"));
    metrics.set_service("acme", "cache", Highest::Unknown, None, None);
    metrics.succeeded("acme", "2026-11-23T00:32:24.5Z".parse().unwrap());
    metrics.reconciled(Duration::from_millis(50));
    metrics.registry_request("r.example.com:5000", Some(200));
    metrics.registry_request("r.example.com:5000", None);
    metrics.registry_request("r.example.com:5000", Some(9999));
    let allowance = RateLimit { limit: 100, remaining: 76, window: Duration::from_secs(21600) };
    metrics.registry_allowance("docker.io", allowance);
    metrics.swarm_request("service_list", Some(200));
    metrics.event(Kind::Warning, Reason::TagMoved);
    metrics.hook("registry/harbor", "woken");
    let page = metrics.encode();
    for line in [
        "skep_service_highest{customer=\"acme\",service=\"frontend\"} 1",
        "skep_service_highest{customer=\"acme\",service=\"db\"} 0",
        "skep_service_unknown{customer=\"acme\",service=\"cache\"} 1",
        "skep_service_info{customer=\"acme\",service=\"frontend\",version=\"1.10.0\",digest=\"sha256:ab\"} 1",
        "skep_service_info{customer=\"acme\",service=\"cache\",version=\"\",digest=\"\"} 1",
        "skep_last_success_timestamp_seconds{customer=\"acme\"} 1795393944.5",
        "skep_reconcile_duration_seconds_count 1",
        "skep_reconcile_duration_seconds_bucket{le=\"0.16\"} 1",
        "skep_queue_depth 0",
        "skep_registry_requests_total{registry=\"r.example.com:5000\",code=\"200\"} 1",
        "skep_registry_requests_total{registry=\"r.example.com:5000\",code=\"error\"} 2",
        "skep_registry_ratelimit_limit{registry=\"docker.io\"} 100",
        "skep_registry_ratelimit_remaining{registry=\"docker.io\"} 76",
        "skep_swarm_requests_total{op=\"service_list\",code=\"200\"} 1",
        "skep_events_total{type=\"Warning\",reason=\"TagMoved\"} 1",
        "skep_hooks_total{provider=\"registry/harbor\",outcome=\"woken\"} 1",
    ] {
        assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
    }
    assert!(
        !page.contains("skep_service_highest{customer=\"acme\",service=\"cache\"}"),
        "absent when unknown"
    );
    assert!(!page.contains("skep_service_unknown{customer=\"acme\",service=\"db\"}"), "absent when known");
}

#[test]
fn series_end_with_what_they_are_about() {
    let metrics = Metrics::new();
    let series = |part: &str| metrics.encode().lines().filter(|line| line.contains(part)).count();
    for patch in 0..100 {
        let highest = if patch % 2 == 0 { Highest::Unknown } else { Highest::Yes };
        metrics.set_service("acme", "frontend", highest, Some(&format!("1.0.{patch}")), Some("sha256:ab"));
        assert_eq!(series("customer=\"acme\""), 2, "one info, and one of highest and unknown");
    }
    assert_eq!(series("version=\"1.0.99\""), 1);
    metrics.set_service("acme", "db", Highest::No, None, None);
    metrics.set_service("acme-2", "db", Highest::No, None, None);
    metrics.succeeded("acme", jiff::Timestamp::UNIX_EPOCH);
    metrics.forget_service("acme", "frontend");
    metrics.forget_service("acme", "never-seen");
    assert_eq!(series("service=\"frontend\""), 0);
    assert_eq!(series("customer=\"acme\""), 3);
    metrics.forget_customer("acme");
    assert_eq!(series("customer=\"acme\""), 0);
    assert_eq!(series("customer=\"acme-2\""), 2);
}

#[tokio::test]
async fn other_paths_methods_and_nonsense_are_refused() {
    let server = start(LONG).await;
    let address = server.address;
    assert!(get(address, "/nothing").await.starts_with("HTTP/1.1 404 "));
    let post = b"POST /metrics HTTP/1.1\r\nHost: skep\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(exchange(address, post).await.starts_with("HTTP/1.1 405 "));
    assert!(exchange(address, b"\x16\x03\x01\x02\x00\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let huge = format!("GET /healthz HTTP/1.1\r\nHost: skep\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert!(!exchange(address, huge.as_bytes()).await.contains(" 200 OK"));
    assert!(get(address, "/healthz").await.contains(" 200 OK"), "the next one is served");
}

#[tokio::test]
async fn idle_connections_cannot_hold_up_the_end() {
    let Server { address, stop, serving, .. } = start(LONG).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: skep\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    kept.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn places_that_silent_peers_give_up_are_given_on() {
    let Server { address, stop, serving, .. } = start(LONG).await;
    let mut silent = Vec::new();
    // More than there are places: the rest stays in the kernel's backlog.
    for _ in 0..80 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let waiting = tokio::spawn(get(address, "/healthz"));
    silent.clear();
    assert!(waiting.await.unwrap().contains(" 200 OK"));
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
