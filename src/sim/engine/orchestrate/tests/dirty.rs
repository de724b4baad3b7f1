use rstest::rstest;
use serde_json::{Value, json};

use super::super::dirty::same;

/// As measured: what replaced a task, and what did not.
#[rstest]
#[case::resources(json!({}), json!({"Resources": {}}), false)]
#[case::limits(json!({"Resources": {}}), json!({"Resources": {"Limits": {}, "Reservations": {}}}), false)]
#[case::restart_policy(json!({}), json!({"RestartPolicy": {}}), false)]
#[case::condition(json!({"RestartPolicy": {}}), json!({"RestartPolicy": {"Condition": "any"}}), true)]
#[case::window(json!({"RestartPolicy": {}}), json!({"RestartPolicy": {"Window": 0}}), false)]
#[case::max_attempts(json!({"RestartPolicy": {}}), json!({"RestartPolicy": {"MaxAttempts": 0}}), true)]
#[case::placement(json!({}), json!({"Placement": {}}), false)]
#[case::log_driver(json!({}), json!({"LogDriver": {}}), false)]
#[case::networks(json!({}), json!({"Networks": []}), true)]
#[case::vip(json!({}), json!({"Mode": "vip"}), true)]
#[case::no_endpoint(json!(null), json!({}), false)]
#[case::as_read_back(
    json!({"ContainerSpec": {"Image": "a"}}),
    json!({"ContainerSpec": {"Image": "a", "Isolation": "default"}, "ForceUpdate": 0, "Runtime": "container"}),
    true)]
#[case::order_of_keys(json!({"A": 1, "B": 2}), json!({"B": 2, "A": 1}), true)]
#[case::order_of_items(json!({"Env": ["a", "b"]}), json!({"Env": ["b", "a"]}), false)]
#[case::labels(json!({}), json!({"Labels": {}}), true)]
#[case::a_label_that_looks_like_a_default(json!({}), json!({"Labels": {"Mode": "vip"}}), false)]
#[case::an_empty_label(json!({}), json!({"Labels": {"a": ""}}), false)]
fn is_the_same(#[case] left: Value, #[case] right: Value, #[case] expected: bool) {
    assert_eq!(same(&left, &right), expected);
    assert_eq!(same(&right, &left), expected);
}
