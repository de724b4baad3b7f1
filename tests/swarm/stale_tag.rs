//! The failure that skep exists to end, as the classic deploy has it.

use crate::bed::{Bed, Image};

/// Hosts are warm with an old `latest`; a new one is pushed; the classic deploy, without the registry's credentials,
/// reports success and runs the old one, since an agent whose pull fails takes what it has.
pub fn a_classic_deploy_runs_the_old(bed: &Bed) {
    let ws = bed.workspace();
    let image = format!("{}:latest", bed.private_image("lighttag/frontend"));
    bed.push("lighttag/frontend", "latest", &Image::says("frontend 1.2.3"));
    ws.docker_login();
    for node in 0..bed.nodes().len() {
        ws.docker_at(node, &["pull", &image]).ok();
    }
    bed.push("lighttag/frontend", "latest", &Image::says("frontend 1.10.0"));
    ws.docker(&["logout", bed.registry.private.address]).ok();

    ws.write(
        "stack.yml",
        &format!(
            "version: '3.7'\nservices:\n  frontend:\n    image: {image}\n    deploy:\n      mode: global\n"
        ),
    );
    ws.docker(&["stack", "deploy", "--resolve-image", "never", "-c", "stack.yml", "classic"]).ok();
    bed.wait_says("classic_frontend", bed.nodes().len(), "frontend 1.2.3");

    // The same with credentials and by digest: so the new content was there to be had.
    ws.docker_login();
    let deploy = [
        "stack",
        "deploy",
        "--resolve-image",
        "always",
        "--with-registry-auth",
        "-c",
        "stack.yml",
        "classic",
    ];
    ws.docker(&deploy).ok();
    bed.wait_says("classic_frontend", bed.nodes().len(), "frontend 1.10.0");
}
