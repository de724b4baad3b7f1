use futures::StreamExt;

use super::*;

/// The next event of a stream: what happened, to what, and its attributes.
async fn next(body: &mut http_body_util::BodyDataStream<crate::sim::Body>) -> Option<(String, Value)> {
    let line = body.next().await?.ok()?;
    let event: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(event["scope"], "swarm");
    let word = |name: &str| event[name].as_str().unwrap().to_owned();
    Some((format!("{} {}", word("Type"), word("Action")), event["Actor"]["Attributes"].clone()))
}

async fn stream(engine: &Engine, query: &str) -> http_body_util::BodyDataStream<crate::sim::Body> {
    let response = send(engine, "GET", &format!("/v1.41/events{query}"), "").await;
    assert_eq!(response.status(), 200);
    response.into_body().into_data_stream()
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_told_from_its_start_to_its_end() {
    let engine = engine();
    let mut events = stream(&engine, "?filters={\"type\":[\"service\"]}").await;
    create(&engine, spec("web", "r:5000/web:1", 1)).await;
    assert_eq!(next(&mut events).await.unwrap(), ("service create".to_owned(), json!({"name": "web"})));
    pass(5).await;
    update(&engine, "web", "", spec("web", "r:5000/web:2", 2)).await;
    let attributes = next(&mut events).await.unwrap().1;
    assert_eq!(attributes["image.old"], "r:5000/web:1");
    assert_eq!(attributes["image.new"], "r:5000/web:2");
    assert_eq!((&attributes["replicas.old"], &attributes["replicas.new"]), (&json!("1"), &json!("2")));
    assert_eq!(next(&mut events).await.unwrap().1["updatestate.new"], "updating");
    assert_eq!(next(&mut events).await.unwrap().1["updatestate.new"], "completed");
    call(&engine, "DELETE", "/v1.41/services/web", Value::Null).await;
    assert_eq!(next(&mut events).await.unwrap().0, "service remove");
}

#[tokio::test(start_paused = true)]
async fn past_events_are_kept_within_bounds_and_filtered() {
    let engine = engine();
    for at in 0..300 {
        create(&engine, spec(&format!("s{at}"), "nowhere:1", 0)).await;
    }
    let until = engine.now().as_second() + 1;
    pass(5).await;
    let count = async |filters: &str| {
        stream(&engine, &format!("?since=0&until={until}{filters}")).await.count().await
    };
    assert_eq!(count("").await, 256);
    assert_eq!(count("&filters={\"service\":[\"s29\"]}").await, 10);
    assert_eq!(count("&filters={\"event\":[\"remove\"]}").await, 0);
    assert_eq!(count("&filters={\"type\":[\"node\"]}").await, 0);
    assert_eq!(count("&filters={\"scope\":[\"local\"]}").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_listener_misses_events_and_goes_on() {
    let engine = engine();
    let mut events = stream(&engine, "").await;
    for at in 0..5 {
        create(&engine, spec(&format!("s{at}"), "nowhere:1", 0)).await;
    }
    for name in ["s0", "s1", "s2"] {
        assert_eq!(next(&mut events).await.unwrap().1["name"], name);
    }
    create(&engine, spec("later", "nowhere:1", 0)).await;
    assert_eq!(next(&mut events).await.unwrap().1["name"], "later");
}

#[tokio::test(start_paused = true)]
async fn a_restart_breaks_streams_off_and_keeps_the_swarm() {
    let engine = engine();
    let mut events = stream(&engine, "").await;
    create(&engine, spec("web", "nowhere:1", 0)).await;
    engine.restart();
    assert!(events.next().await.unwrap().is_ok());
    assert!(events.next().await.unwrap().is_err());
    assert_eq!(get(&engine, "/v1.41/services/web").await["Spec"]["Name"], "web");
    let until = engine.now().as_second() + 1;
    pass(5).await;
    assert_eq!(stream(&engine, &format!("?since=0&until={until}")).await.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_time() {
    let engine = engine();
    let until = engine.now().as_second() + 10;
    let before = engine.now();
    assert_eq!(stream(&engine, &format!("?until={until}")).await.count().await, 0);
    assert!(engine.now().duration_since(before).as_secs() >= 10);
}
