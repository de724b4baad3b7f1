//! What `plan`, `apply`, `status` and `audit` do on a real Swarm.

use serde_json::Value;

use crate::bed::{Bed, Image};

fn index(bed: &Bed, service: &str) -> u64 {
    let found = bed.service(service).unwrap_or_else(|| panic!("{service} is there"));
    found["Version"]["Index"].as_u64().unwrap()
}

/// A customer appears with one commit: created at the highest version, by digest; a second
/// pass writes nothing.
pub fn first_deploy(bed: &Bed) {
    let ws = bed.workspace();
    for tag in ["1.2.3", "1.9.0", "1.10.0", "2.0.0-rc.1", "latest"] {
        bed.push("first/frontend", tag, &Image::says(&format!("frontend {tag}")));
    }
    ws.spec(
        "firsty.toml",
        &format!(
            "[services.frontend]\nimage = \"{}\"\nversion = \"^1.4\"\nenvironment = {{ API = \"x\" }}\ndeploy = {{ replicas = 2 }}\n",
            bed.image("first/frontend")
        ),
    );
    let plan = ws.skep(&["plan", "--output", "json"]).expect_status(1).json();
    let steps = plan["customers"][0]["steps"].as_array().unwrap();
    let kinds: Vec<&Value> = steps.iter().map(|step| &step["kind"]).collect();
    assert_eq!(kinds, ["network", "service"], "{plan:#}");
    assert_eq!(steps[1]["to"]["version"], "1.10.0", "{plan:#}");

    ws.skep(&["apply"]).ok();
    bed.wait_says("firsty_frontend", 2, "frontend 1.10.0");
    let service = bed.service("firsty_frontend").unwrap();
    let image = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap();
    assert!(image.contains(":1.10.0@sha256:"), "{image}");
    assert_eq!(service["Spec"]["Labels"]["skep.customer"], "firsty");
    assert_eq!(service["Spec"]["Labels"]["com.docker.stack.namespace"], "firsty");

    let before = index(bed, "firsty_frontend");
    let events = ws.read("state/events/events.jsonl");
    ws.skep(&["plan"]).expect_status(0);
    ws.skep(&["apply"]).ok();
    ws.skep(&["status"]).expect_status(0);
    ws.skep(&["wait", "--timeout", "10s"]).expect_status(0);
    assert_eq!(index(bed, "firsty_frontend"), before, "a second pass writes nothing");
    assert_eq!(ws.read("state/events/events.jsonl"), events, "an unchanged world writes no events");
    let audit = ws.skep(&["audit", "--output", "json"]).json();
    let ours = audit["services"].as_array().unwrap().iter().find(|s| s["name"] == "firsty_frontend").unwrap();
    assert_eq!(ours["verdict"], "highest", "{audit:#}");
}
