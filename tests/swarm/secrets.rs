//! Secrets and configs on a real Swarm: made, seen by the task, rotated, removed, and never shown.

use serde_json::Value;

use crate::bed::{Bed, Image, SOON, check, wait_until};
use crate::faults::never_written;
use crate::look::{summary, told};

const SPEC: &str = r#"
[services.web]
image = "REPO"
entrypoint = ["sh", "-c"]
command = ["echo $(cat /run/secrets/token) $(cat /etc/motd) $(ls -ln /run/secrets/token | cut -c1-10); exec sleep 1000"]
secrets = [{ source = "token", mode = 0o400 }]
configs = [{ source = "motd", target = "/etc/motd" }]
env_file = "web.env"
[secrets.token]
file = "token.txt"
[configs.motd]
content = "hello ${customer}"
"#;

fn names(bed: &Bed, kind: &str) -> Vec<String> {
    let found = bed.get(kind);
    let name = |one: &Value| one["Spec"]["Name"].as_str().unwrap_or_default().to_owned();
    let mut names: Vec<String> = found.as_array().into_iter().flatten().map(name).collect();
    names.retain(|name| name.starts_with("vaulty_"));
    names.sort();
    names
}

/// The secret that the service refers to.
fn used(bed: &Bed) -> String {
    let service = bed.service("vaulty_web").unwrap();
    let secret = &service["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretName"];
    secret.as_str().unwrap().to_owned()
}

pub fn they_rotate_and_are_never_shown(bed: &Bed) {
    let ws = bed.workspace();
    bed.push("vaulty/web", "1.0.0", &Image::says("web 1.0.0"));
    ws.write("specs/web.env", "# nothing secret\nCOLOUR=blue\n");
    let canaries: Vec<String> = (0..5).map(|round| format!("canary-{round}-5530")).collect();
    ws.write("specs/token.txt", &canaries[0]);
    ws.spec("vaulty.toml", &SPEC.replace("REPO", &bed.image("vaulty/web")));
    // Without a state directory there is no key, and nobody can tell.
    let plan = ws.skep(&["plan", "--output", "json"]).expect_status(2).json();
    assert_eq!(plan["customers"][0]["waiting"][0]["reason"], "ContentUnknown", "{plan:#}");

    let mut seen = Vec::new();
    for canary in &canaries {
        ws.write("specs/token.txt", canary);
        ws.skep(&["plan", "-vv"]);
        ws.skep(&["apply", "-vv"]).ok();
        bed.wait_says("vaulty_web", 1, &format!("{canary} hello vaulty -r--------"));
        seen.push(used(bed));
        // Nothing is left to do but to remove what is too old.
        ws.skep(&["apply", "-vv"]).ok();
        ws.skep(&["plan", "-vv"]).expect_status(0);
        ws.skep(&["status", "-vv"]).expect_status(0);
    }
    // The one in use, the one that a rollback needs, and two more.
    let mut kept: Vec<String> = seen[1..].to_vec();
    kept.sort();
    wait_until(SOON, "old secrets are removed", || {
        ws.skep(&["apply"]).ok();
        check(names(bed, "/secrets") == kept, || format!("{:?}\n{}", names(bed, "/secrets"), summary(&ws)))
    });
    assert_eq!(names(bed, "/configs").len(), 1);
    let service = bed.service("vaulty_web").unwrap();
    let container = &service["Spec"]["TaskTemplate"]["ContainerSpec"];
    assert_eq!(container["Env"], serde_json::json!(["COLOUR=blue"]));
    // An earlier content finds the secret that still holds it.
    ws.write("specs/token.txt", &canaries[3]);
    ws.skep(&["apply", "-vv"]).ok();
    bed.wait_says("vaulty_web", 1, &format!("{} hello vaulty -r--------", canaries[3]));
    assert_eq!(used(bed), seen[3]);
    assert!(told(&ws, "vaulty", "RolloutFailed").is_empty(), "{}", summary(&ws));

    // The key is lost: what runs is kept, and another content is another secret all the same.
    let before = (used(bed), service_index(bed));
    std::fs::remove_dir_all(ws.dir.join("state")).unwrap();
    ws.skep(&["apply", "-vv"]).ok();
    assert_eq!((used(bed), service_index(bed)), before, "nothing rotates for a lost key");
    ws.write("specs/token.txt", "canary-9-5530");
    ws.skep(&["apply", "-vv"]).ok();
    bed.wait_says("vaulty_web", 1, "canary-9-5530 hello vaulty -r--------");
    assert_ne!(used(bed), before.0);

    let rendered = ws.skep(&["render", "vaulty", "-vv"]).ok();
    assert!(rendered.stdout.contains(&used(bed)), "{}", rendered.stdout);
    std::fs::remove_file(ws.dir.join("specs/token.txt")).unwrap();
    never_written(&ws, "-5530");
    let everything = [bed.get("/services"), bed.get("/secrets"), bed.get("/tasks")];
    assert!(everything.iter().all(|list| !list.to_string().contains("-5530")));
}

fn service_index(bed: &Bed) -> u64 {
    bed.service("vaulty_web").unwrap()["Version"]["Index"].as_u64().unwrap()
}
