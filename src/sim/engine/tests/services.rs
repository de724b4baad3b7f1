use super::*;

#[tokio::test(start_paused = true)]
async fn a_service_is_created_shown_updated_and_removed() {
    let engine = engine();
    let id = create(&engine, spec("m1", "nowhere:1", 0)).await;
    assert_eq!(id.len(), 25);
    let shown = get(&engine, "/v1.41/services/m1").await;
    assert_eq!(shown["Endpoint"], json!({"Spec": {}}));
    let index = shown["Version"]["Index"].as_u64().unwrap();
    let path = format!("/v1.41/services/{}/update?version={index}", &id[..8]);
    let mut changed = spec("m1", "nowhere:1", 0);
    changed["Labels"] = json!({"a": "b"});
    assert_eq!(call(&engine, "POST", &path, changed.clone()).await, (200, json!({"Warnings": null})));
    let (status, refused) = call(&engine, "POST", &path, changed).await;
    let message = "rpc error: code = Unknown desc = update out of sequence";
    assert_eq!((status, refused), (500, json!({ "message": message })));
    let after = get(&engine, "/services").await;
    assert_eq!(after[0]["PreviousSpec"], shown["Spec"]);
    assert_eq!(after[0]["Spec"]["Labels"], json!({"a": "b"}));
    assert!(after[0]["Version"]["Index"].as_u64().unwrap() > index);
    assert_eq!(call(&engine, "DELETE", "/v1.41/services/m1", Value::Null).await, (200, json!("")));
    assert_eq!(call(&engine, "DELETE", "/v1.41/services/m1", Value::Null).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn tasks_come_to_run_and_are_listed_by_filters() {
    let engine = engine();
    let id = create(&engine, spec("web", "r:5000/web:1", 3)).await;
    pass(10).await;
    let tasks = get(&engine, "/v1.41/tasks?filters={\"service\":[\"web\"]}").await;
    let tasks = tasks.as_array().unwrap();
    assert_eq!(tasks.len(), 3);
    for task in tasks {
        assert_eq!((&task["Status"]["State"], &task["ServiceID"]), (&json!("running"), &json!(id)));
        assert_eq!(task["Spec"].get("Runtime"), None);
        assert_eq!(task["Status"]["ContainerStatus"]["ContainerID"].as_str().unwrap().len(), 64);
        let path = format!("/v1.41/tasks/web.{}.{}", task["Slot"], task["ID"].as_str().unwrap());
        assert_eq!(&get(&engine, &path).await, task);
    }
    let count = async |filter: &str| {
        get(&engine, &format!("/v1.41/tasks?filters={filter}")).await.as_array().unwrap().len()
    };
    assert_eq!(count("{\"node\":[\"n0\"]}").await, 1);
    assert_eq!(count("{\"name\":[\"web.2\"]}").await, 1);
    assert_eq!(count("{\"desired-state\":[\"RUNNING\"]}").await, 3);
    assert_eq!(count("{\"desired-state\":[\"shutdown\"]}").await, 0);
    assert_eq!(count("{\"label\":[\"a\"]}").await, 0);
    let status = get(&engine, "/v1.41/services?status=true").await;
    assert_eq!(
        status[0]["ServiceStatus"],
        json!({"RunningTasks": 3, "DesiredTasks": 3, "CompletedTasks": 0})
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_rolls_and_a_rollback_returns() {
    let engine = engine();
    create(&engine, spec("web", "r:5000/web:1", 2)).await;
    pass(10).await;
    assert_eq!(update(&engine, "web", "", spec("web", "r:5000/web:2", 2)).await.0, 200);
    assert_eq!(get(&engine, "/v1.41/services/web").await.get("UpdateStatus"), None);
    pass(60).await;
    let rolled = get(&engine, "/v1.41/services/web").await;
    assert_eq!(rolled["UpdateStatus"]["State"], "completed");
    assert_eq!(rolled["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"], "r:5000/web:1");
    assert_eq!(update(&engine, "web", "&rollback=previous", spec("web", "r:5000/web:2", 2)).await.0, 200);
    let status = get(&engine, "/v1.41/services/web").await["UpdateStatus"].clone();
    assert_eq!(
        (&status["State"], &status["Message"]),
        (&json!("rollback_started"), &json!("manually requested rollback"))
    );
    pass(60).await;
    let back = get(&engine, "/v1.41/services/web").await;
    assert_eq!(back["UpdateStatus"]["State"], "rollback_completed");
    assert_eq!(back["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"], "r:5000/web:1");
    assert_eq!(back["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"], "r:5000/web:2");
}

#[tokio::test(start_paused = true)]
async fn ports_and_networks_are_given_by_a_change_of_their_own() {
    let engine = engine();
    let (status, network) =
        call(&engine, "POST", "/v1.41/networks/create", json!({"Name": "net", "Driver": "overlay"})).await;
    assert_eq!((status, &network["Warning"]), (201, &json!("")));
    let mut wanted = spec("web", "nowhere:1", 0);
    wanted["TaskTemplate"]["Networks"] = json!([{"Target": "net"}]);
    wanted["EndpointSpec"] =
        json!({"Ports": [{"TargetPort": 80}, {"TargetPort": 81, "PublishedPort": 8081}]});
    create(&engine, wanted).await;
    let shown = get(&engine, "/v1.41/services/web").await;
    assert_eq!(shown["Spec"]["TaskTemplate"]["Networks"], json!([{"Target": network["Id"]}]));
    assert_eq!(shown["Endpoint"]["Ports"][0]["PublishedPort"], 30_000);
    assert_eq!(shown["Endpoint"]["VirtualIPs"][1]["Addr"], "10.0.1.2/24");
    // The ingress network's first address is the gateway's.
    assert_eq!(shown["Endpoint"]["VirtualIPs"][0]["Addr"], "10.0.0.2/24");
    assert_eq!(update(&engine, "web", "", spec("web", "nowhere:1", 0)).await.0, 200);
    assert_eq!(get(&engine, "/v1.41/services/web").await["Endpoint"], json!({"Spec": {}}));
    assert_eq!(call(&engine, "DELETE", "/v1.41/networks/net", Value::Null).await.0, 204);
}

#[tokio::test(start_paused = true)]
async fn credentials_are_kept_as_the_engine_keeps_them() {
    let engine = engine();
    let request = |path: String, auth: Option<&str>| {
        let mut request = http::Request::builder().method("POST").uri(path);
        if let Some(auth) = auth {
            request = request.header("X-Registry-Auth", auth);
        }
        request.body(Bytes::from(spec("web", "nowhere:1", 0).to_string())).unwrap()
    };
    let auths = |engine: &Engine| {
        engine.with(|state| {
            let service = state.find_service("web").unwrap();
            (service.auth.clone(), service.previous_auth.clone(), service.object.index)
        })
    };
    engine.handle(request("/services/create".to_owned(), Some("one"))).await;
    for (query, auth, now, before) in [
        ("", Some("two"), "two", "one"),
        ("", None, "two", "two"),
        ("", Some("bad"), "bad", "two"),
        ("&registryAuthFrom=previous-spec", None, "two", "bad"),
    ] {
        let path = format!("/services/web/update?version={}{query}", auths(&engine).2);
        assert_eq!(engine.handle(request(path, auth)).await.status(), 200);
        let found = auths(&engine);
        assert_eq!((found.0.as_deref(), found.1.as_deref()), (Some(now), Some(before)), "{query} {auth:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn logs_are_framed() {
    let engine = engine();
    create(&engine, spec("web", "r:5000/web:1", 1)).await;
    pass(10).await;
    let response = send(&engine, "GET", "/v1.41/services/web/logs?stdout=1", "").await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&bytes[..], b"\x01\0\0\0\0\0\0\x15r:5000/web:1 is here\n");
}

#[tokio::test(start_paused = true)]
async fn nodes_are_drained_lost_and_found() {
    let engine = engine();
    create(&engine, spec("web", "r:5000/web:1", 3)).await;
    pass(10).await;
    engine.set_node_availability("n1", "drain");
    engine.set_node_reachable("n2", false);
    pass(60).await;
    let nodes = get(&engine, "/v1.41/nodes").await;
    let of = |name: &str| {
        let nodes = nodes.as_array().unwrap().iter();
        nodes.clone().find(|node| node["Description"]["Hostname"] == name).cloned().unwrap()
    };
    assert_eq!(of("n1")["Spec"]["Availability"], "drain");
    assert_eq!(
        (&of("n2")["Status"]["State"], &of("n0")["ManagerStatus"]["Leader"]),
        (&json!("down"), &json!(true))
    );
    let here = get(&engine, "/v1.41/tasks?filters={\"node\":[\"n0\"],\"desired-state\":[\"running\"]}").await;
    assert_eq!(here.as_array().unwrap().len(), 3);
    engine.set_node_reachable("n2", true);
    pass(60).await;
    assert_eq!(get(&engine, "/v1.41/nodes/n2").await["Status"]["State"], "ready");
}

/// What Docker 20.10.24 showed after each of these updates.
#[tokio::test(start_paused = true)]
async fn an_endpoint_changes_when_it_lacks_something() {
    let engine = engine();
    let body = json!({"Name": "net", "Driver": "overlay"});
    let (_, made) = call(&engine, "POST", "/v1.41/networks/create", body).await;
    let bare = spec("ev1", "nowhere:1", 0);
    create(&engine, bare.clone()).await;
    let with = |networks: bool, endpoint: Value| {
        let mut spec = bare.clone();
        if networks {
            spec["TaskTemplate"]["Networks"] = json!([{"Target": "net"}]);
        }
        if !endpoint.is_null() {
            spec["EndpointSpec"] = endpoint;
        }
        spec
    };
    let (none, vip, robin) = (Value::Null, json!({"Mode": "vip"}), json!({"Mode": "dnsrr"}));
    let port = |mode: &str| json!({"Ports": [{"TargetPort": 1, "PublishMode": mode}]});
    let address = json!([{"NetworkID": made["Id"], "Addr": "10.0.1.2/24"}]);
    let on_network = json!({"Spec": {"Mode": "vip"}, "VirtualIPs": address});
    let steps = [
        (with(false, vip.clone()), json!({"Spec": {}}), 1),
        (with(false, robin.clone()), json!({"Spec": {}}), 1),
        (with(true, robin), json!({"Spec": {}}), 1),
        (with(true, vip.clone()), on_network.clone(), 2),
        (with(true, none.clone()), on_network, 1),
        (with(false, none.clone()), json!({"Spec": {}}), 2),
        (
            with(false, port("host")),
            json!({
                "Spec": {"Mode": "vip", "Ports": [{"Protocol": "tcp", "TargetPort": 1, "PublishMode": "host"}]},
                "Ports": [{"Protocol": "tcp", "TargetPort": 1, "PublishMode": "host"}],
            }),
            2,
        ),
        (with(false, vip), json!({"Spec": {"Mode": "vip"}}), 2),
        (with(false, none), json!({"Spec": {"Mode": "vip"}}), 1),
    ];
    for (spec, endpoint, changes) in steps {
        let index = engine.with(|state| state.index);
        assert_eq!(update(&engine, "ev1", "", spec.clone()).await.0, 200);
        assert_eq!(get(&engine, "/services/ev1").await["Endpoint"], endpoint, "{spec}");
        assert_eq!(engine.with(|state| state.index) - index, changes, "{spec}");
    }
}
