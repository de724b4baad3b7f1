//! Rollouts that fail: what Swarm, the containers and the log say in the end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{Bed, Does, Image, SOON, Workspace, check, wait_until};
use crate::look::{events, hurry, image, index, more_passes, pick, reasons, summary, told, wait_told};

/// Fails within seconds where Swarm's defaults take longer.
fn spec(bed: &Bed, repository: &str, action: &str, more: &str) -> String {
    format!(
        "[services.web]\nimage = \"{}\"\n{more}\n[services.web.deploy]\nreplicas = 2\n\
         update_config = {{ parallelism = 1, monitor = \"2s\"{action} }}\n\
         restart_policy = {{ delay = \"500ms\" }}\n",
        bed.image(repository)
    )
}

const ROLLBACK: &str = ", failure_action = \"rollback\"";

fn good(bed: &Bed, repository: &str, tag: &str) {
    bed.push(repository, tag, &Image::says(&format!("{repository} {tag}")));
}

fn bad(bed: &Bed, repository: &str, tag: &str) {
    bed.push(repository, tag, &Image::says(&format!("{repository} {tag} is broken")).does(Does::FailAtStart));
}

/// The order of the events about a version, by its `to.version`.
fn story(ws: &Workspace<'_>, version: &str) -> Vec<String> {
    let about = |event: &Value| event["to"]["version"] == version && event["phase"] != "intent";
    events(ws).iter().filter(|e| about(e)).map(|e| e["reason"].as_str().unwrap().to_owned()).collect()
}

fn status(ws: &Workspace<'_>, customer: &str, code: i32) -> Value {
    // An event is told before its memory is written: a moment later the two agree.
    let report = wait_until(SOON, &format!("status of {customer} ends with {code}"), || {
        let ran = ws.skep(&["status", customer, "--output", "json"]);
        check(ran.status == Some(code), || format!("{ran:?}")).map(|()| ran.json())
    });
    pick(&report["customers"][0]["services"], "service", "web").clone()
}

fn verdict(ws: &Workspace<'_>, name: &str) -> Value {
    pick(&ws.skep(&["audit", "--output", "json"]).json()["services"], "name", name).clone()
}

/// Neither Swarm nor log changes while skep looks several times.
fn nothing_more(bed: &Bed, ws: &Workspace<'_>, service: &str) {
    let before = (index(bed, service), bed.tasks(service).len(), summary(ws));
    more_passes(ws, 5);
    let after = (index(bed, service), bed.tasks(service).len(), summary(ws));
    assert_eq!(after.0, before.0, "no write\n{}", after.2);
    assert_eq!(after.1, before.1, "no task");
    assert_eq!(after.2, before.2, "no event");
}

/// The version is remembered as refused, and every command says so in its way.
fn is_refused(ws: &Workspace<'_>, customer: &str, version: &str) {
    let plan = ws.skep(&["plan", customer, "--output", "json"]).expect_status(0).json();
    assert_eq!(plan["customers"][0]["steps"], json!([]), "{plan:#}");
    let waiting = pick(&plan["customers"][0]["waiting"], "service", "web");
    assert_eq!(waiting["reason"], "VersionRefused", "{plan:#}");
    let web = status(ws, customer, 1);
    assert_eq!(web["state"], "Stalled", "{web:#}");
    let verdict = verdict(ws, &format!("{customer}_web"));
    assert_eq!(verdict["verdict"], "behind", "{verdict:#}");
    let message = verdict["message"].as_str().unwrap();
    assert!(message.contains(version) && message.contains("failed"), "the refusal's reason: {message}");
}

pub fn swarm_rolls_back(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    good(bed, "fail/a", "1.0.0");
    ws.spec("faila.toml", &spec(bed, "fail/a", ROLLBACK, ""));
    let mut run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "faila", "RolloutComplete", 1);

    bad(bed, "fail/a", "1.1.0");
    wait_told(&ws, "faila", "RolledBack", 1);
    bed.wait_says("faila_web", 2, "fail/a 1.0.0");
    assert!(image(bed, "faila_web").contains(":1.0.0@"), "{}", image(bed, "faila_web"));
    let expected = ["ImageUpdated", "RolloutStarted", "RolloutFailed", "VersionRefused"];
    assert_eq!(story(&ws, "1.1.0"), expected, "{}", summary(&ws));
    let failed = &told(&ws, "faila", "RolloutFailed")[0];
    let message = failed["message"].as_str().unwrap();
    // On a busy machine the rollback may be over before it is looked at; Swarm has other words then.
    let words = ["rolled back due to failure or early termination", "Swarm rolled the update back"];
    assert!(words.iter().any(|words| message.contains(words)), "Swarm's words: {message}");
    assert!(message.contains("non-zero exit (1)"), "and the task's: {message}");
    assert_eq!(failed["type"], "Warning");
    let ids: Vec<&Value> = vec![&failed["id"]];
    let back = &told(&ws, "faila", "RolledBack")[0];
    assert_eq!(vec![&back["id"]], ids, "one id for one change");
    assert_eq!(back["to"]["version"], "1.0.0", "{back:#}");

    nothing_more(bed, &ws, "faila_web");
    is_refused(&ws, "faila", "1.1.0");

    run.sigterm();
    run.wait(SOON).ok();
    run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "", "ControllerStarted", 2);
    more_passes(&ws, 1);
    nothing_more(bed, &ws, "faila_web");
    is_refused(&ws, "faila", "1.1.0");

    // The next version heals.
    good(bed, "fail/a", "1.2.0");
    bed.wait_says("faila_web", 2, "fail/a 1.2.0");
    wait_until(SOON, "1.2.0 is complete", || {
        let story = story(&ws, "1.2.0");
        check(story == ["ImageUpdated", "RolloutStarted", "RolloutComplete"], || summary(&ws))
    });
    assert_eq!(status(&ws, "faila", 0)["state"], "InSync");

    // So does the failed tag with new content.
    bad(bed, "fail/a", "1.3.0");
    wait_told(&ws, "faila", "RolledBack", 2);
    bed.wait_says("faila_web", 2, "fail/a 1.2.0");
    good(bed, "fail/a", "1.3.0");
    bed.wait_says("faila_web", 2, "fail/a 1.3.0");
    wait_told(&ws, "faila", "RolloutComplete", 3);
    assert_eq!(verdict(&ws, "faila_web")["verdict"], "highest");
    run.sigterm();
    run.wait(SOON).ok();
}

pub fn skep_rolls_back_after_a_pause(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    good(bed, "fail/b", "1.0.0");
    ws.spec("failb.toml", &spec(bed, "fail/b", "", ""));
    let run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "failb", "RolloutComplete", 1);

    bad(bed, "fail/b", "1.1.0");
    wait_told(&ws, "failb", "RolledBack", 1);
    bed.wait_says("failb_web", 2, "fail/b 1.0.0");
    let expected =
        ["ImageUpdated", "RolloutStarted", "RolloutFailed", "VersionRefused"].map(str::to_owned).to_vec();
    assert_eq!(story(&ws, "1.1.0"), expected, "{}", summary(&ws));
    let message = told(&ws, "failb", "RolloutFailed")[0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("update paused due to failure or early termination"), "{message}");
    // Written back once: 1.0.0 was created, and returned to.
    let back = story(&ws, "1.0.0");
    assert_eq!(back.iter().filter(|reason| *reason == "ImageUpdated").count(), 1, "{}", summary(&ws));
    wait_until(SOON, "Swarm is done with the way back", || {
        let service = bed.service("failb_web").unwrap();
        check(service["UpdateStatus"]["State"] == "completed", || service["UpdateStatus"].to_string())
    });
    nothing_more(bed, &ws, "failb_web");
    is_refused(&ws, "failb", "1.1.0");

    good(bed, "fail/b", "1.1.1");
    bed.wait_says("failb_web", 2, "fail/b 1.1.1");
    wait_told(&ws, "failb", "RolloutComplete", 2);
    run.sigterm();
    run.wait(SOON).ok();
    assert_eq!(status(&ws, "failb", 0)["state"], "InSync");
}

pub fn hold_leaves_it(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    good(bed, "fail/hold", "1.0.0");
    ws.spec("failhold.toml", &spec(bed, "fail/hold", "", "on_failure = \"hold\""));
    let run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "failhold", "RolloutComplete", 1);
    bad(bed, "fail/hold", "1.1.0");
    wait_told(&ws, "failhold", "VersionRefused", 1);
    let before = index(bed, "failhold_web");
    more_passes(&ws, 5);
    assert_eq!(index(bed, "failhold_web"), before, "held means left alone\n{}", summary(&ws));
    assert!(image(bed, "failhold_web").contains(":1.1.0@"));
    assert_eq!(told(&ws, "failhold", "RolledBack"), Vec::<Value>::new());
    assert_eq!(status(&ws, "failhold", 1)["state"], "Stalled");
    good(bed, "fail/hold", "1.2.0");
    bed.wait_says("failhold_web", 2, "fail/hold 1.2.0");
    wait_told(&ws, "failhold", "RolloutComplete", 2);
    run.sigterm();
    run.wait(SOON).ok();
}

pub fn apply_says_how_it_ended(bed: &Bed) {
    let ws = bed.workspace();
    for (customer, action) in [("failea", ROLLBACK), ("faileb", "")] {
        good(bed, &format!("fail/{customer}"), "1.0.0");
        ws.spec(&format!("{customer}.toml"), &spec(bed, &format!("fail/{customer}"), action, ""));
    }
    ws.skep(&["apply"]).ok();
    for customer in ["failea", "faileb"] {
        bad(bed, &format!("fail/{customer}"), "1.1.0");
    }
    let applied = ws.skep(&["apply", "--output", "json"]).expect_status(1).json();
    for customer in ["failea", "faileb"] {
        let steps = &pick(&applied["customers"], "customer", customer)["steps"];
        let outcome = &pick(steps, "service", "web")["outcome"];
        assert_eq!(outcome["state"], "failed", "{applied:#}");
        bed.wait_says(&format!("{customer}_web"), 2, &format!("fail/{customer} 1.0.0"));
        assert_eq!(told(&ws, customer, "RolledBack").len(), 1, "{}", summary(&ws));
    }
    // What waits for a person is no failure of the next pass; it has nothing to do.
    let events = summary(&ws);
    ws.skep(&["plan"]).expect_status(0);
    ws.skep(&["apply"]);
    assert_eq!(summary(&ws), events);
    ws.skep(&["status"]).expect_status(1);
    for customer in ["failea", "faileb"] {
        good(bed, &format!("fail/{customer}"), "1.1.1");
    }
    ws.skep(&["apply"]).ok();
    ws.skep(&["status"]).expect_status(0);
}

pub fn a_first_deploy_that_fails(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "12s");
    bad(bed, "fail/c", "1.0.0");
    ws.spec("failc.toml", &spec(bed, "fail/c", "", ""));
    let applied = ws.skep(&["apply", "--output", "json"]).expect_status(1).json();
    let step = pick(&applied["customers"][0]["steps"], "kind", "service").clone();
    assert_eq!(step["outcome"]["state"], "failed", "{applied:#}");
    let failed = told(&ws, "failc", "RolloutFailed");
    assert_eq!(failed.len(), 1, "{}", summary(&ws));
    let message = failed[0]["message"].as_str().unwrap();
    assert!(message.contains("within 12 s") && message.contains("non-zero exit (1)"), "{message}");
    is_refused(&ws, "failc", "1.0.0");

    // Tried again, it fails again, and that is told and remembered again; and so is the spec that it goes by.
    ws.spec("failc.toml", &format!("prune = false\n{}", spec(bed, "fail/c", "", "")));
    ws.skep(&["retry", "failc/web"]).expect_status(1);
    assert_eq!(told(&ws, "failc", "SpecChanged").len(), 1, "{}", summary(&ws));
    assert_eq!(told(&ws, "failc", "RolloutFailed").len(), 2, "{}", summary(&ws));
    is_refused(&ws, "failc", "1.0.0");

    // With new content under the same tag it comes up, given time.
    hurry(&ws, "60s");
    good(bed, "fail/c", "1.0.0");
    ws.skep(&["apply"]).ok();
    bed.wait_says("failc_web", 2, "fail/c 1.0.0");
    assert_eq!(status(&ws, "failc", 0)["state"], "InSync");
}

pub fn no_node_fits(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    good(bed, "fail/d", "1.0.0");
    let text = spec(bed, "fail/d", "", "") + "placement = { constraints = [\"node.labels.zone==blue\"] }\n";
    ws.spec("faild.toml", &text);
    let run = ws.skep_spawn(&["run"]);
    let failed = wait_told(&ws, "faild", "RolloutFailed", 1);
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("no suitable node (scheduling constraints not satisfied"), "{message}");
    assert_eq!(told(&ws, "faild", "VersionRefused"), Vec::<Value>::new(), "the version is not to blame");
    nothing_more(bed, &ws, "faild_web");
    let web = status(&ws, "faild", 1);
    assert_eq!(web["state"], "Stalled", "{web:#}");
    assert_eq!(pick(&web["conditions"], "type", "Ready")["reason"], "Unschedulable", "{web:#}");

    label_node(bed, "zone", "blue");
    bed.wait_says("faild_web", 2, "fail/d 1.0.0");
    wait_told(&ws, "faild", "RolloutComplete", 1);
    assert_eq!(status(&ws, "faild", 0)["state"], "InSync");
    run.sigterm();
    run.wait(SOON).ok();
}

/// `apply` ends with 1 and Swarm's words when no node fits.
pub fn apply_says_that_no_node_fits(bed: &Bed) {
    let ws = bed.workspace();
    good(bed, "fail/f", "1.0.0");
    let text = spec(bed, "fail/f", "", "") + "placement = { constraints = [\"node.labels.zone==green\"] }\n";
    ws.spec("failf.toml", &text);
    let applied = ws.skep(&["apply", "--output", "json"]).expect_status(1);
    assert!(applied.took < Duration::from_secs(50), "it does not wait for the deadline: {:?}", applied.took);
    let applied = applied.json();
    let outcome = &pick(&applied["customers"][0]["steps"], "kind", "service")["outcome"];
    assert_eq!(outcome["state"], "failed", "{applied:#}");
    assert!(outcome["message"].as_str().unwrap().contains("no suitable node"), "{applied:#}");
    bed.remove_service("failf_web");
}

fn label_node(bed: &Bed, key: &str, value: &str) {
    let id = bed.node(0).id();
    // The node's own reports move its version too.
    wait_until(SOON, "the node has the label", || {
        let node = bed.get(&format!("/nodes/{id}"));
        let mut spec = node["Spec"].clone();
        spec["Labels"][key] = value.into();
        let path = format!("/nodes/{id}/update?version={}", node["Version"]["Index"]);
        let answer = bed.node(0).call("POST", &path, Some(&spec)).map_err(|e| e.to_string())?;
        check(answer.status < 400, || answer.text())
    });
}

pub fn a_job_runs_once(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    let finish = |tag: &str| Image::says(&format!("job {tag}")).does(Does::Finish);
    bed.push("fail/job", "1.0.0", &finish("1.0.0"));
    let image = bed.image("fail/job");
    ws.spec(
        "jobs.toml",
        &format!(
            "[services.migrate]\nimage = \"{image}\"\n[services.migrate.deploy]\nmode = \"replicated-job\"\n\
             replicas = 2\nrestart_policy = {{ condition = \"on-failure\" }}\n"
        ),
    );
    let complete = |version: &str| {
        let tasks = bed.tasks("jobs_migrate");
        let of = |task: &&Value| {
            let image = task["Spec"]["ContainerSpec"]["Image"].as_str().unwrap_or_default();
            image.contains(&format!(":{version}@")) && task["Status"]["State"] == "complete"
        };
        (tasks.iter().filter(of).count(), tasks.len())
    };
    ws.skep(&["apply"]).ok();
    assert_eq!(complete("1.0.0"), (2, 2));
    assert_eq!(reasons(&ws, "jobs").last().map(String::as_str), Some("RolloutComplete"), "{}", summary(&ws));
    let before = index(bed, "jobs_migrate");
    ws.skep(&["plan"]).expect_status(0);
    ws.skep(&["status"]).expect_status(0);
    ws.skep(&["apply"]).ok();
    let run = ws.skep_spawn(&["run"]);
    more_passes(&ws, 3);
    assert_eq!((complete("1.0.0"), index(bed, "jobs_migrate")), ((2, 2), before));

    // A new version of the job is run, once.
    bed.push("fail/job", "1.1.0", &finish("1.1.0"));
    wait_told(&ws, "jobs", "RolloutComplete", 2);
    assert_eq!(complete("1.1.0").0, 2);
    nothing_more(bed, &ws, "jobs_migrate");
    run.sigterm();
    run.wait(SOON).ok();
}

pub fn no_replicas(bed: &Bed) {
    let ws = bed.workspace();
    bed.push("fail/zero", "1.0.0", &Image::says("zero"));
    let text =
        format!("[services.web]\nimage = \"{}\"\ndeploy = {{ replicas = 0 }}\n", bed.image("fail/zero"));
    ws.spec("zero.toml", &text);
    let applied = ws.skep(&["apply"]).ok();
    assert!(applied.took < Duration::from_secs(20), "{applied:?}");
    bed.push("fail/zero", "1.1.0", &Image::says("zero 1.1.0"));
    let applied = ws.skep(&["apply"]).ok();
    assert!(applied.took < Duration::from_secs(20), "{applied:?}");
    assert!(image(bed, "zero_web").contains(":1.1.0@"));
    assert_eq!(told(&ws, "zero", "RolloutComplete").len(), 2, "{}", summary(&ws));
    let before = index(bed, "zero_web");
    ws.skep(&["plan"]).expect_status(0);
    ws.skep(&["apply"]).ok();
    ws.skep(&["status"]).expect_status(0);
    assert_eq!(index(bed, "zero_web"), before);
    assert_eq!(verdict(&ws, "zero_web")["verdict"], "highest");
    ws.spec("zero.toml", &text.replace("replicas = 0", "replicas = 1"));
    ws.skep(&["apply"]).ok();
    bed.wait_says("zero_web", 1, "zero 1.1.0");
}

/// A setting can be to blame as well as an image: it is undone, and not tried again until it changes.
pub fn a_setting_that_fails(bed: &Bed) {
    for (customer, action) in [("failha", ROLLBACK), ("failhb", "")] {
        let ws = bed.workspace();
        hurry(&ws, "60s");
        good(bed, "fail/h", "1.0.0");
        let with = |mode: &str| {
            let command = r#"command = ["sh", "-c", "test \"$MODE\" != bad && exec sh /run.sh"]"#;
            spec(bed, "fail/h", action, &format!("{command}\nenvironment = {{ MODE = \"{mode}\" }}"))
        };
        let file = format!("{customer}.toml");
        let service = format!("{customer}_web");
        ws.spec(&file, &with("good"));
        let run = ws.skep_spawn(&["run"]);
        wait_told(&ws, customer, "RolloutComplete", 1);
        let env = || bed.service(&service).unwrap()["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"].clone();
        assert_eq!(env(), json!(["MODE=good"]));

        ws.spec(&file, &with("bad"));
        wait_told(&ws, customer, "RolledBack", 1);
        assert_eq!(env(), json!(["MODE=good"]));
        bed.wait_says(&service, 2, "fail/h 1.0.0");
        wait_until(SOON, "Swarm is done with the way back", || {
            let state = bed.service(&service).unwrap()["UpdateStatus"]["State"].clone();
            let done = state == "completed" || state == "rollback_completed";
            check(done, || state.to_string())
        });
        nothing_more(bed, &ws, &service);
        let plan = ws.skep(&["plan", "--output", "json"]).expect_status(0).json();
        assert_eq!(plan["customers"][0]["waiting"][0]["reason"], "VersionRefused", "{plan:#}");
        assert_eq!(status(&ws, customer, 1)["state"], "Stalled");

        // The setting put right in the spec heals.
        ws.spec(&file, &with("better"));
        wait_told(&ws, customer, "RolloutComplete", 2);
        assert_eq!(env(), json!(["MODE=better"]));
        assert_eq!(status(&ws, customer, 0)["state"], "InSync");
        run.sigterm();
        run.wait(SOON).ok();
    }
}
