//! The floor: the same requests by a client that does nothing else, as a process of its own in
//! the same network. It sends them by so many workers, each with connections that stay open.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, UnixStream};

/// Names the file with the `Orders`; with it, the benchmark's program is the bare client.
pub const VARIABLE: &str = "SKEP_BENCH_BARE";

#[derive(Serialize, Deserialize)]
pub struct Orders {
    pub engine: PathBuf,
    pub registry: String,
    pub workers: usize,
    pub requests: Vec<Order>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    pub to: To,
    pub method: String,
    pub path: String,
    pub body: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum To {
    Engine,
    Registry,
}

impl Order {
    pub fn get(to: To, path: impl Into<String>) -> Self {
        Self { to, method: "GET".to_owned(), path: path.into(), body: String::new() }
    }
}

/// Sends all requests; prints the seconds from the first to the last answer.
pub fn main(file: &std::ffi::OsStr) -> std::process::ExitCode {
    let orders: Orders = serde_json::from_slice(&std::fs::read(file).expect("orders")).expect("orders");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let begun = Instant::now();
    runtime.block_on(send_all(Arc::new(orders)));
    super::say(&format!("{}\n", begun.elapsed().as_secs_f64()));
    std::process::ExitCode::SUCCESS
}

async fn send_all(orders: Arc<Orders>) {
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> =
        (0..orders.workers).map(|_| tokio::spawn(work(Arc::clone(&orders), Arc::clone(&next)))).collect();
    for worker in workers {
        worker.await.expect("a worker does not panic");
    }
}

async fn work(orders: Arc<Orders>, next: Arc<AtomicUsize>) {
    let (mut engine, mut registry) = (None, None);
    while let Some(order) = orders.requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        let connection = match order.to {
            To::Engine => &mut engine,
            To::Registry => &mut registry,
        };
        if connection.is_none() {
            *connection = Some(connect(&orders, order.to).await);
        }
        let Some(connection) = connection else { continue };
        let media = if order.method == "HEAD" {
            "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        } else {
            "*/*"
        };
        let request = Request::builder()
            .method(order.method.as_str())
            .uri(order.path.as_str())
            .header("Host", "bench")
            .header("Accept", media)
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(order.body.clone())))
            .expect("a request");
        let answer = connection.send_request(request).await.expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert!(status.is_success(), "{} {}: {status} {body:?}", order.method, order.path);
    }
}

async fn connect(orders: &Orders, to: To) -> SendRequest<Full<Bytes>> {
    match to {
        To::Engine => {
            let stream = UnixStream::connect(&orders.engine).await.expect("the engine listens");
            let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
            tokio::spawn(connection);
            sender
        }
        To::Registry => {
            let stream = TcpStream::connect(&orders.registry).await.expect("the registry listens");
            stream.set_nodelay(true).expect("TCP");
            let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
            tokio::spawn(connection);
            sender
        }
    }
}
