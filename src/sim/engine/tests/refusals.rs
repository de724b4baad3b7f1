//! Refusals word for word, as Docker 20.10.24 gave them to the same requests.

use super::*;

async fn refused(engine: &Engine, method: &str, path: &str, body: &str) -> (u16, String) {
    let response = send(engine, method, path, body).await;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    (
        status,
        value["message"].as_str().map_or_else(|| String::from_utf8_lossy(&bytes).into_owned(), str::to_owned),
    )
}

#[tokio::test(start_paused = true)]
async fn paths_and_versions() {
    let engine = engine();
    let too_new = "client version 1.99 is too new. Maximum supported API version is 1.41";
    let cases = [
        ("GET", "/v1.99/services", 400, too_new),
        (
            "GET",
            "/v1.5/services",
            400,
            "client version 1.5 is too old. Minimum supported API version is 1.12, please upgrade your client to a newer version\n",
        ),
        ("GET", "/v1.41/nothing", 404, "page not found"),
        ("PUT", "/v1.41/services", 404, "page not found"),
        ("GET", "/v1.41/services/", 404, "page not found"),
        ("GET", "/v1.41/services/nope", 404, "service nope not found"),
        ("DELETE", "/services/nope", 404, "service nope not found"),
        ("GET", "/v1.41/networks/nope", 404, "network nope not found"),
        ("GET", "/v1.41/nodes/nope", 404, "node nope not found"),
        ("GET", "/v1.41/tasks/nope", 404, "task nope not found"),
        ("GET", "/v1.41/configs/nope", 404, "config nope not found"),
        ("GET", "/v1.41/services?filters={\"foo\":[\"a\"]}", 400, "Invalid filter 'foo'"),
        ("GET", "/v1.41/services?filters=xx", 400, "invalid character 'x' looking for beginning of value"),
        ("GET", "/v1.41/tasks?filters={\"service\":[\"nope\"]}", 404, "service nope not found"),
        (
            "GET",
            "/v1.41/tasks?filters={\"desired-state\":[\"foo\"]}",
            500,
            "Invalid desired-state filter: 'foo'",
        ),
        ("GET", "/v1.41/nodes?filters={\"role\":[\"x\"]}", 500, "Invalid role filter: 'x'"),
        ("GET", "/v1.41/networks?filters={\"type\":[\"x\"]}", 500, "invalid filter: 'type'='x'"),
        ("GET", "/v1.41/events?since=x", 500, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("GET", "/v1.41/distribution/r:5000/none:1/json", 404, "manifest unknown: manifest unknown"),
        (
            "GET",
            "/v1.41/distribution/BAD/json",
            400,
            "invalid reference format: repository name must be lowercase",
        ),
        ("DELETE", "/v1.41/networks/bridge", 403, "bridge is a pre-defined network and cannot be removed"),
    ];
    for (method, path, status, message) in cases {
        assert_eq!(refused(&engine, method, path, "").await, (status, message.to_owned()), "{method} {path}");
    }
}

/// Bodies of `/services/create`; the name and a good image are put before them.
const CREATE: &[(&str, u16, &str)] = &[
    (r#"{"Name":"m 1",IMAGE}"#, 400, "GRPC InvalidArgument name must be valid as a DNS name component"),
    (
        r#"{"Name":"m","TaskTemplate":{"ContainerSpec":{}}}"#,
        400,
        "GRPC InvalidArgument ContainerSpec: image reference must be provided",
    ),
    (
        r#"{"Name":"m","TaskTemplate":{"ContainerSpec":{"Image":"BAD:::"}}}"#,
        400,
        "GRPC InvalidArgument ContainerSpec: \"BAD:::\" is not a valid repository/tag",
    ),
    (r#"{"Name":"m"}"#, 400, "mismatched Runtime and *Spec fields"),
    ("null", 400, "mismatched Runtime and *Spec fields"),
    ("", 400, "got EOF while reading request body"),
    (r#"{"Name":"#, 400, "unexpected EOF"),
    ("[]", 400, "json: cannot unmarshal array into Go value of type swarm.ServiceSpec"),
    (
        r#"{"Name":5}"#,
        400,
        "json: cannot unmarshal number into Go struct field ServiceSpec.Name of type string",
    ),
    (
        r#"{"Mode":{"Replicated":{"Replicas":"x"}},IMAGE}"#,
        400,
        "json: cannot unmarshal string into Go struct field ReplicatedService.Mode.Replicated.Replicas of type uint64",
    ),
    (
        r#"{"TaskTemplate":{"ContainerSpec":{"Labels":{"a":1}}}}"#,
        400,
        "json: cannot unmarshal number into Go struct field ContainerSpec.TaskTemplate.ContainerSpec.Labels of type string",
    ),
    (
        r#"{"TaskTemplate":{"ContainerSpec":{"Image":"a"},"Networks":[{"Target":"nonet"}]}}"#,
        500,
        "network nonet not found",
    ),
    (
        r#"{"TaskTemplate":{"ContainerSpec":{"Image":"a"},"Networks":[{"Target":"ingress"}]}}"#,
        400,
        "GRPC InvalidArgument Service cannot be explicitly attached to the ingress network \"ingress\"",
    ),
    (
        r#"{"TaskTemplate":{"ContainerSpec":{"Image":"a","Secrets":[{"SecretID":"x","SecretName":"abc","File":{"Name":"x"}}]}}}"#,
        400,
        "GRPC InvalidArgument secret not found: abc",
    ),
    (
        r#"{IMAGE,"EndpointSpec":{"Mode":"dnsrr","Ports":[{"TargetPort":80,"PublishedPort":9999}]}}"#,
        400,
        "GRPC InvalidArgument EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
    ),
    (
        r#"{IMAGE,"EndpointSpec":{"Ports":[{"TargetPort":1,"PublishedPort":9},{"TargetPort":2,"PublishedPort":9}]}}"#,
        400,
        "GRPC InvalidArgument EndpointSpec: duplicate published ports provided",
    ),
    (
        r#"{IMAGE,"Mode":{"GlobalJob":{}},"UpdateConfig":{}}"#,
        400,
        "GRPC InvalidArgument Jobs may not have an update config",
    ),
    (
        r#"{IMAGE,"UpdateConfig":{"MaxFailureRatio":2}}"#,
        400,
        "GRPC InvalidArgument TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
    ),
    (
        r#"{"TaskTemplate":{"ContainerSpec":{"Image":"a"},"Placement":{"Constraints":["bad"]}}}"#,
        500,
        "GRPC Unknown constraint expected one operator from ==, !=",
    ),
    (
        r#"{"TaskTemplate":{"ContainerSpec":{"Image":"a"},"Resources":{"Limits":{"NanoCPUs":5}}}}"#,
        400,
        "GRPC InvalidArgument invalid cpu value 5e-09: Must be at least 0.001",
    ),
    (
        r#"{"TaskTemplate":{"ContainerSpec":{"Image":"a"},"RestartPolicy":{"Delay":-1}}}"#,
        400,
        "GRPC InvalidArgument TaskSpec: restart-delay cannot be negative",
    ),
    (
        r#"{"TaskTemplate":{"ContainerSpec":{"Image":"a","Mounts":[{"Target":"/a"},{"Target":"/a"}]}}}"#,
        400,
        "GRPC InvalidArgument ContainerSpec: duplicate mount point: /a",
    ),
];

/// `GRPC Code text` → as the manager says it.
fn spelled(message: &str) -> String {
    let parts = message.strip_prefix("GRPC ").and_then(|rest| rest.split_once(' '));
    parts.map_or_else(|| message.to_owned(), |(code, text)| format!("rpc error: code = {code} desc = {text}"))
}

#[tokio::test(start_paused = true)]
async fn specs_that_cannot_be() {
    let engine = engine();
    for (body, status, message) in CREATE {
        let body = body.replace("IMAGE", r#""TaskTemplate":{"ContainerSpec":{"Image":"a"}}"#);
        let found = refused(&engine, "POST", "/v1.41/services/create", &body).await;
        assert_eq!(found, (*status, spelled(message)), "{body}");
    }
    assert_eq!(get(&engine, "/services").await, json!([]));
}

#[tokio::test(start_paused = true)]
async fn updates_that_cannot_be() {
    let engine = engine();
    let id = create(&engine, spec("m", "nowhere:1", 0)).await;
    let index = get(&engine, "/services/m").await["Version"]["Index"].clone();
    let good = spec("m", "nowhere:1", 0);
    let mut global = good.clone();
    global["Mode"] = json!({"Global": {}});
    let path = |query: &str| format!("/v1.41/services/m/update?{query}");
    let version = format!("version={index}");
    let previous = format!("GRPC FailedPrecondition service {id} does not have a previous spec");
    let cases = [
        (
            path(""),
            good.clone(),
            400,
            "invalid service version '': strconv.ParseUint: parsing \"\": invalid syntax",
        ),
        (
            path("version=x"),
            good.clone(),
            400,
            "invalid service version 'x': strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (path("version=1"), good.clone(), 500, "GRPC Unknown update out of sequence"),
        (
            path(&version),
            spec("other", "nowhere:1", 0),
            501,
            "GRPC Unimplemented renaming services is not supported",
        ),
        (path("version=1"), global, 501, "GRPC Unimplemented service mode change is not allowed"),
        (path(&format!("{version}&rollback=foo")), good.clone(), 500, "unrecognized rollback option foo"),
        (path(&format!("{version}&rollback=previous")), good.clone(), 400, &previous),
        (
            path(&format!("{version}&registryAuthFrom=foo")),
            good.clone(),
            500,
            "unsupported registryAuthFrom value",
        ),
        ("/v1.41/services/nope/update?version=1".to_owned(), good.clone(), 404, "service nope not found"),
    ];
    for (path, body, status, message) in cases {
        let found = refused(&engine, "POST", &path, &body.to_string()).await;
        assert_eq!(found, (status, spelled(message)), "{path} {body}");
    }
    assert_eq!(get(&engine, "/services/m").await["Version"]["Index"], index);
    let taken = refused(&engine, "POST", "/services/create", &good.to_string()).await;
    let message = "GRPC AlreadyExists name conflicts with an existing object: service m already exists";
    assert_eq!(taken, (409, spelled(message)));
}

#[tokio::test(start_paused = true)]
async fn configs_and_secrets() {
    let engine = engine();
    let config = r#"{"Name":"c","Labels":{"a":"b"},"Data":"aGVsbG8="}"#;
    assert_eq!(send(&engine, "POST", "/configs/create", config).await.status(), 201);
    let shown = get(&engine, "/configs/c").await;
    assert_eq!(shown["Spec"], json!({"Name": "c", "Labels": {"a": "b"}, "Data": "aGVsbG8="}));
    let index = shown["Version"]["Index"].as_u64().unwrap();
    let update = format!("/configs/c/update?version={index}");
    let labels = "GRPC InvalidArgument only updates to Labels are allowed";
    let cases = [
        ("/configs/create", config, 409, "GRPC AlreadyExists config c already exists"),
        (
            "/configs/create",
            r#"{"Name":"d"}"#,
            400,
            "GRPC InvalidArgument config data must be larger than 0 and less than 1024000 bytes",
        ),
        (
            "/configs/create",
            r#"{"Name":"","Data":"aGVsbG8="}"#,
            400,
            "GRPC InvalidArgument name must be provided",
        ),
        ("/configs/create", r#"{"Name":"d","Data":"!!"}"#, 400, "illegal base64 data at input byte 0"),
        (&update, r#"{"Name":"c","Data":"aGVsbG8h"}"#, 400, labels),
        (&update, r#"{"Name":"x"}"#, 400, labels),
        ("/configs/c/update?version=x", config, 400, "invalid config version"),
        ("/configs/nope/update?version=1", config, 404, "config nope not found"),
        ("/configs/c/update?version=1", config, 500, "GRPC Unknown update out of sequence"),
    ];
    for (path, body, status, message) in cases {
        assert_eq!(refused(&engine, "POST", path, body).await, (status, spelled(message)), "{path} {body}");
    }
    assert_eq!(send(&engine, "POST", &update, r#"{"Name":"c","Labels":{"x":"y"}}"#).await.status(), 200);
    assert_eq!(get(&engine, "/configs").await[0]["Spec"]["Labels"], json!({"x": "y"}));

    let (_, made) = call(&engine, "POST", "/secrets/create", json!({"Name": "s", "Data": "aGVsbG8="})).await;
    assert_eq!(get(&engine, "/secrets/s").await["Spec"], json!({"Name": "s", "Labels": {}}));
    let mut user = spec("user", "nowhere:1", 0);
    user["TaskTemplate"]["ContainerSpec"]["Secrets"] = json!([{"SecretID": made["ID"], "SecretName": "s", "File": {"Name": "x", "UID": "0", "GID": "0", "Mode": 292}}]);
    create(&engine, user).await;
    let found = refused(&engine, "DELETE", "/secrets/s", "").await;
    let message = "GRPC InvalidArgument secret 's' is in use by the following service: user";
    assert_eq!(found, (400, spelled(message)));
}
