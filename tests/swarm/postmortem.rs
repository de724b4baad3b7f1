//! The failure that skep exists to end, replayed: as the classic deploy has it, and as skep mends it.

use serde_json::Value;

use crate::bed::{Bed, Image, Workspace};
use crate::running::{events, image, outline};

const SERVICE: &str = "classic_frontend";

/// `skep audit` of everything: its exit status, and what it says of the service.
fn audit(ws: &Workspace<'_>, arguments: &[&str], service: &str, status: i32) -> Value {
    let ran = ws.skep(&[&["audit", "--output", "json"], arguments].concat()).expect_status(status);
    let report = ran.json();
    let found = report["services"].as_array().unwrap().iter().find(|found| found["name"] == service);
    found.unwrap_or_else(|| panic!("{report:#}")).clone()
}

/// Hosts are warm with an old `latest`; a new one is pushed; the classic deploy, without the registry's credentials,
/// reports success and runs the old one, since an agent whose pull fails takes what it has. `skep audit` says so, before
/// and after the deploy. `skep apply` brings the highest version by digest to every host, and a tag that is pushed again
/// too.
pub fn the_stale_frontend(bed: &Bed) {
    let ws = bed.workspace();
    let hosts = bed.nodes().len();
    let repository = bed.private_image("lighttag/frontend");
    let latest = format!("{repository}:latest");
    bed.push("lighttag/frontend", "1.2.3", &Image::says("frontend 1.2.3"));
    bed.push("lighttag/frontend", "latest", &Image::says("frontend 1.2.3"));
    ws.docker_login();
    for node in 0..hosts {
        ws.docker_at(node, &["pull", &latest]).ok();
    }
    bed.push("lighttag/frontend", "latest", &Image::says("frontend 1.10.0"));
    bed.push("lighttag/frontend", "1.9.0", &Image::says("frontend 1.9.0"));
    let new = bed.push("lighttag/frontend", "1.10.0", &Image::says("frontend 1.10.0")).digest;
    ws.docker(&["logout", bed.registry.private.address]).ok();

    ws.write(
        "stack.yml",
        &format!(
            "version: '3.7'\nservices:\n  frontend:\n    image: {latest}\n    environment: {{KEPT: 'yes'}}\n    \
             deploy:\n      mode: global\n      update_config: {{parallelism: 3, monitor: 1s}}\n"
        ),
    );
    let before_deploy = audit(&ws, &["-f", "stack.yml"], "frontend", 1);
    assert_eq!(before_deploy["verdict"], "floating", "{before_deploy:#}");
    assert_eq!(before_deploy["highest"], "1.10.0", "{before_deploy:#}");

    ws.docker(&["stack", "deploy", "--resolve-image", "never", "-c", "stack.yml", "classic"]).ok();
    bed.wait_says(SERVICE, hosts, "frontend 1.2.3");
    let stale = audit(&ws, &[], SERVICE, 1);
    assert_eq!(stale["verdict"], "floating", "{stale:#}");
    assert_eq!(stale["highest"], "1.10.0", "{stale:#}");
    assert_eq!(stale["customer"], Value::Null, "{stale:#}");

    // The same with a full version that is too old: behind.
    ws.write("old.yml", &ws.read("stack.yml").replace(":latest", ":1.2.3"));
    assert_eq!(audit(&ws, &["-f", "old.yml"], "frontend", 1)["verdict"], "behind");

    ws.spec("classic.toml", &format!("[services.frontend]\nimage = \"{repository}\"\nadopt = true\n"));
    assert_eq!(audit(&ws, &[], SERVICE, 1)["verdict"], "floating", "a spec alone changes nothing");
    ws.skep(&["plan"]).expect_status(1);
    ws.skep(&["apply"]).ok();
    assert_eq!(image(bed, SERVICE), format!("{repository}:1.10.0@{new}"));
    // `apply` has returned, so it is so now, not later.
    says_on_every_host(bed, "frontend 1.10.0");
    let cured = audit(&ws, &[], SERVICE, 0);
    assert_eq!((&cured["verdict"], &cured["customer"]), (&"highest".into(), &"classic".into()), "{cured:#}");
    let environment = bed.service(SERVICE).unwrap()["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"].clone();
    assert_eq!(environment, serde_json::json!(["KEPT=yes"]));

    let told = events(&ws).len();
    let again = bed.push("lighttag/frontend", "1.10.0", &Image::says("frontend 1.10.0 again")).digest;
    assert_eq!(audit(&ws, &[], SERVICE, 1)["verdict"], "moved");
    says_on_every_host(bed, "frontend 1.10.0");
    ws.skep(&["apply"]).ok();
    assert_eq!(image(bed, SERVICE), format!("{repository}:1.10.0@{again}"));
    says_on_every_host(bed, "frontend 1.10.0 again");
    assert_eq!(audit(&ws, &[], SERVICE, 0)["verdict"], "highest");
    assert_eq!(
        outline(&events(&ws)[told..]),
        ["!TagMoved", "ImageRepulled/intent", "ImageRepulled/done", "RolloutStarted", "RolloutComplete"]
    );

    // The classic deploy, now by digest and with credentials, has nothing left to bring.
    ws.skep(&["plan"]).expect_status(0);
    ws.skep(&["status"]).expect_status(0);
}

fn says_on_every_host(bed: &Bed, text: &str) {
    let says = bed.container_says(SERVICE);
    let hosts: Vec<(String, String)> =
        bed.nodes().iter().map(|node| (node.name.clone(), text.to_owned())).collect();
    assert_eq!(says, hosts);
}
