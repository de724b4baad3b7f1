//! What is dialed in memory fails as what goes over the network does.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderValue, header};

use super::fake::limits;
use crate::dial::Dial;
use crate::registry::{Client, Limits, Options, Registry as _, RegistryError};
use crate::sim::handler::{Handler, Request, Response, full};
use crate::sim::registry::{ImageSpec, Misbehaviour, Registry};
use crate::sim::wire::{Hosts, Memory, Tap, serve_tcp};

/// Tags and a digest of one repository, or the error, without what differs by where it is.
async fn look(client: &Client, address: &str) -> (String, String) {
    let repository = format!("{address}/shop/web").parse().unwrap();
    let tags = client.tags(&repository, Duration::ZERO).await;
    let digest = client.digest(&repository, "1.0.0", Duration::ZERO).await;
    let text = |shown: String| shown.replace(address, "HOST").replace(" (os error 111)", "");
    // How long is still to wait is another matter a moment later.
    let told = |error: RegistryError| (error.kind, error.message);
    (text(format!("{:?}", tags.map_err(told))), text(format!("{:?}", digest.map_err(told))))
}

fn small(limits: &mut Limits) {
    (limits.idle, limits.request) = (Duration::from_millis(300), Duration::from_secs(5));
    (limits.error_ttl, limits.tags_bytes) = (Duration::ZERO, 200);
}

fn options(dial: Option<Dial>) -> Options {
    Options { dial, ..limits(small) }
}

/// Answers everything with a redirect to a registry elsewhere.
struct Redirect(String);

impl Handler for Redirect {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let location = format!("http://{}{}", self.0, request.uri());
        let mut response = Response::new(full(""));
        *response.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(&location).unwrap());
        async move { response }.boxed()
    }
}

#[tokio::test]
async fn answers_and_failures_are_the_same_in_memory() {
    let registry = Registry::new(crate::sim::registry::Options::default());
    registry.push("shop/web", "1.0.0", &ImageSpec::default()).unwrap();
    for (plan, fault) in [
        (None, None),
        (Some("registry#*:reset"), None),
        (Some("registry#*:reset-after"), None),
        (Some("registry#*:reset-mid-body"), None),
        (Some("registry#*:hang"), None),
        (Some("registry#*:error-before=503"), None),
        (Some("registry#*:error-after=500"), None),
        (None, Some(Misbehaviour::RateLimited { retry_after: Some(9) })),
        (None, Some(Misbehaviour::SlowDrip(Duration::from_secs(9)))),
        (None, Some(Misbehaviour::CutList)),
    ] {
        let wire = || {
            let tap = Tap::default();
            plan.into_iter().for_each(|plan: &str| tap.plan(plan.parse().unwrap()));
            Arc::new(tap.wire("registry", Arc::new(registry.clone()))) as Arc<dyn Handler>
        };
        registry.set_fault(fault.clone());
        let tcp = serve_tcp("127.0.0.1:0", wire()).await.unwrap();
        let memory = Memory::new(wire());
        let hosts = Hosts::default();
        hosts.insert(tcp.address(), memory.dialer());
        let network = Client::new(&Default::default(), options(None));
        let dialed = Client::new(&Default::default(), options(Some(hosts.dial())));
        let (by_network, by_memory) =
            tokio::join!(look(&network, tcp.address()), look(&dialed, tcp.address()));
        assert_eq!(by_network, by_memory, "{plan:?} {fault:?}");
        let fails = plan.is_some() || fault.is_some();
        assert_eq!(by_memory.0.starts_with("Err("), fails, "{plan:?} {fault:?}: {by_memory:?}");
    }
}

#[tokio::test]
async fn a_long_list_a_redirect_and_a_closed_door_are_the_same_in_memory() {
    let registry = Registry::new(crate::sim::registry::Options::default());
    for n in 0..30 {
        registry.push("shop/web", &format!("1.{n}.0"), &ImageSpec::default()).unwrap();
    }
    let long = serve_tcp("127.0.0.1:0", Arc::new(registry.clone())).await.unwrap();
    let redirect: Arc<dyn Handler> = Arc::new(Redirect(long.address().to_owned()));
    let elsewhere = serve_tcp("127.0.0.1:0", Arc::clone(&redirect)).await.unwrap();
    let hosts = Hosts::default();
    let (long_memory, elsewhere_memory) = (Memory::new(Arc::new(registry)), Memory::new(redirect));
    hosts.insert(long.address(), long_memory.dialer());
    hosts.insert(elsewhere.address(), elsewhere_memory.dialer());
    let closed = serve_tcp("127.0.0.1:0", Arc::new(Redirect(String::new()))).await.unwrap();
    let closed_address = closed.address().to_owned();
    drop(closed);
    let closed_memory = Memory::new(Arc::new(Redirect(String::new())));
    hosts.insert(&closed_address, closed_memory.dialer());
    closed_memory.close();
    for (address, expected) in [
        (long.address(), "Truncated"),
        (elsewhere.address(), "Truncated"),
        (closed_address.as_str(), "cannot connect"),
    ] {
        let network = Client::new(&Default::default(), options(None));
        let dialed = Client::new(&Default::default(), options(Some(hosts.dial())));
        let (by_network, by_memory) = (look(&network, address).await, look(&dialed, address).await);
        assert_eq!(by_network, by_memory);
        assert!(by_memory.0.contains(expected), "{by_memory:?}");
    }
}
