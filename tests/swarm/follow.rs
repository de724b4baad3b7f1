//! `skep run` keeps services where their specs and registries say.

use serde_json::{Value, json};

use crate::bed::{Bed, Image, SOON, Workspace, check, wait_until};
use crate::running::{
    Controller, SECONDS, events, expect_one_change, image, index, outline, task_ids, wait_events,
};

/// Swarm watches a replaced task for five seconds, unless told otherwise.
const QUICK: &str = "update_config = { monitor = \"500ms\" }";

fn push(bed: &Bed, repository: &str, tag: &str) -> String {
    bed.push(repository, tag, &Image::says(&format!("{repository} {tag}"))).digest
}

/// Writes a spec with one service `web`.
fn write_spec(ws: &Workspace<'_>, customer: &str, repository: &str, more: &str) {
    let image = ws.bed.image(repository);
    ws.spec(
        &format!("{customer}.toml"),
        &format!("[services.web]\nimage = \"{image}\"\n{more}\n[services.web.deploy]\n{QUICK}\n"),
    );
}

/// The event log once nothing is under way any more.
fn settled(ws: &Workspace<'_>) -> usize {
    wait_events(ws, 0, "RolloutComplete");
    events(ws).len()
}

/// Highest first: the service is on `tag` by digest, and so is every container.
fn runs(bed: &Bed, service: &str, count: usize, repository: &str, tag: &str, digest: &str) {
    bed.wait_says(service, count, &format!("{repository} {tag}"));
    assert_eq!(image(bed, service), format!("{}:{tag}@{digest}", bed.image(repository)));
}

/// A higher version is pushed: the service moves to it by digest, and one ID tells the whole story.
pub fn a_new_version(bed: &Bed) {
    let ws = bed.workspace();
    // So that it is the poll that finds the new version.
    ws.write("skep.toml", &ws.default_config().replace("resync = \"5s\"", "resync = \"1h\""));
    let old = push(bed, "follow/new", "1.9.0");
    write_spec(&ws, "follownew", "follow/new", "version = \"^1\"\n");
    let controller = Controller::start(&ws);
    runs(bed, "follownew_web", 1, "follow/new", "1.9.0", &old);
    let told = settled(&ws);
    expect_one_change(
        &events(&ws)[told - 4..],
        &["ServiceCreated/intent", "ServiceCreated/done", "RolloutStarted", "RolloutComplete"],
    );

    for tag in ["2.0.0", "1.10.0-rc.1", "latest", "1.8.7"] {
        push(bed, "follow/new", tag);
    }
    let new = push(bed, "follow/new", "1.10.0");
    runs(bed, "follownew_web", 1, "follow/new", "1.10.0", &new);
    let change = wait_events(&ws, told, "RolloutComplete");
    expect_one_change(
        &change,
        &["ImageUpdated/intent", "ImageUpdated/done", "RolloutStarted", "RolloutComplete"],
    );
    for event in &change {
        assert_eq!(event["customer"], "follownew");
        assert_eq!(event["service"], "web");
        assert_eq!(event["from"], json!({"tag": "1.9.0", "version": "1.9.0", "digest": old}), "{event:#}");
        assert_eq!(event["to"], json!({"tag": "1.10.0", "version": "1.10.0", "digest": new}), "{event:#}");
    }
    assert_eq!(change[0]["trigger"], "registry", "{:#}", change[0]);
    let service = bed.service("follownew_web").unwrap();
    assert_eq!(service["Spec"]["Labels"]["skep.version"], "1.10.0");
    drop(controller);
}

/// `v`-tags count, pre-releases only where they are wanted, and tags of a pattern only by it.
pub fn spellings(bed: &Bed) {
    let ws = bed.workspace();
    let stable = push(bed, "follow/spell", "v1.2.3");
    let candidate = push(bed, "follow/spell", "1.3.0-rc.1");
    push(bed, "follow/spell", "1.4.0-beta.1");
    push(bed, "follow/spell", "1.11.0-debian");
    push(bed, "follow/spell", "1.9.0-alpine");
    let alpine = push(bed, "follow/spell", "1.10.0-alpine");
    write_spec(&ws, "spellstable", "follow/spell", "");
    write_spec(&ws, "spellrc", "follow/spell", "version = { prerelease = [\"rc\"] }");
    write_spec(&ws, "spellalpine", "follow/spell", "version = { tags = \"{version}-alpine\" }");
    let _controller = Controller::start(&ws);
    runs(bed, "spellstable_web", 1, "follow/spell", "v1.2.3", &stable);
    runs(bed, "spellrc_web", 1, "follow/spell", "1.3.0-rc.1", &candidate);
    runs(bed, "spellalpine_web", 1, "follow/spell", "1.10.0-alpine", &alpine);

    let stable = push(bed, "follow/spell", "v1.3.0");
    let alpine = push(bed, "follow/spell", "1.12.0-alpine");
    runs(bed, "spellstable_web", 1, "follow/spell", "v1.3.0", &stable);
    runs(bed, "spellrc_web", 1, "follow/spell", "v1.3.0", &stable);
    runs(bed, "spellalpine_web", 1, "follow/spell", "1.12.0-alpine", &alpine);
}

/// A tag is pushed again with other content: it is pulled again, with a warning.
pub fn a_tag_that_moves(bed: &Bed) {
    let ws = bed.workspace();
    let old = push(bed, "follow/moved", "1.0.0");
    write_spec(&ws, "followmoved", "follow/moved", "");
    let _controller = Controller::start(&ws);
    runs(bed, "followmoved_web", 1, "follow/moved", "1.0.0", &old);
    let told = settled(&ws);

    let new = bed.push("follow/moved", "1.0.0", &Image::says("follow/moved again")).digest;
    bed.wait_says("followmoved_web", 1, "follow/moved again");
    assert_eq!(image(bed, "followmoved_web"), format!("{}:1.0.0@{new}", bed.image("follow/moved")));
    let change = wait_events(&ws, told, "RolloutComplete");
    expect_one_change(
        &change,
        &["!TagMoved", "ImageRepulled/intent", "ImageRepulled/done", "RolloutStarted", "RolloutComplete"],
    );
    assert_eq!(change[0]["from"]["digest"], old.as_str());
    assert_eq!(change[0]["to"]["digest"], new.as_str());
}

/// The same with `retag = "hold"`: it stays, says so once, and moves on with the next version.
pub fn a_tag_that_moves_is_held(bed: &Bed) {
    let ws = bed.workspace();
    let old = push(bed, "follow/held", "1.0.0");
    write_spec(&ws, "followheld", "follow/held", "version = { retag = \"hold\" }");
    let controller = Controller::start(&ws);
    runs(bed, "followheld_web", 1, "follow/held", "1.0.0", &old);
    let told = settled(&ws);
    let before = (index(bed, "followheld_web"), task_ids(bed, "followheld_web"));

    bed.push("follow/held", "1.0.0", &Image::says("follow/held again"));
    wait_events(&ws, told, "!TagMoved");
    controller.wait_passes(2);
    assert_eq!((index(bed, "followheld_web"), task_ids(bed, "followheld_web")), before, "it stays");
    assert_eq!(outline(&events(&ws)[told..]), ["!TagMoved"], "told once");
    let plan = ws.skep(&["plan", "--output", "json"]).expect_status(0).json();
    assert_eq!(plan["customers"][0]["waiting"][0]["reason"], "TagMoved", "{plan:#}");
    ws.skep(&["status"]).expect_status(1);
    let audit = ws.skep(&["audit", "--output", "json"]).json();
    let ours = audit["services"].as_array().unwrap().iter().find(|s| s["name"] == "followheld_web").unwrap();
    assert_eq!(ours["verdict"], "moved", "{ours:#}");
    assert_eq!(controller.metric("skep_service_highest", "service=\"web\""), Some(0.0));

    let next = push(bed, "follow/held", "1.0.1");
    runs(bed, "followheld_web", 1, "follow/held", "1.0.1", &next);
}

/// A spec edited on disk is applied; one made invalid leaves the last good one in force; one removed deletes nothing.
pub fn specs_on_disk(bed: &Bed) {
    let ws = bed.workspace();
    push(bed, "follow/disk", "1.0.0");
    let text = |environment: &str, replicas: u32| {
        let image = bed.image("follow/disk");
        format!(
            "[services.web]\nimage = \"{image}\"\nenvironment = {{ {environment} }}\n\
             deploy = {{ replicas = {replicas}, {QUICK} }}\n"
        )
    };
    ws.spec("eu/followdisk.toml", &text("A = \"1\", B = \"2\"", 1));
    let _controller = Controller::start(&ws);
    bed.wait_says("followdisk_web", 1, "follow/disk 1.0.0");
    let told = settled(&ws);

    ws.spec("eu/followdisk.toml", &text("A = \"one\"", 2));
    wait_until(SECONDS, "the edited spec is applied", || {
        let spec = bed.service("followdisk_web").unwrap()["Spec"].clone();
        let (env, replicas) =
            (&spec["TaskTemplate"]["ContainerSpec"]["Env"], &spec["Mode"]["Replicated"]["Replicas"]);
        check((env, replicas) == (&json!(["A=one"]), &json!(2)), || format!("{env} {replicas}"))
    });
    bed.wait_says("followdisk_web", 2, "follow/disk 1.0.0");
    let change = wait_events(&ws, told, "RolloutComplete");
    expect_one_change(
        &change[1..],
        &["ServiceUpdated/intent", "ServiceUpdated/done", "RolloutStarted", "RolloutComplete"],
    );
    assert_eq!((&change[0]["reason"], &change[1]["trigger"]), (&json!("SpecChanged"), &json!("spec")));

    let told = events(&ws).len();
    ws.spec("eu/followdisk.toml", &text("A = \"one\"", 2).replace("environment", "enviroment"));
    let invalid = wait_events(&ws, told, "!SpecInvalid").pop().unwrap();
    let message = invalid["message"].as_str().unwrap();
    assert!(message.contains("eu/followdisk.toml:3:"), "names the line: {message}");
    assert!(message.contains("environment"), "names the nearest key: {message}");
    // The last good one stays in force, new versions included.
    push(bed, "follow/disk", "1.1.0");
    bed.wait_says("followdisk_web", 2, "follow/disk 1.1.0");
    let spec = bed.service("followdisk_web").unwrap()["Spec"].clone();
    assert_eq!(spec["TaskTemplate"]["ContainerSpec"]["Env"], json!(["A=one"]));

    let told = events(&ws).len();
    ws.spec("eu/followdisk.toml", &text("A = \"one\"", 2));
    wait_events(&ws, told, "Recovered");

    // Another customer on the same repository shows that skep went on after the removal.
    write_spec(&ws, "followdisk2", "follow/disk", "");
    bed.wait_says("followdisk2_web", 1, "follow/disk 1.1.0");
    wait_events(&ws, told, "RolloutComplete");
    let before = (bed.service("followdisk_web"), task_ids(bed, "followdisk_web"));
    let told = events(&ws).len();
    std::fs::remove_file(ws.dir.join("specs/eu/followdisk.toml")).unwrap();
    wait_events(&ws, told, "!SpecRemoved");
    push(bed, "follow/disk", "1.2.0");
    bed.wait_says("followdisk2_web", 1, "follow/disk 1.2.0");
    assert_eq!((bed.service("followdisk_web"), task_ids(bed, "followdisk_web")), before, "untouched");
}

/// What somebody changes by hand is put back, as far as the spec says it; all else is theirs.
pub fn drift(bed: &Bed) {
    let ws = bed.workspace();
    push(bed, "follow/drift", "1.0.0");
    push(bed, "follow/drift", "1.1.0");
    let image = bed.image("follow/drift");
    ws.spec(
        "followdrift.toml",
        &format!(
            "[services.web]\nimage = \"{image}\"\nenvironment = {{ API = \"right\" }}\n\
             deploy = {{ replicas = 1, {QUICK} }}\n"
        ),
    );
    let _controller = Controller::start(&ws);
    bed.wait_says("followdrift_web", 1, "follow/drift 1.1.0");
    settled(&ws);
    let owned = |spec: &Value| {
        let container = &spec["TaskTemplate"]["ContainerSpec"];
        json!([container["Image"], container["Env"], spec["Mode"]["Replicated"]["Replicas"]])
    };
    let right = owned(&bed.service("followdrift_web").unwrap()["Spec"]);

    let by_hand: [&[&str]; 3] = [
        &["service", "scale", "-d", "followdrift_web=3"],
        &["service", "update", "-d", "--env-add", "API=wrong", "followdrift_web"],
        &["service", "update", "-d", "--image", &format!("{image}:1.0.0"), "followdrift_web"],
    ];
    for command in by_hand {
        let told = events(&ws).len();
        ws.docker(command).ok();
        let mut change = wait_events(&ws, told, "RolloutComplete");
        // Swarm moves the index itself while it carries out what was done by hand: then skep was second, and says so.
        while outline(&change).get(2).is_some_and(|third| third == "DriftCorrected/failed") {
            change.drain(..3);
        }
        expect_one_change(
            &change,
            &[
                "!DriftDetected",
                "DriftCorrected/intent",
                "DriftCorrected/done",
                "RolloutStarted",
                "RolloutComplete",
            ],
        );
        assert_eq!(change[1]["trigger"], "swarm", "{command:?}: seen by the engine's event");
        assert_eq!(owned(&bed.service("followdrift_web").unwrap()["Spec"]), right, "{command:?}");
        bed.wait_says("followdrift_web", 1, "follow/drift 1.1.0");
    }

    let told = events(&ws).len();
    let theirs = ["--env-add", "THEIRS=1", "--container-label-add", "theirs=yes", "--limit-memory", "64M"];
    ws.docker(&[&["service", "update", "-d"], &theirs[..], &["followdrift_web"]].concat()).ok();
    push(bed, "follow/drift", "1.2.0");
    bed.wait_says("followdrift_web", 1, "follow/drift 1.2.0");
    let spec = bed.service("followdrift_web").unwrap()["Spec"].clone();
    let container = &spec["TaskTemplate"]["ContainerSpec"];
    // The docker CLI writes them in the order of a Go map, which is any; skep keeps what it finds.
    let mut env: Vec<&str> = container["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    env.sort_unstable();
    assert_eq!(env, ["API=right", "THEIRS=1"]);
    assert_eq!(container["Labels"]["theirs"], "yes");
    assert_eq!(spec["TaskTemplate"]["Resources"]["Limits"]["MemoryBytes"], 64 << 20);
    let change = wait_events(&ws, told, "RolloutComplete");
    assert!(!outline(&change).iter().any(|told| told.contains("Drift")), "{:?}", outline(&change));
}

/// A resync in a world without changes: no write, no event, no task.
pub fn a_quiet_resync(bed: &Bed) {
    let ws = bed.workspace();
    ws.write("skep.toml", &ws.default_config().replace("resync = \"5s\"", "resync = \"1s\""));
    let digest = push(bed, "follow/quiet", "1.0.0");
    for customer in ["followquiet", "followquiet2"] {
        write_spec(&ws, customer, "follow/quiet", "environment = { A = \"1\" }");
    }
    let controller = Controller::start(&ws);
    let services = ["followquiet_web", "followquiet2_web"];
    for service in services {
        runs(bed, service, 1, "follow/quiet", "1.0.0", &digest);
    }
    wait_until(SOON, "both rollouts are complete", || {
        let told = outline(&events(&ws));
        let done = told.iter().filter(|told| *told == "RolloutComplete").count();
        check(done == 2, || format!("{told:?}"))
    });
    let world =
        || services.map(|service| (bed.service(service).unwrap().to_string(), task_ids(bed, service)));
    let writes = || ["create", "update"].map(|op| controller.metric("skep_swarm_requests_total", op));
    let before = (world(), ws.read("state/events/events.jsonl"), writes());
    // Passes of two customers: three resyncs at least.
    controller.wait_passes(6);
    assert_eq!((world(), ws.read("state/events/events.jsonl"), writes()), before);
}

/// Between resyncs, polls without news cost the engine nothing; only its event stream is open.
///
/// On a bed of its own: a network that another test makes changes the nodes, which wakes every customer.
pub fn no_calls_between_resyncs(bed: &Bed) {
    let ws = bed.workspace();
    ws.write("skep.toml", &ws.default_config().replace("resync = \"5s\"", "resync = \"1h\""));
    push(bed, "follow/calls", "1.0.0");
    write_spec(&ws, "followcalls", "follow/calls", "");
    let controller = Controller::start(&ws);
    bed.wait_says("followcalls_web", 1, "follow/calls 1.0.0");
    settled(&ws);
    let polls = |count: usize| {
        let asked = || {
            let list = "GET /v2/follow/calls/tags/list";
            bed.registry.open.requests().iter().filter(|request| request.starts_with(list)).count()
        };
        let before = asked();
        wait_until(SOON, &format!("the registry is asked {count} times more"), || {
            let now = asked();
            check(now >= before + count, || format!("{before} -> {now}"))
        });
    };
    // The poller's first answers are news to it.
    polls(3);
    let calls = || controller.metric("skep_swarm_requests_total", "").unwrap();
    let before = calls();
    polls(4);
    assert!(calls() - before < 0.5, "{before} -> {}", controller.get("/metrics").text());
}

/// What others ask it over HTTP, and how signals are answered.
pub fn http_and_signals(bed: &Bed) {
    let ws = bed.workspace();
    let config = ws.default_config();
    ws.write("skep.toml", &config.replace("\"1s\"", "\"1h\"").replace("\"5s\"", "\"1h\""));
    push(bed, "follow/http", "1.0.0");
    write_spec(&ws, "followhttp", "follow/http", "");
    let controller = Controller::start(&ws);
    bed.wait_says("followhttp_web", 1, "follow/http 1.0.0");
    let labels = "customer=\"followhttp\",service=\"web\"";
    wait_until(SOON, "the metric says that it is the highest", || {
        let highest = controller.metric("skep_service_highest", labels);
        check(highest == Some(1.0), || controller.get("/metrics").text())
    });
    assert_eq!(controller.get("/healthz").status, 200);
    assert_eq!(controller.get("/readyz").status, 200);
    assert_eq!(controller.get("/nowhere").status, 404);
    assert_eq!(controller.metric("skep_service_unknown", labels), None);
    assert_eq!(controller.metric("skep_service_info", "version=\"1.0.0\""), Some(1.0));
    assert_eq!(controller.metric("skep_queue_depth", ""), Some(0.0));
    let events_told = controller.metric("skep_events_total", "").unwrap();
    assert!((events_told - events(&ws).len() as f64).abs() < 0.5, "{}", controller.get("/metrics").text());
    for metric in ["skep_last_success_timestamp_seconds", "skep_registry_requests_total"] {
        assert!(controller.metric(metric, "").is_some_and(|value| value > 0.0), "{metric}");
    }

    let told = events(&ws).len();
    push(bed, "follow/http", "1.1.0");
    controller.run.sighup();
    bed.wait_says("followhttp_web", 1, "follow/http 1.1.0");
    wait_events(&ws, told, "RolloutComplete");

    let ended = controller.stop().expect_status(0);
    assert_eq!(ended.stdout, "", "logs go to stderr");
    let told = outline(&events(&ws));
    assert_eq!((told[0].as_str(), told[told.len() - 1].as_str()), ("ControllerStarted", "ControllerStopped"));
    assert!(!told.iter().any(|told| told.ends_with("/failed")), "{told:?}");

    // A second life on the same state has nothing to tell but itself.
    let controller = Controller::start(&ws);
    controller.stop().expect_status(0);
    let again = outline(&events(&ws)[told.len()..]);
    assert_eq!(again, ["ControllerStarted", "ControllerStopped"]);
}
