use serde_json::json;

use super::*;

fn service(name: &str, id: &str) -> Value {
    let template = json!({"ContainerSpec": {"Image": "x"}});
    json!({"ID": id, "Version": {"Index": 7}, "Spec": {"Name": name, "TaskTemplate": template}})
}

fn texts(list: &Value) -> Texts {
    list.as_array().unwrap().iter().map(|element| element.to_string().into_bytes().into()).collect()
}

/// Of two customers, the name of one of which begins the other's.
fn look(scope: Scope) -> Look {
    let task = json!({"ID": "t1", "ServiceID": "s1", "Spec": {"ContainerSpec": {"Image": "x"}}});
    let services = json!([
        service("acme_web", "s1"),
        service("acme-eu_web", "s2"),
        service("acmeother", "s3"),
        {"ID": "s4", "Spec": {"Name": "acme_db"}},
        3,
    ]);
    let answers = Answers {
        services: texts(&services),
        tasks: [texts(&json!([task, {"ID": "t2", "ServiceID": "s2"}, {}])), texts(&json!([task]))],
        nodes: texts(&json!([{"ID": "n1", "Status": {"State": "ready"}}])),
        networks: [
            texts(&json!([{"Id": "w1", "Name": "acme_default"}])),
            texts(&json!([{"Id": "w2", "Name": "x"}])),
        ],
        ..Answers::default()
    };
    Look::read(scope, answers).unwrap()
}

#[test]
fn a_customer_has_what_bears_its_name() {
    let look = look(Scope::Whole);
    let acme = look.of("acme").unwrap();
    assert_eq!(
        acme.services.keys().collect::<Vec<_>>(),
        ["acme_web"],
        "what has no version index is left out"
    );
    assert_eq!(acme.services["acme_web"].tasks.len(), 1, "told twice, it is one");
    assert!(acme.services["acme_web"].tasks[0].current);
    assert_eq!(look.of("acme-eu").unwrap().services.keys().collect::<Vec<_>>(), ["acme-eu_web"]);
    assert_eq!(look.of("acme-eu").unwrap().services["acme-eu_web"].tasks[0].id, "t2");
    assert!(look.of("acm").unwrap().services.is_empty() && look.of("acme_").unwrap().services.is_empty());
    assert_eq!(acme.networks.keys().collect::<Vec<_>>(), ["acme_default", "x"]);
    assert_eq!(look.whole().unwrap().services.len(), 3);
}

#[test]
fn a_look_at_one_customer_says_nothing_of_others() {
    let look = look(Scope::Customer { name: "acme".into(), networks: Vec::new(), blobs: Vec::new() });
    assert_eq!(look.of("acme").unwrap().services.len(), 1);
    assert!(look.of("acme-eu").is_err() && look.whole().is_err());
}

#[test]
fn a_service_that_cannot_be_read_is_not_taken_for_missing() {
    let mut service = br#"{"ID": "s1", "Spec": {"Name": "a_web", "x": ""#.to_vec();
    service.extend([0xff, 0xfe]);
    service.extend(br#""}}"#);
    let services = vec![service.into()];
    let look = Look::read(Scope::Whole, Answers { services, ..Answers::default() }).unwrap();
    assert!(look.of("a").is_err() && look.whole().is_err());
    assert!(look.of("b").unwrap().services.is_empty());
}

#[test]
fn names_and_ids_may_be_escaped() {
    let services: Texts = vec![
        br#"{"ID": "s\u0031", "Version": {"Index": 7}, "Spec": {"Name": "\u0061_web", "TaskTemplate": {}}}"#
            .as_slice()
            .into(),
    ];
    let tasks = vec![br#"{"ID": "t1", "ServiceID": "\u00731"}"#.as_slice().into()];
    let answers = Answers { services, tasks: [tasks, Vec::new()], ..Answers::default() };
    let look = Look::read(Scope::Whole, answers).unwrap();
    assert_eq!(look.of("a").unwrap().services["a_web"].tasks.len(), 1);
}

#[test]
fn secrets_and_configs_are_seen_without_their_content() {
    let blobs = json!([
        {"ID": "b1", "CreatedAt": "2026-11-23T10:00:00Z", "Spec": {"Name": "a_key", "Data": "c2VjcmV0", "Labels": {"skep.customer": "a"}}},
        {"ID": "b2"},
    ]);
    let answers = Answers { secrets: texts(&blobs), configs: texts(&blobs), ..Answers::default() };
    let state = Look::read(Scope::Whole, answers).unwrap().whole().unwrap();
    assert_eq!(state.secrets, state.configs);
    assert_eq!(state.secrets.keys().collect::<Vec<_>>(), ["a_key"]);
    assert_eq!(state.secrets["a_key"].labels["skep.customer"], "a");
    assert!(state.secrets["a_key"].created_at.is_some() && !format!("{state:?}").contains("c2VjcmV0"));
}

#[test]
fn text_and_values_give_the_same() {
    let services = json!([service("a_web", "s1"), {"ID": "s2", "Spec": {"Name": "without an index"}}, 3]);
    let task = json!({"ID": "t1", "ServiceID": "s1", "Spec": {"ContainerSpec": {"Image": "x"}}});
    let tasks = json!([task, {"ID": "t2", "ServiceID": "another"}]);
    let nodes = json!([{"ID": "n1", "Status": {"State": "ready"}}]);
    let networks = json!([{"Id": "w1", "Name": "a_default", "Labels": {"k": "v"}}]);
    let answers = Answers {
        services: texts(&services),
        tasks: [texts(&tasks), texts(&json!([task]))],
        nodes: texts(&nodes),
        networks: [texts(&networks), Vec::new()],
        ..Answers::default()
    };
    let of_text = Look::read(Scope::Whole, answers).unwrap().whole().unwrap();
    let of_values = convert::snapshot(services, [tasks, json!([task])], &nodes, &networks);
    assert_eq!((of_values.services["a_web"].tasks.len(), of_values.services.len()), (1, 1));
    assert_eq!(of_text, of_values);
}
