//! What is not removed, although something says that it might be.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::door::with_door;

/// A secret that a task still has, or would have after a rollback, stays until it is not so any more.
pub fn what_is_in_use_stays(bed: &Bed) {
    let ws = bed.workspace();
    let image = push(bed, "prune/use");
    let whole = WHOLE.replace("REPO", &image);
    ws.spec("pruneuse.toml", &whole);
    ws.skep(&["apply"]).ok();
    bed.wait_says("pruneuse_web", 1, "up");
    let without = whole.replace("secrets = [\"token\"]\n", "");
    let without = without.replace("[secrets.token]\nenvironment = \"PATH\"\n", "");
    ws.spec("pruneuse.toml", &without);
    ws.skep(&["apply"]).ok();
    ws.skep(&["apply"]).ok();
    let secret = |bed: &Bed| objects(bed, "pruneuse").contains(&"secret pruneuse_token".to_owned());
    assert!(secret(bed), "a rollback by hand would need it: {}", summary(&ws));
    ws.docker(&["service", "rollback", "-d", "pruneuse_web"]).ok();
    wait_until(SOON, "what a hand rolled back is put right", || {
        ws.skep(&["apply"]).ok();
        let found = bed.service("pruneuse_web").unwrap_or_default();
        let secrets = &found["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"];
        check(secrets.as_array().is_none_or(Vec::is_empty), || secrets.to_string())
    });
    ws.spec("pruneuse.toml", &without.replace("networks =", "environment = { A = \"1\" }\nnetworks ="));
    wait_until(SOON, "the secret that nothing can need is gone", || {
        ws.skep(&["apply"]).ok();
        check(!secret(bed), || format!("{:?}\n{}", objects(bed, "pruneuse"), summary(&ws)))
    });
    assert_eq!(kept(bed, "pruneuse_data"), "kept\n");
}

/// A directory that is missing, half there or empty is no word about what is to go.
pub fn unreadable_specs_remove_nothing(bed: &Bed) {
    let ws = bed.workspace();
    let plain = PLAIN.replace("REPO", &push(bed, "prune/half"));
    rules(&ws, "{ grace = \"1s\", share = 1.0 }");
    let customers = ["prunea", "pruneb", "prunec"];
    for customer in customers {
        ws.spec(&format!("eu/{customer}.toml"), &plain);
    }
    let controller = Controller::start(&ws);
    for customer in customers {
        bed.wait_says(&format!("{customer}_plain"), 1, "up");
    }
    let (specs, aside) = (ws.dir.join("specs"), ws.dir.join("aside"));

    // Missing, as a mount may be.
    std::fs::rename(&specs, &aside).unwrap();
    stays(&ws, &customers);
    // Not a directory.
    std::fs::write(&specs, "").unwrap();
    stays(&ws, &customers);
    std::fs::remove_file(&specs).unwrap();
    std::fs::rename(&aside, &specs).unwrap();
    // A folder that leads elsewhere in the place of the real one.
    let (eu, other) = (specs.join("eu"), ws.dir.join("eu"));
    std::fs::rename(&eu, &other).unwrap();
    std::os::unix::fs::symlink(&other, &eu).unwrap();
    stays(&ws, &customers);
    std::fs::remove_file(&eu).unwrap();
    std::fs::rename(&other, &eu).unwrap();
    // A file that cannot be read beside one that is gone: was that one moved there?
    std::fs::rename(eu.join("prunea.toml"), ws.dir.join("prunea.toml")).unwrap();
    std::os::unix::fs::symlink("/nowhere", specs.join("moved.toml")).unwrap();
    stays(&ws, &customers);
    std::fs::rename(ws.dir.join("prunea.toml"), eu.join("prunea.toml")).unwrap();
    std::fs::remove_file(specs.join("moved.toml")).unwrap();
    // A file with errors still names its customer.
    ws.spec("eu/pruneb.toml", "[services.web");
    wait_told(&ws, "pruneb", "SpecInvalid", 1);
    stays(&ws, &customers);
    ws.spec("eu/pruneb.toml", &plain);
    wait_told(&ws, "pruneb", "Recovered", 1);
    // Rules that cannot be read are not the usual ones.
    ws.spec("fleet.toml", "prune = ");
    std::fs::remove_file(eu.join("prunec.toml")).unwrap();
    stays(&ws, &customers);
    ws.spec("eu/prunec.toml", &plain);
    rules(&ws, "{ grace = \"1s\", share = 1.0 }");
    wait_told(&ws, "prunea", "Recovered", 1);
    // Empty.
    for customer in customers {
        std::fs::remove_file(eu.join(format!("{customer}.toml"))).unwrap();
    }
    for customer in customers {
        let held = wait_told(&ws, customer, "PruneHeld", 1);
        let message = held["message"].as_str().unwrap();
        assert!(message.contains("may be a mistake") && message.contains("--allow-prune"), "{message}");
    }
    // Passes are counted of customers that have a file.
    let world = || customers.map(|customer| objects(bed, customer));
    let (before, looks) = (world(), || controller.metric("skep_swarm_requests_total", "").unwrap_or(0.0));
    let enough = looks() + 20.0;
    wait_until(SOON, "skep looks at the Swarm several times", || {
        check(looks() > enough, || looks().to_string())
    });
    assert_eq!(world(), before, "{}", summary(&ws));
    // One file is enough to say that this is the right directory.
    ws.spec("eu/prunea.toml", &plain);
    wait_told(&ws, "prunea", "Recovered", 2);
    wait_objects(&ws, "pruneb", &[]);
    wait_objects(&ws, "prunec", &[]);
    assert_eq!(objects(bed, "prunea"), ["network prunea_default", "service prunea_plain"]);
    controller.stop().expect_status(0);
}

/// `prune = false` in the customer's file or in the fleet's: services, and the stack of a file that is gone, stay.
pub fn prune_false_keeps_all(bed: &Bed) {
    let ws = bed.workspace();
    let image = push(bed, "prune/off");
    let (whole, plain) = (WHOLE.replace("REPO", &image), PLAIN.replace("REPO", &image));
    rules(&ws, "{ grace = \"1s\", share = 1.0 }");
    let file = |customer: &str, text: &str| ws.spec(&format!("{customer}.toml"), text);
    file("offown", &format!("prune = false\n{plain}{whole}"));
    file("offfleet", &format!("{plain}{whole}"));
    file("offother", &plain);
    let controller = Controller::start(&ws);
    for service in ["offown_web", "offown_plain", "offfleet_web", "offfleet_plain", "offother_plain"] {
        bed.wait_says(service, 1, "up");
    }
    let all = (objects(bed, "offown"), objects(bed, "offfleet"));
    let why = |customer: &str| {
        let plan = ws.skep(&["plan", customer, "--output", "json"]).expect_status(0).json();
        plan["customers"][0]["waiting"].to_string()
    };
    file("offown", &format!("prune = false\n{plain}"));
    wait_told(&ws, "offown", "SpecChanged", 1);
    stays(&ws, &["offown"]);
    assert!(why("offown").contains("`prune = false` in its file"), "{}", why("offown"));
    rules(&ws, "false");
    file("offfleet", &plain);
    wait_told(&ws, "offfleet", "SpecChanged", 1);
    stays(&ws, &["offown", "offfleet"]);
    assert!(why("offfleet").contains("`prune` is off in fleet.toml"), "{}", why("offfleet"));
    for customer in ["offown", "offfleet"] {
        std::fs::remove_file(ws.dir.join(format!("specs/{customer}.toml"))).unwrap();
        let told = wait_told(&ws, customer, "SpecRemoved", 1);
        assert_eq!(told["message"], "the spec is gone; its services stay as they are");
    }
    stays(&ws, &["offown", "offfleet", "offother"]);
    rules(&ws, "{ grace = \"1s\", share = 1.0 }");
    // That only the customer said so holds on; the other's stack goes now.
    wait_objects(&ws, "offfleet", &[]);
    stays(&ws, &["offown", "offother"]);
    assert_eq!(objects(bed, "offown"), all.0);
    assert_eq!((kept(bed, "offown_data"), kept(bed, "offfleet_data")), ("kept\n".into(), "kept\n".into()));
    controller.stop().expect_status(0);
}

/// Between plan and removal somebody takes the service over: the owner is read afresh, and it stays.
pub fn an_owner_that_changed_meanwhile_keeps_it(bed: &Bed) {
    let ws = bed.workspace();
    let image = push(bed, "prune/race");
    let plain = PLAIN.replace("REPO", &image);
    ws.spec("prunerace.toml", &format!("{plain}[services.web]\nimage = \"{image}\"\n"));
    ws.skep(&["apply"]).ok();
    bed.wait_says("prunerace_web", 1, "up");
    let tasks = task_ids(bed, "prunerace_web");
    let id = bed.service("prunerace_web").unwrap()["ID"].as_str().unwrap().to_owned();
    ws.spec("prunerace.toml", &plain);
    ws.skep(&["plan"]).expect_status(1);

    let (door, done) = (ws.dir.join("door"), AtomicBool::new(false));
    let before = |call: &str| {
        let reads_owner = call.starts_with("GET ") && call.contains(&format!("/services/{id}"));
        if reads_owner && !done.swap(true, Ordering::SeqCst) {
            let label = ["service", "update", "-d", "--label-add", "skep.customer=somebody", "prunerace_web"];
            ws.docker(&label).ok();
        }
    };
    with_door(&bed.node(0).socket(), &door, &before, || {
        ws.skep(&["--docker-host", &format!("unix://{}", door.display()), "apply"]);
    });
    assert!(done.load(Ordering::SeqCst), "the owner is read before the removal: {}", summary(&ws));
    let found = bed.service("prunerace_web").unwrap_or_else(|| panic!("it is gone: {}", summary(&ws)));
    assert_eq!(found["Spec"]["Labels"]["skep.customer"], "somebody");
    assert_eq!(task_ids(bed, "prunerace_web"), tasks);
    let told = removed(&ws, "prunerace");
    assert!(told.iter().all(|event| event["phase"] == "failed"), "{}", summary(&ws));
    ws.skep(&["plan"]).expect_status(0);
    bed.remove_service("prunerace_web");
}
