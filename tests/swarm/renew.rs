//! Credentials that expire inside the Swarm are renewed, and nothing restarts for it.

use serde_json::Value;

use crate::bed::{Bed, Image, NEXT_PASSWORD, PASSWORD, SOON, check, wait_until};
use crate::faults::never_written;
use crate::look::{summary, told};

/// The password changes after the service was made. skep gives the Swarm the new one: the task runs on. Its host
/// goes, and the task is made on one that never had the image, by the new password.
pub fn a_task_is_made_after_the_first_token_died(bed: &Bed) {
    let ws = bed.workspace();
    let entry = format!("[registries.\"{}\"]\n", bed.registry.private.address);
    ws.write("skep.toml", &ws.default_config().replace(&entry, &format!("{entry}renew = \"1s\"\n")));
    bed.push("renew/web", "1.0.0", &Image::says("renewed 1.0.0"));
    let image = bed.private_image("renew/web");
    ws.spec("renewed.toml", &format!("[services.web]\nimage = \"{image}\"\ndeploy.replicas = 1\n"));
    ws.skep(&["apply", "-vv"]).ok();
    bed.wait_says("renewed_web", 1, "renewed 1.0.0");
    let first: Vec<Value> = bed.running("renewed_web");

    bed.registry.change_password();
    ws.write("password", NEXT_PASSWORD);
    let before = told(&ws, "renewed", "ServiceUpdated").len();
    wait_until(SOON, "the nodes' credentials are renewed", || {
        ws.skep(&["apply", "-vv"]).ok();
        let renewed = told(&ws, "renewed", "ServiceUpdated");
        check(renewed.len() > before, || summary(&ws))
    });
    let after: Vec<Value> = bed.running("renewed_web");
    assert_eq!(after[0]["ID"], first[0]["ID"], "nothing restarts for it");
    // `plan` speaks of what the spec says, and nothing of that changes.
    ws.skep(&["plan"]).ok();

    let host = after[0]["NodeID"].as_str().unwrap().to_owned();
    ws.docker(&["node", "update", "--availability", "drain", &host]).ok();
    wait_until(SOON, "the task is made anew on another host", || {
        let running = bed.running("renewed_web");
        let moved = running.iter().any(|task| task["NodeID"] != host.as_str());
        check(moved && running.len() == 1, || format!("{running:?}"))
    });
    bed.wait_says("renewed_web", 1, "renewed 1.0.0");
    assert_eq!(told(&ws, "renewed", "RolloutFailed"), Vec::<Value>::new(), "{}", summary(&ws));
    for secret in [PASSWORD, NEXT_PASSWORD] {
        never_written(&ws, secret);
    }
}
