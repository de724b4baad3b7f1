//! What is removed from a real Swarm, when, and what never is.

pub mod kept;

use std::path::Path;

use serde_json::{Value, json};

use crate::bed::{Bed, Image, SOON, Workspace, check, wait_until};
use crate::look::{events, hurry, more_passes, summary, told, wait_told};
use crate::running::{Controller, index, task_ids};

/// A service that leaves something in a volume, and uses one of each kind of object.
const WHOLE: &str = r#"
[services.web]
image = "REPO"
entrypoint = ["sh", "-c"]
command = ["echo kept > /data/file; echo up; exec sleep 1000"]
volumes = ["data:/data"]
networks = ["inner"]
secrets = ["token"]
configs = ["motd"]
deploy = { update_config = { monitor = "500ms" } }
[networks.inner]
[volumes.data]
[secrets.token]
environment = "PATH"
[configs.motd]
content = "hello"
"#;

/// A service that needs nothing.
const PLAIN: &str =
    "[services.plain]\nimage = \"REPO\"\ndeploy = { update_config = { monitor = \"500ms\" } }\n";

fn push(bed: &Bed, repository: &str) -> String {
    bed.push(repository, "1.0.0", &Image::says("up"));
    bed.image(repository)
}

/// Names of the customer's objects of all kinds, as `kind name`; suffixes of names left out.
fn objects(bed: &Bed, customer: &str) -> Vec<String> {
    let prefix = format!("{customer}_");
    let mut found = Vec::new();
    for (kind, path) in
        [("service", "/services"), ("network", "/networks"), ("secret", "/secrets"), ("config", "/configs")]
    {
        let list = bed.get(path);
        let names = list.as_array().into_iter().flatten().filter_map(|one| {
            one["Spec"]["Name"].as_str().or(one["Name"].as_str()).filter(|name| name.starts_with(&prefix))
        });
        found.extend(names.map(|name| format!("{kind} {}", name.split('-').next().unwrap_or_default())));
    }
    found.sort();
    found
}

#[track_caller]
fn wait_objects(ws: &Workspace<'_>, customer: &str, expected: &[&str]) {
    wait_until(SOON, &format!("{customer} has {expected:?}"), || {
        let found = objects(ws.bed, customer);
        check(found == expected, || format!("{found:?}\n{}", summary(ws)))
    });
}

/// What the service wrote into its volume, read where the node keeps it.
fn kept(bed: &Bed, volume: &str) -> String {
    let found = bed.node(0).get(&format!("/volumes/{volume}"));
    let folder = found["Mountpoint"].as_str().unwrap_or_else(|| panic!("{found}"));
    std::fs::read_to_string(Path::new(folder).join("file")).unwrap_or_else(|e| panic!("{folder}: {e}"))
}

fn removed(ws: &Workspace<'_>, customer: &str) -> Vec<Value> {
    told(ws, customer, "ServiceRemoved")
}

/// Nothing of the customer's changes while skep looks several times.
#[track_caller]
fn stays(ws: &Workspace<'_>, customers: &[&str]) {
    let world = || -> Vec<_> {
        let of =
            |customer: &&str| (objects(ws.bed, customer), task_ids(ws.bed, &format!("{customer}_plain")));
        customers.iter().map(of).collect()
    };
    let before = world();
    assert!(before.iter().all(|(objects, tasks)| !objects.is_empty() && !tasks.is_empty()), "{before:?}");
    more_passes(ws, 5);
    assert_eq!(world(), before, "{}", summary(ws));
    for customer in customers {
        assert!(removed(ws, customer).is_empty(), "{}", summary(ws));
    }
}

/// `fleet.toml` with these words about removal, and intervals that let a test see several passes.
fn rules(ws: &Workspace<'_>, prune: &str) {
    hurry(ws, "60s");
    ws.spec("fleet.toml", &format!("prune = {prune}\n"));
}

/// A service, its network, secret and config go with the lines that named them; its volume stays. What only looks
/// like the customer's stays as well.
pub fn what_a_spec_no_longer_names_goes(bed: &Bed) {
    let ws = bed.workspace();
    let image = push(bed, "prune/one");
    let plain = PLAIN.replace("REPO", &image);
    ws.spec("pruneone.toml", &format!("{plain}{}", WHOLE.replace("REPO", &image)));
    ws.skep(&["apply"]).ok();
    bed.wait_says("pruneone_web", 1, "up");
    let all = [
        "config pruneone_motd",
        "network pruneone_default",
        "network pruneone_inner",
        "secret pruneone_token",
        "service pruneone_plain",
        "service pruneone_web",
    ];
    assert_eq!(objects(bed, "pruneone"), all);
    // By the docker CLI's label of the stack's, and of a name like it; but not skep's.
    let stack = json!({"Labels": {"com.docker.stack.namespace": "pruneone"}});
    bed.create_service("pruneone_foreign", &format!("{image}:1.0.0"), 1, stack);
    let before = (index(bed, "pruneone_plain"), index(bed, "pruneone_foreign"));

    ws.spec("pruneone.toml", &plain);
    let plan = ws.skep(&["plan"]).expect_status(1).stdout;
    assert!(plan.contains("- remove service pruneone_web"), "{plan}");
    assert!(!plan.contains("foreign") && !plan.contains("volume"), "{plan}");
    ws.skep(&["apply"]).ok();
    let left = ["network pruneone_default", "service pruneone_foreign", "service pruneone_plain"];
    wait_until(SOON, "all that nothing names is gone", || {
        ws.skep(&["apply"]).ok();
        let found = objects(bed, "pruneone");
        check(found == left, || format!("{found:?}\n{}", summary(&ws)))
    });
    ws.skep(&["plan"]).expect_status(0);
    assert_eq!((index(bed, "pruneone_plain"), index(bed, "pruneone_foreign")), before, "untouched");
    assert_eq!(kept(bed, "pruneone_data"), "kept\n");
    let told = removed(&ws, "pruneone");
    assert_eq!(told.len(), 1, "{}", summary(&ws));
    assert_eq!((&told[0]["service"], &told[0]["phase"]), (&json!("web"), &json!("done")));
    bed.remove_service("pruneone_foreign");
}

/// A stack goes a while after its file, and not at all if the file comes back before. The event says when, and what
/// to do about it.
pub fn a_stack_goes_after_its_file(bed: &Bed) {
    let ws = bed.workspace();
    let image = push(bed, "prune/two");
    let (whole, plain) = (WHOLE.replace("REPO", &image), PLAIN.replace("REPO", &image));
    rules(&ws, "{ grace = \"1h\" }");
    ws.spec("eu/prunetwo.toml", &format!("{plain}{whole}"));
    ws.spec("pruneby.toml", &plain);
    let controller = Controller::start(&ws);
    bed.wait_says("prunetwo_web", 1, "up");
    bed.wait_says("prunetwo_plain", 1, "up");
    bed.wait_says("pruneby_plain", 1, "up");
    let before = index(bed, "pruneby_plain");

    // Back in time.
    let file = ws.dir.join("specs/eu/prunetwo.toml");
    std::fs::remove_file(&file).unwrap();
    let gone = wait_told(&ws, "prunetwo", "SpecRemoved", 1);
    let message = gone["message"].as_str().unwrap();
    assert_eq!(gone["type"], "Warning");
    assert!(message.contains("the stack is removed at 20") && message.contains("put back"), "{message}");
    let plan = ws.skep(&["plan", "--output", "json"]).json().to_string();
    assert!(plan.contains("SpecRemoved"), "{plan}");
    stays(&ws, &["prunetwo", "pruneby"]);
    ws.spec("eu/prunetwo.toml", &format!("{plain}{whole}"));
    let back = wait_told(&ws, "prunetwo", "SpecAdded", 2);
    assert_eq!(back["message"], "the file is back, so the stack stays");
    stays(&ws, &["prunetwo", "pruneby"]);

    // Not back.
    rules(&ws, "{ grace = \"2s\" }");
    std::fs::remove_file(&file).unwrap();
    wait_objects(&ws, "prunetwo", &[]);
    wait_told(&ws, "prunetwo", "ServiceRemoved", 2);
    let times: Vec<_> = [&wait_told(&ws, "prunetwo", "SpecRemoved", 2), &removed(&ws, "prunetwo")[0]]
        .iter()
        .map(|event| event["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap())
        .collect();
    assert!(times[1].duration_since(times[0]) >= jiff::SignedDuration::from_secs(2), "{times:?}");
    assert_eq!(kept(bed, "prunetwo_data"), "kept\n");
    stays(&ws, &["pruneby"]);
    assert_eq!(index(bed, "pruneby_plain"), before, "a neighbour is untouched");
    assert!(!events(&ws).iter().any(|event| event["phase"] == "failed"), "{}", summary(&ws));
    controller.stop().expect_status(0);
}

/// More than the share waits until a person says so; and what waited is told to be over.
pub fn too_much_at_once_waits_for_a_person(bed: &Bed) {
    let ws = bed.workspace();
    let plain = PLAIN.replace("REPO", &push(bed, "prune/share"));
    rules(&ws, "{ grace = \"1s\" }");
    let customers = ["sharea", "shareb", "sharec", "shared"];
    for customer in customers {
        ws.spec(&format!("{customer}.toml"), &plain);
    }
    let controller = Controller::start(&ws);
    for customer in customers {
        bed.wait_says(&format!("{customer}_plain"), 1, "up");
    }
    for customer in ["sharea", "shareb"] {
        std::fs::remove_file(ws.dir.join(format!("specs/{customer}.toml"))).unwrap();
    }
    for customer in ["sharea", "shareb"] {
        let held = wait_told(&ws, customer, "PruneHeld", 1);
        let message = held["message"].as_str().unwrap();
        assert!(message.starts_with("2 of 4 services would go within 1m"), "{message}");
        assert!(message.contains("more than 20 %") && message.contains("--allow-prune"), "{message}");
    }
    stays(&ws, &customers);
    // A file that comes back takes its part out of it, and ends the waiting of both.
    ws.spec("shareb.toml", &plain);
    wait_told(&ws, "shareb", "Recovered", 1);
    wait_objects(&ws, "sharea", &[]);
    let over = wait_told(&ws, "sharea", "Recovered", 1);
    assert!(over["message"].as_str().unwrap().contains("2 of 4 services"), "{over:#}");

    // What went lately counts along.
    std::fs::remove_file(ws.dir.join("specs/sharec.toml")).unwrap();
    let held = wait_told(&ws, "sharec", "PruneHeld", 1);
    assert!(held["message"].as_str().unwrap().starts_with("2 of 4 services"), "{held:#}");
    stays(&ws, &customers[1..]);
    // Pending, and to be allowed by a person: whoever is asked, and whoever would do it.
    let told = |who: &str| {
        for command in [&["plan"][..], &["apply"], &["status"], &["wait", "--timeout", "1s"]] {
            let ran = ws.skep(&[command, &["--output", "json"]].concat()).expect_status(1);
            let waiting = ran.json().to_string();
            assert!(waiting.contains("PruneHeld"), "{who} {command:?}: {waiting}");
        }
        let ran = ws.skep(&["apply", "sharec", "--output", "json"]).expect_status(1);
        assert_eq!(ran.json()["customers"][0]["waiting"][0]["reason"], "PruneHeld", "{who}");
        ws.skep(&["apply", "shareb"]).ok();
    };
    told("handed over");
    let server = format!("http://127.0.0.1:{}", ws.port);
    ws.skep(&["status", "--server", &server]).expect_status(1);
    ws.skep(&["status", "sharec", "--server", &server]).expect_status(1);
    controller.stop().expect_status(0);
    told("local");
    // Not held any more, but only a person or `run` lets a whole stack go.
    ws.spec("fleet.toml", "prune = { grace = \"1s\", share = 1.0 }\n");
    ws.skep(&["plan"]).expect_status(1);
    for command in [&["status"][..], &["wait", "--timeout", "1s"]] {
        let ran = ws.skep(command).expect_status(1);
        assert!(ran.stdout.contains("ChangesPending: no spec names the service sharec_"), "{}", ran.stdout);
    }
    let ran = ws.skep(&["apply"]).expect_status(1);
    assert!(ran.stdout.contains("PruneHeld: the file of sharec is gone"), "{}", ran.stdout);
    assert!(!objects(bed, "sharec").is_empty(), "{}", summary(&ws));
    ws.skep(&["apply", "--allow-prune"]).ok();
    wait_objects(&ws, "sharec", &[]);
    wait_told(&ws, "sharec", "Recovered", 1);
    ws.skep(&["plan"]).expect_status(0);
    let standing = ["network shareb_default", "service shareb_plain"];
    assert_eq!(objects(bed, "shareb"), standing);
}
