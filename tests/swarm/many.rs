//! A hundred services in one pass.

use std::fmt::Write;
use std::time::Duration;

use crate::bed::{Bed, Image, SOON};
use crate::look::{events, hurry, metric, metrics, more_passes, summary};

const CUSTOMERS: usize = 25;
const SERVICES: usize = 4;

fn indices(bed: &Bed) -> Vec<(String, u64)> {
    let services = bed.get("/services");
    let of = |service: &serde_json::Value| {
        let name = service["Spec"]["Name"].as_str()?.to_owned();
        name.starts_with("many").then_some(())?;
        Some((name, service["Version"]["Index"].as_u64()?))
    };
    let mut all: Vec<_> = services.as_array().unwrap().iter().filter_map(of).collect();
    all.sort();
    all
}

/// How many of the services stand at a version.
fn at(bed: &Bed, version: &str) -> usize {
    let services = bed.get("/services");
    let image = |service: &serde_json::Value| {
        let image = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].as_str()?.to_owned();
        service["Spec"]["Name"].as_str()?.starts_with("many").then_some(image)
    };
    let images = services.as_array().unwrap().iter().filter_map(image);
    images.filter(|image| image.contains(&format!(":{version}@sha256:"))).count()
}

pub fn a_hundred_services(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "120s");
    let push = |version: &str| {
        for repository in 0..SERVICES {
            let text = format!("many {repository} {version}");
            bed.push(&format!("many/s{repository}"), version, &Image::says(&text));
        }
    };
    push("1.0.0");
    for customer in 0..CUSTOMERS {
        let mut spec = String::new();
        for service in 0..SERVICES {
            // A few have tasks; the others cost the engine nothing.
            let replicas = usize::from(service == 0 && customer % 5 == 0);
            let image = bed.image(&format!("many/s{service}"));
            writeln!(
                spec,
                "[services.s{service}]\nimage = \"{image}\"\ndeploy = {{ replicas = {replicas} }}\n"
            )
            .unwrap();
        }
        ws.spec(&format!("many{customer}.toml"), &spec);
    }
    let total = CUSTOMERS * SERVICES;

    ws.skep(&["apply"]).ok();
    assert_eq!(at(bed, "1.0.0"), total);
    bed.wait_says("many0_s0", 1, "many 0 1.0.0");
    ws.skep(&["plan"]).expect_status(0);

    push("1.1.0");
    let requests = bed.registry.open.requests().len();
    let moved = ws.skep(&["apply"]).ok();
    assert!(moved.took < Duration::from_secs(60), "{:?}", moved.took);
    assert_eq!(at(bed, "1.1.0"), total);
    bed.wait_says("many5_s0", 1, "many 0 1.1.0");
    // skep's own questions: a list, a digest and a manifest or two for each repository, never for each service; the
    // engine pulls for itself.
    let asked = bed.registry.open.requests();
    let tags = asked[requests..].iter().filter(|request| request.contains("/tags/list"));
    assert_eq!(tags.count(), SERVICES, "one list a repository: {:?}", &asked[requests..]);

    let before = (indices(bed), summary(&ws));
    ws.skep(&["plan"]).expect_status(0);
    ws.skep(&["apply"]).ok();
    ws.skep(&["status"]).expect_status(0);
    assert_eq!((indices(bed), summary(&ws)), before, "a second pass writes nothing");
    let done = events(&ws).iter().filter(|e| e["phase"] == "done" && e["reason"] == "ImageUpdated").count();
    assert_eq!(done, total, "one change a service");

    engine_calls(bed, &ws);
    assert_eq!(indices(bed), before.0);
}

/// A pass over everything costs a fixed number of calls, however many the services.
fn engine_calls(bed: &Bed, ws: &crate::bed::Workspace<'_>) {
    let run = ws.skep_spawn(&["run"]);
    more_passes(ws, u32::try_from(CUSTOMERS).unwrap());
    let look = || {
        let text = metrics(ws).unwrap();
        let calls: f64 = text
            .lines()
            .filter(|line| line.starts_with("skep_swarm_requests_total{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        let writes = ["service_update", "service_create"]
            .map(|op| metric(&text, &format!("skep_swarm_requests_total{{op=\"{op}\"")).unwrap_or(0.0));
        let passes = metric(&text, "skep_reconcile_duration_seconds_count").unwrap();
        (calls, writes, passes)
    };
    let before = look();
    more_passes(ws, u32::try_from(4 * CUSTOMERS).unwrap());
    let after = look();
    assert_eq!(after.1, [0.0, 0.0], "no writes");
    let rounds = (after.2 - before.2) / CUSTOMERS as f64;
    let per_round = (after.0 - before.0) / rounds;
    // Services, tasks, nodes, networks, secrets, configs: one view, at times a second, serves all customers.
    assert!(per_round <= 14.0, "{per_round:.1} calls a round: {}", metrics(ws).unwrap());
    run.sigterm();
    run.wait(SOON).ok();
    assert_eq!(bed.service("many0_s0").unwrap()["Spec"]["Labels"]["skep.version"], "1.1.0");
}
