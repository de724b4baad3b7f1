//! Through the production client of the engine, so that what it makes of each fault is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::body::streamed;
use super::*;
use crate::dial::Stream;
use crate::sim::handler::{Handler, Request, Response, full};
use crate::swarm::{Client, Endpoint, ErrorClass, Swarm, SwarmError, Wakeup};

/// Counts what it creates; events come once a second and are numbered.
#[derive(Default)]
struct Counter {
    created: AtomicUsize,
}

impl Handler for Counter {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let path = request.uri().path().to_owned();
        if path.ends_with("/events") {
            let lines = futures::stream::unfold(0, |n| async move {
                sleep(Duration::from_secs(1)).await;
                let event = json!({"Type": "service", "Action": "update",
                    "Actor": {"ID": "x", "Attributes": {"name": format!("s{n}")}}, "scope": "swarm"});
                Some((Ok(Bytes::from(format!("{event}\n"))), n + 1))
            });
            return async { Response::new(streamed(lines.boxed())) }.boxed();
        }
        let answer = match path.rsplit('/').next().unwrap() {
            "version" => json!({"ApiVersion": "1.41"}),
            "create" => json!({"ID": format!("id{}", self.created.fetch_add(1, Ordering::SeqCst))}),
            "info" => json!({"ServerVersion": self.created.load(Ordering::SeqCst).to_string()}),
            other => panic!("{other}"),
        };
        async move { Response::new(full(answer.to_string())) }.boxed()
    }
}

struct Bench {
    counter: Arc<Counter>,
    tap: Tap,
    memory: Memory,
    client: Client,
}

fn bench() -> Bench {
    let counter = Arc::new(Counter::default());
    let tap = Tap::default();
    let memory = Memory::new(Arc::new(tap.wire("swarm", Arc::clone(&counter) as Arc<dyn Handler>)));
    let client = Client::new(Endpoint::Memory(memory.dialer()), Arc::new(|_, _| {}));
    Bench { counter, tap, memory, client }
}

impl Bench {
    fn plan(&self, text: &str) {
        self.tap.plan(text.parse().unwrap());
    }

    async fn create(&self) -> Result<String, SwarmError> {
        self.client.create_service(json!({"Name": "x"}), None).await
    }

    fn created(&self) -> usize {
        self.counter.created.load(Ordering::SeqCst)
    }

    async fn seen(&self) -> String {
        self.client.info().await.unwrap().engine_version
    }
}

#[tokio::test(start_paused = true)]
async fn exchanges_are_recorded_without_what_differs_from_run_to_run() {
    let bench = bench();
    bench.create().await.unwrap();
    bench.plan("swarm#2:error-before=500");
    bench.create().await.unwrap_err();
    let lines: Vec<String> = bench.tap.exchanges().iter().map(ToString::to_string).collect();
    let digest = "{7e9a9c6b2c88}";
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], "swarm#0 GET /version 200");
    let body = lines[1].strip_prefix("swarm#1 POST /v1.41/services/create {").unwrap();
    assert_eq!(body.len(), digest.len() - 1 + " 200".len(), "{body}");
    assert_eq!(lines[2], lines[1].replace("#1", "#2").replace("200", "500 ! error-before=500"));
    assert_eq!(bench.tap.count("swarm"), 3);
    let wire = bench.tap.wire("swarm", Arc::new(Counter::default()));
    let request = http::Request::get("/v1.41/info?version=7&filters=x&since=3").body(Bytes::new()).unwrap();
    wire.handle(request).await;
    assert_eq!(bench.tap.exchanges()[3].query, "filters=x");
}

#[tokio::test(start_paused = true)]
async fn a_fault_strikes_before_or_after_the_server_has_acted() {
    for (fault, message, created) in [
        ("error-before=500", "DeadlineExceeded", 0),
        ("error-before=503", "not a swarm manager", 0),
        ("error-after=500", "DeadlineExceeded", 1),
        ("hang", "no answer in 30 s", 0),
        ("hang-after", "no answer in 30 s", 1),
        ("reset", "connection closed before message completed", 0),
        ("reset-after", "connection closed before message completed", 1),
        ("reset-mid-body", "error reading a body from connection: end of file", 1),
    ] {
        let bench = bench();
        bench.plan(&format!("swarm#1:{fault}"));
        let began = Instant::now();
        let error = bench.create().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient, "{fault}");
        assert!(error.message.contains(message), "{fault}: {error}");
        assert_eq!(bench.created(), created, "{fault}");
        let waited = if fault.starts_with("hang") { 30 } else { 0 };
        assert_eq!(began.elapsed().as_secs(), waited, "{fault}");
        let status = fault.split_once('=').map(|(_, status)| status.parse().unwrap());
        let status = if fault == "reset-mid-body" { Some(200) } else { status };
        assert_eq!(bench.tap.exchanges()[1].status, status, "{fault}");
        bench.create().await.unwrap();
        assert_eq!(bench.created(), created + 1, "{fault}: only one exchange was struck");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_told_and_the_answer_never_comes() {
    for (fault, created) in [("crash-before", 0), ("crash-after", 1)] {
        let bench = bench();
        bench.plan(&format!("swarm#1:{fault}"));
        let dead = tokio_util::sync::CancellationToken::new();
        let die = dead.clone();
        bench.tap.on_crash(Arc::new(move || die.cancel()));
        tokio::select! {
            answer = bench.create() => panic!("{fault}: {answer:?}"),
            () = dead.cancelled() => {}
        }
        assert_eq!(bench.created(), created, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_else_is_quicker_when_a_conflict_is_planned() {
    let bench = bench();
    bench.plan("swarm#1:conflict");
    let counter = Arc::clone(&bench.counter);
    bench.tap.on_conflict(Arc::new(move |request| {
        assert_eq!(request.method(), Method::POST);
        counter.created.store(10, Ordering::SeqCst);
    }));
    assert_eq!(bench.create().await.unwrap(), "id10");
}

#[tokio::test(start_paused = true)]
async fn reads_are_as_old_as_the_plan_allows() {
    let bench = bench();
    bench.plan("swarm#*:stale=20000ms");
    assert_eq!(bench.seen().await, "0");
    bench.create().await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.seen().await, "0", "as it was 5 s ago");
    sleep(Duration::from_secs(14)).await;
    assert_eq!(bench.seen().await, "0", "as it was 19 s ago");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.seen().await, "1", "as it was 16 s ago");
    bench.create().await.unwrap();
    assert_eq!(bench.seen().await, "1");
    bench.tap.heal();
    assert_eq!(bench.seen().await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_delay_and_a_rule() {
    let bench = bench();
    let rule: Rule =
        Arc::new(|exchange| (exchange.path == "/version").then_some(Fault::Delay(Duration::from_secs(7))));
    bench.tap.rule(rule);
    let began = Instant::now();
    bench.create().await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(7));
}

/// The names in the events of ten seconds, a stream that ends being opened again.
async fn heard(fault: &str) -> Vec<String> {
    let bench = bench();
    if !fault.is_empty() {
        bench.plan(&format!("swarm#1..:{fault}"));
    }
    let mut names = Vec::new();
    let end = sleep(Duration::from_millis(6_900));
    tokio::pin!(end);
    loop {
        let mut stream = bench.client.wakeups();
        loop {
            tokio::select! {
                biased;
                () = &mut end => return names,
                wakeup = stream.next() => match wakeup {
                    Some(Ok(Wakeup::Service(name))) => names.push(name),
                    Some(Ok(Wakeup::Connected)) => {}
                    Some(Ok(other)) => panic!("{other:?}"),
                    Some(Err(_)) | None => break,
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_lost_doubled_and_mixed_up() {
    for (fault, expected) in [
        ("", "s0 s1 s2 s3 s4 s5"),
        ("events-off", ""),
        ("events-drop", "s0 s2 s4"),
        ("events-double", "s0 s0 s1 s1 s2 s2 s3 s3 s4 s4 s5 s5"),
        ("events-reorder", "s1 s0 s3 s2 s5 s4"),
        ("events-cut", "s0 s0 s0 s0 s0 s0"),
        ("reset-mid-body", "s0 s0 s0 s0 s0 s0"),
    ] {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(heard(fault).await, expected, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_closed_breaks_its_connections_and_refuses_new_ones() {
    let bench = bench();
    bench.create().await.unwrap();
    bench.plan("swarm#2:hang");
    let hung = {
        let client = bench.client.clone();
        tokio::spawn(async move { client.info().await })
    };
    tokio::task::yield_now().await;
    while bench.tap.count("swarm") < 3 {
        tokio::task::yield_now().await;
    }
    bench.memory.close();
    let error = hung.await.unwrap().unwrap_err();
    assert!(error.message.contains("connection closed"), "{error}");
    let error = bench.client.info().await.unwrap_err();
    assert!(error.message.contains("Connection refused"), "{error}");
    bench.memory.open();
    assert_eq!(bench.seen().await, "1");
    let Bench { memory, client, .. } = bench;
    drop(memory);
    assert!(client.info().await.is_err());
}

#[tokio::test]
async fn sockets_serve_until_they_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker.sock");
    let counter: Arc<dyn Handler> = Arc::new(Counter::default());
    let unix = serve_unix(&path, Arc::clone(&counter)).unwrap();
    let tcp = serve_tcp("127.0.0.1:0", counter).await.unwrap();
    let endpoints = [Endpoint::Unix(path.clone()), Endpoint::Tcp(tcp.address().to_owned())];
    let clients = endpoints.map(|endpoint| Client::new(endpoint, Arc::new(|_, _| {})));
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(client.create_service(json!({}), None).await.unwrap(), format!("id{n}"));
    }
    drop((unix, tcp));
    tokio::task::yield_now().await;
    for client in &clients {
        assert!(client.info().await.is_err());
    }
    assert!(!path.exists());
}

#[tokio::test(start_paused = true)]
async fn connections_are_kept_alive() {
    let bench = bench();
    let stream: Box<dyn Stream> = bench.memory.dialer()().await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::get("/version").body(http_body_util::Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        sender.ready().await.unwrap();
    }
    assert_eq!(bench.tap.count("swarm"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_too_slow_loses_what_comes_in_a_burst() {
    let lines = futures::stream::iter(["a", "b", "c", "d"]).then(|name| async move {
        // `a` and `b` at once, `c` half a second and `d` two seconds later.
        let pause = match name {
            "c" => 500,
            "d" => 1_500,
            _ => 0,
        };
        sleep(Duration::from_millis(pause)).await;
        Ok(Bytes::from(format!("{name}\n")))
    });
    let response = Response::new(streamed(lines.boxed()));
    let heard = super::events::transform(response, EventFault::Overflow).into_body();
    let heard = http_body_util::BodyExt::collect(heard).await.unwrap().to_bytes();
    assert_eq!(heard.as_ref(), b"a\nd\n");
}
