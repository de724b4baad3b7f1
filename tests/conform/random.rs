//! Sequences from a seed.

use serde_json::{Value, json};

use crate::op::{
    Does, Op, Sequence, create, delete, filters, get, inspect, post, push, registry, remove, running,
    service, update, update_stale, with,
};

/// A small generator, the same on every machine and for ever: splitmix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.word() % limit as u64).unwrap_or_default()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

const KEYS: [&str; 3] = ["a", "b", "c"];
const CONFIGS: [&str; 2] = ["k", "l"];
const NETWORK: &str = "n";
const API_OPS: usize = 14;

/// Of the API alone: no service has replicas.
pub fn api(seed: u64) -> Sequence {
    let mut random = Random::new(seed);
    let mut ops = vec![create("a", spec(&mut random, "a"))];
    while ops.len() < API_OPS {
        ops.push(api_op(&mut random));
    }
    ops.extend([
        inspect("a"),
        get(&format!("/services{}", filters(&json!({"name": ["{p}"]})))).into(),
        Op::Events,
    ]);
    Sequence::new(&format!("api {seed}"), ops)
}

fn api_op(random: &mut Random) -> Op {
    let key = random.pick(&KEYS);
    match random.below(26) {
        0..=3 => create(key, spec(random, key)),
        4..=8 => update(key, spec(random, key)),
        9 => update_stale(key, spec(random, key)),
        // What skep does: the object's own spec with a change, here of nothing.
        10 => update(key, json!(format!("{{spec:{key}}}"))),
        11 => post(
            &format!("/services/{{id:{key}}}/update?version={{index:{key}}}&rollback=previous"),
            spec(random, key),
        )
        .into(),
        12 => {
            let from = random.pick(&["spec", "previous-spec"]);
            let path =
                format!("/services/{{id:{key}}}/update?version={{index:{key}}}&registryAuthFrom={from}");
            post(&path, spec(random, key)).into()
        }
        13..=14 => inspect(key),
        15 => remove(key),
        16 => get(&format!("/services{}", filters(&list_filter(random)))).into(),
        17 => get(&format!("/tasks{}", filters(&json!({"service": [format!("{{p}}{key}")]})))).into(),
        18 => registry("GET", "/v2/{name}app/tags/list").into(),
        19..=23 => object_op(random),
        _ => network_op(random),
    }
}

fn object_op(random: &mut Random) -> Op {
    let kind = random.pick(&["configs", "secrets"]);
    let key = if kind == "configs" { CONFIGS[0] } else { CONFIGS[1] };
    let body = json!({"Name": format!("{{p}}{key}"), "Data": random.pick(&["eA==", "eA==", "eQ=="]), "Labels": labels(random)});
    match random.below(9) {
        0..=1 => post(&format!("/{kind}/create"), body).named(key).into(),
        2 => post(&format!("/{kind}/{{id:{key}}}/update?version={{index:{key}}}"), body).into(),
        3 => post(&format!("/{kind}/{{id:{key}}}/update?version={{stale:{key}}}"), body).into(),
        4 => get(&format!("/{kind}/{{id:{key}}}")).into(),
        5 => {
            let filter = json!({"name": [format!("{{p}}{}", random.pick(&["", key, "z"]))],
                "label": [random.pick(&["x", "x=1", "y=2"])]});
            get(&format!("/{kind}{}", filters(&filter))).into()
        }
        6 => {
            let more = random.pick(&[
                json!({"Templating": {"Name": "golang"}}),
                json!({"Driver": {}}),
                json!({"Data": null}),
                json!({"Data": "nonsense"}),
            ]);
            post(&format!("/{kind}/create"), with(body, more)).named(key).into()
        }
        _ => delete(&format!("/{kind}/{{id:{key}}}")).into(),
    }
}

fn network_op(random: &mut Random) -> Op {
    match random.below(6) {
        0..=2 => {
            let body =
                json!({"Name": format!("{{p}}{NETWORK}"), "Driver": "overlay", "Labels": labels(random)});
            post("/networks/create", body).named(NETWORK).into()
        }
        3 => get(&format!("/networks/{{id:{NETWORK}}}")).into(),
        4 => get(&format!("/networks{}", filters(&json!({"name": [format!("{{p}}{NETWORK}")]})))).into(),
        _ => delete(&format!("/networks/{{id:{NETWORK}}}")).into(),
    }
}

fn labels(random: &mut Random) -> Value {
    let mut labels = json!({});
    for key in ["x", "y"] {
        if random.chance(40) {
            labels[key] = random.pick(&["1", "2", ""]).into();
        }
    }
    labels
}

fn list_filter(random: &mut Random) -> Value {
    let mut filter = json!({});
    if random.chance(60) {
        filter["name"] = json!([format!("{{p}}{}", random.pick(&["", "a", "b", "z"]))]);
    }
    if random.chance(60) {
        filter["label"] = json!([random.pick(&["x", "x=1", "y=2", "z"])]);
    }
    if random.chance(30) {
        filter["mode"] = json!([random.pick(&["replicated", "global"])]);
    }
    filter
}

/// Mostly valid, of no replicas; some parts of it refused.
fn spec(random: &mut Random, key: &str) -> Value {
    let mut spec = service(key);
    if random.chance(5) {
        let name = random.pick(&["", "{p}a", "{p}b", "{p}bad name", "{p}under_score"]);
        spec["Name"] = name.into();
    }
    let image = random.pick(&["{repo}app:1.0.0", "{repo}app:2.0.0", "{repo}other", "plain:1"]);
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = if random.chance(4) { "".into() } else { image.into() };
    if random.chance(50) {
        spec["Labels"] = labels(random);
    }
    for (percent, part) in PARTS {
        if random.chance(*percent) {
            spec = with(spec, part(random));
        }
    }
    spec
}

type Part = fn(&mut Random) -> Value;

/// Parts of specs, with how often each is there in a hundred.
const PARTS: &[(usize, Part)] = &[
    (25, |random| json!({"TaskTemplate": {"ForceUpdate": random.below(3)}})),
    (
        20,
        |random| json!({"TaskTemplate": {"ContainerSpec": {"Env": random.pick(&[vec!["A=1"], vec!["A=2", "B=1"], vec![]])}}}),
    ),
    (15, |random| json!({"TaskTemplate": {"ContainerSpec": {"Labels": labels(random)}}})),
    (15, |random| {
        json!({"TaskTemplate": {"RestartPolicy": {
        "Condition": random.pick(&["any", "none", "on-failure", "any", "none", "nonsense"]),
        "Delay": random.pick(&[0_i64, 5_000_000_000, 1, -1]), "MaxAttempts": random.below(3)}}})
    }),
    (20, |random| {
        json!({"UpdateConfig": {
        "Parallelism": random.below(3), "FailureAction": random.pick(&["pause", "rollback", "continue", "nonsense", ""]),
        "Order": random.pick(&["start-first", "stop-first", "", "stop-first", "nonsense"])}})
    }),
    (
        10,
        |random| json!({"RollbackConfig": {"Parallelism": random.below(3), "MaxFailureRatio": random.pick(&[0.0, 0.5, 1.0, 1.5])}}),
    ),
    (10, |random| {
        json!({"TaskTemplate": {"Placement": {
        "Constraints": random.pick(&[vec!["node.role==manager"], vec!["node.labels.x!=1"], vec![], vec!["nonsense"]])}}})
    }),
    (10, |random| {
        json!({"TaskTemplate": {"Resources": {"Limits": {
        "MemoryBytes": random.pick(&[0_i64, 8_388_608, 1]), "NanoCPUs": random.pick(&[0_i64, 1_000_000_000, -1])}}}})
    }),
    (10, |random| {
        json!({"TaskTemplate": {"ContainerSpec": {"Healthcheck": {
        "Test": ["CMD", "x"], "Interval": random.pick(&[0_i64, 2_000_000_000, 1]), "Retries": random.below(3)}}}})
    }),
    (8, |random| json!({"EndpointSpec": {"Mode": random.pick(&["vip", "dnsrr", "nonsense"])}})),
    (8, |random| {
        json!({"TaskTemplate": {"ContainerSpec": {"Mounts": [{
        "Type": random.pick(&["volume", "tmpfs", "nonsense"]), "Target": random.pick(&["/x", "/y", ""])}]}}})
    }),
    (
        5,
        |_| json!({"Mode": {"Replicated": null, "Global": {}}, "TaskTemplate": {"Placement": {"Constraints": ["node.labels.none==1"]}}}),
    ),
    (8, |random| {
        json!({"TaskTemplate": {"ContainerSpec": {
        "StopGracePeriod": random.pick(&[0_i64, 1_000_000_000]), "TTY": random.chance(50), "Hostname": random.pick(&["", "h"])}}})
    }),
    (6, |_| {
        json!({"TaskTemplate": {"ContainerSpec": {"Configs": [{
        "ConfigID": "{id:k}", "ConfigName": "{p}k", "File": {"Name": "x", "UID": "0", "GID": "0", "Mode": 292}}]}}})
    }),
    (6, |_| {
        json!({"TaskTemplate": {"ContainerSpec": {"Secrets": [{
        "SecretID": "{id:l}", "SecretName": "{p}l", "File": {"Name": "x", "UID": "0", "GID": "0", "Mode": 292}}]}}})
    }),
    (4, |random| json!({"TaskTemplate": {"Networks": [{"Target": random.pick(&["{id:n}", "{p}n"])}]}})),
];

const IMAGES: [(&str, Does); 5] = [
    ("1.0.0", Does::Runs),
    ("2.0.0", Does::Healthy),
    ("3.0.0", Does::Fails),
    ("4.0.0", Does::Finishes),
    ("5.0.0", Does::Crashes),
];
const UPDATES_MAX: usize = 2;

/// With tasks: a service, and a few changes, each until nothing moves. Replicas change alone: which slots go, and which
/// are updated first, is a race on a real Swarm.
pub fn tasks(seed: u64) -> Sequence {
    let mut random = Random::new(seed);
    let mut ops: Vec<Op> = IMAGES.iter().map(|(tag, does)| push("app", tag, *does)).collect();
    let mut spec = task_spec(&mut random, 70);
    ops.extend([create("a", spec.clone()), Op::Settle]);
    for _ in 0..1 + random.below(UPDATES_MAX) {
        if random.chance(20) {
            spec = with(spec, replicas(&mut random));
        } else {
            let mode = spec["Mode"].clone();
            spec = one_by_one(with(task_spec(&mut random, 40), json!({"Mode": mode})));
        }
        ops.extend([update("a", spec.clone()), Op::Settle]);
    }
    ops.push(Op::Events);
    Sequence::new(&format!("tasks {seed}"), ops)
}

/// Whether the next task is replaced before the failure of the one before is noticed is a race on a real Swarm: where a
/// failure ends the update, they are replaced one after the other, with longer between them than a failing one lives.
fn one_by_one(spec: Value) -> Value {
    let image = spec["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap_or_default();
    let ends = IMAGES.iter().any(|(tag, does)| {
        matches!(does, Does::Fails | Does::Finishes | Does::Crashes) && image.contains(&format!(":{tag}"))
    });
    match ends && spec["UpdateConfig"]["FailureAction"] != "continue" {
        true => with(spec, json!({"UpdateConfig": {"Parallelism": 1, "Delay": 1_500_000_000_u64}})),
        false => spec,
    }
}

fn replicas(random: &mut Random) -> Value {
    json!({"Mode": {"Replicated": {"Replicas": 1 + random.below(3)}}})
}

/// `good`: how often in a hundred the image is one that runs.
fn task_spec(random: &mut Random, good: usize) -> Value {
    let tag = if random.chance(good) {
        random.pick(&["1.0.0", "2.0.0"])
    } else {
        random.pick(&["3.0.0", "4.0.0", "5.0.0", "9.0.0"])
    };
    let mut image = format!("{{repo}}app:{tag}");
    if tag != "9.0.0" && random.chance(40) {
        image += &format!("@{{digest:app:{tag}}}");
    }
    let mut spec = running("a", &image, 1 + random.below(3) as u64);
    if random.chance(30) {
        let policy =
            json!({"Condition": random.pick(&["any", "on-failure"]), "MaxAttempts": 1, "Delay": 100_000_000});
        spec = with(spec, json!({"TaskTemplate": {"RestartPolicy": policy}}));
    }
    if random.chance(30) {
        spec = with(spec, json!({"TaskTemplate": {"ForceUpdate": 1}}));
    }
    if random.chance(10) {
        spec =
            with(spec, json!({"TaskTemplate": {"Placement": {"Constraints": ["node.hostname==nowhere"]}}}));
    }
    let config = json!({
        "Parallelism": random.below(3), "Monitor": 2_500_000_000_u64,
        "FailureAction": random.pick(&["pause", "rollback", "continue"]),
        "Order": random.pick(&["stop-first", "start-first"]),
    });
    with(spec, json!({"UpdateConfig": config, "RollbackConfig": {"Monitor": 500_000_000}}))
}
