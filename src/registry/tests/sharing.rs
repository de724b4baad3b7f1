use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;

use super::fake::*;
use crate::registry::{RateLimit, Registry as _, RegistryErrorKind as Kind};

#[tokio::test]
async fn a_hundred_callers_cost_one_request() {
    let fake = Fake::start(|_| |_| listing(&["1.0.0"])).await;
    let (client, repository) = (client(options()), fake.repository("a"));
    let all = join_all((0..100).map(|_| client.tags(&repository, Duration::from_secs(1)))).await;
    assert!(all.into_iter().all(|r| r.unwrap().len() == 1));
    assert_eq!(fake.seen().len(), 1);
    client.tags(&repository, Duration::from_secs(60)).await.unwrap();
    assert_eq!(fake.seen().len(), 1);
    skip(Duration::from_secs(61)).await;
    client.tags(&repository, Duration::from_secs(60)).await.unwrap();
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a_failing_registry_is_asked_once_a_burst() {
    let fake = Fake::start(|_| |_| answer(502, &[], "")).await;
    let (client, repository) = (client(options()), fake.repository("a"));
    for _ in 0..10 {
        assert_eq!(client.tags(&repository, Duration::ZERO).await.unwrap_err().kind, Kind::Unavailable);
    }
    assert_eq!(fake.seen().len(), 1);
    skip(Duration::from_secs(3)).await;
    client.tags(&repository, Duration::ZERO).await.unwrap_err();
    assert_eq!(fake.seen().len(), 2);
}

async fn limited(retry_after: &'static str, date: &'static str) {
    let fake = Fake::start(|_| {
        move |seen| match seen.path.as_str() {
            "/v2/limited/tags/list" => answer(429, &[("retry-after", retry_after), ("date", date)], ""),
            _ => listing(&["1.0.0"]),
        }
    })
    .await;
    let other = Fake::start(|_| |_| listing(&["1.0.0"])).await;
    let client = client(options());
    let now = Duration::ZERO;
    let error = client.tags(&fake.repository("limited"), now).await.unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after),
        (Kind::RateLimited, Some(Duration::from_secs(120))),
        "{error}"
    );
    // The whole registry rests, others do not.
    skip(Duration::from_secs(60)).await;
    let error = client.tags(&fake.repository("fine"), now).await.unwrap_err();
    assert_eq!(error.kind, Kind::RateLimited);
    let rest = error.retry_after.unwrap().as_secs();
    assert!((50..=60).contains(&rest), "{rest}");
    assert_eq!(fake.seen().len(), 1);
    client.tags(&other.repository("fine"), now).await.unwrap();
    skip(Duration::from_secs(61)).await;
    client.tags(&fake.repository("fine"), now).await.unwrap();
}

#[tokio::test]
async fn retry_after_in_seconds_is_honoured() {
    limited("120", "Sun, 06 Nov 1994 08:49:37 GMT").await;
}

#[tokio::test]
async fn retry_after_as_a_date_is_honoured() {
    limited("Sun, 06 Nov 1994 08:51:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT").await;
}

#[tokio::test]
async fn at_most_so_many_requests_at_once() {
    let current = Arc::new(Mutex::new((0usize, 0usize)));
    let state = Arc::clone(&current);
    let fake = Fake::start(|_| {
        move |_| {
            let state = Arc::clone(&state);
            {
                let mut now = state.lock().unwrap();
                now.0 += 1;
                now.1 = now.1.max(now.0);
            }
            // The body ends, and the request with it, only after the others had time to come.
            let body = futures::stream::once(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                state.lock().unwrap().0 -= 1;
                Ok::<_, std::io::Error>(r#"{"tags":["1.0.0"]}"#)
            });
            answer(200, &[], axum::body::Body::from_stream(body))
        }
    })
    .await;
    let client = client(options());
    let repositories: Vec<_> = (0..24).map(|n| fake.repository(&format!("a{n}"))).collect();
    let all = join_all(repositories.iter().map(|r| client.tags(r, Duration::ZERO))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(current.lock().unwrap().1, 8);
}

#[tokio::test]
async fn the_observer_is_told_of_each_request() {
    let fake = Fake::start(|_| {
        |seen| match seen.path.as_str() {
            "/v2/a/tags/list" => answer(302, &[("location", "/b")], ""),
            "/b" => listing(&["1.0.0"]),
            _ => answer(404, &[], ""),
        }
    })
    .await;
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&told);
    let mut options = options();
    options.observer = Some(Arc::new(move |registry: &str, code: &str, _| {
        log.lock().unwrap().push(format!("{registry} {code}"))
    }));
    let client = client(options);
    client.tags(&fake.repository("a"), Duration::ZERO).await.unwrap();
    client.tags(&fake.repository("c"), Duration::ZERO).await.unwrap_err();
    let dead = dead_host().await;
    client.tags(&format!("{dead}/a").parse().unwrap(), Duration::ZERO).await.unwrap_err();
    let host = &fake.host;
    let expected =
        [format!("{host} 302"), format!("{host} 200"), format!("{host} 404"), format!("{dead} error")];
    assert_eq!(*told.lock().unwrap(), expected);
}

/// A port that nobody listens on.
async fn dead_host() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_dead_registry_costs_one_try_for_all_repositories() {
    let dead = dead_host().await;
    let count = Arc::new(Mutex::new(0));
    let told = Arc::clone(&count);
    let mut options = options();
    options.limits.parallel = 1;
    options.observer = Some(Arc::new(move |_: &str, _: &str, _| *told.lock().unwrap() += 1));
    let client = client(options);
    for n in 0..20 {
        let error = client.tags(&format!("{dead}/a{n}").parse().unwrap(), Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.message.contains("cannot connect"), "{error}");
    }
    assert_eq!(*count.lock().unwrap(), 1);
}

#[tokio::test]
async fn what_a_registry_says_of_the_allowance_is_kept() {
    let fake = Fake::start(|host| {
        let limited = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")];
        let realm = format!("Bearer realm=\"http://{host}/token\"");
        move |seen| match (seen.path.as_str(), seen.header("authorization")) {
            ("/token", _) => answer(200, &[], r#"{"token":"t"}"#),
            (_, None) => answer(401, &[("www-authenticate", &realm)], ""),
            _ => answer(200, &limited, r#"{"tags":["1.0.0"]}"#),
        }
    })
    .await;
    let told: Arc<Mutex<Vec<u64>>> = Arc::default();
    let log = Arc::clone(&told);
    let mut options = options();
    options.observer = Some(Arc::new(move |_: &str, _: &str, allowance| {
        log.lock().unwrap().extend(allowance.map(|allowance: RateLimit| allowance.remaining));
    }));
    let client = client(options);
    assert_eq!(client.rate_limit(&fake.host), None);
    client.tags(&fake.repository("a"), Duration::ZERO).await.unwrap();
    let kept = client.rate_limit(&fake.host).map(|allowance| (allowance.limit, allowance.remaining));
    assert_eq!((kept, told.lock().unwrap().clone()), (Some((100, 76)), vec![76]));
    assert_eq!(client.rate_limit("another.example.com"), None);
}
