//! Equal to `docker stack deploy`, shown by the specs of `tests/equal`: the docker CLI makes each stack
//! on two Swarms, once of what `skep render` prints and once of the spec's own words, and skep makes
//! all of them on a third. What the engines then hold is compared field by field.

mod exceptions;
mod objects;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::bed::process::Ran;
use crate::bed::{Bed, Image, Options, SOON, Workspace, check, wait_until};
use exceptions::{OF_TEMPLATES, Of};
use objects::Stacks;

/// Runs of docker and skep side by side.
const AT_ONCE: usize = 4;
const HOST: &str = "registry.example.com";
/// What specs take from skep's surroundings.
const VARIABLES: [(&str, &str); 2] =
    [("EQUAL_TOKEN", "a token of a variable"), ("EQUAL_CONFIG", "a config\n")];
/// Specs that no bed can make, and why.
const NOT_HERE: [(&str, &str); 1] =
    [("secrets-driver", "the engine makes a secret with a driver only where it has that plugin")];
/// Specs with a service that waits for another, so that a second pass makes it.
const WITH_AFTER: &str = "own-keys";

/// A customer of `tests/equal`, with the bed's registry in the place of the example's.
struct Spec {
    name: String,
    text: String,
}

pub fn docker_stack_deploy_makes_the_same(bed: &Bed) {
    std::thread::scope(|scope| {
        let start = || scope.spawn(|| Bed::start(Options::default()));
        let others = [start(), start()];
        let digest = prepare(bed);
        let (ws, specs) = workspace(bed, &digest);
        the_second_pass_writes_nothing(&ws);
        let others = others.map(|bed| bed.join().expect("a bed starts"));
        for bed in &others {
            assert_eq!(prepare(bed), digest, "an image is the same in every registry");
        }
        let [printed, worded] = &others;
        compare(&specs, &ws, printed, worded);
    });
}

/// Images, and what is somebody else's to make. Gives the images' digest.
fn prepare(bed: &Bed) -> String {
    let push = |tag: &str| bed.push("equal/app", tag, &Image::says("equal")).digest;
    let digest = push("1.1.0");
    for tag in ["1.0.0", "1.1.0-alpine"] {
        assert_eq!(push(tag), digest);
    }
    let ws = bed.workspace();
    ws.write("outside", "made by somebody else");
    for name in ["equal-outside", "equal-elsewhere"] {
        ws.docker(&["network", "create", "-d", "overlay", name]).ok();
        ws.docker(&["secret", "create", name, "outside"]).ok();
        ws.docker(&["config", "create", name, "outside"]).ok();
    }
    ws.docker(&["config", "create", "equal-theirs", "outside"]).ok();
    digest
}

/// The files of a folder of `tests/equal` by name.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/equal").join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths
        .filter(|path| path.is_file())
        .map(|path| (name(&path), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

fn workspace<'a>(bed: &'a Bed, digest: &str) -> (Workspace<'a>, Vec<Spec>) {
    let ws = bed.workspace();
    let zeros = format!("sha256:{}", "0".repeat(64));
    let filled = |text: String| text.replace(HOST, bed.registry.open.address).replace(&zeros, digest);
    for folder in ["templates", "files"] {
        for (name, text) in files(folder) {
            ws.spec(&format!("{folder}/{name}"), &filled(text));
        }
    }
    let mut specs = Vec::new();
    for (file, text) in files("") {
        let Some(name) = file.strip_suffix(".toml") else { continue };
        if NOT_HERE.iter().any(|(not, _)| *not == name) {
            continue;
        }
        let text = filled(text);
        ws.spec(&file, &text);
        specs.push(Spec { name: name.to_owned(), text });
    }
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    (ws, specs)
}

fn skep(ws: &Workspace<'_>, arguments: &[&str]) -> Ran {
    let mut command = ws.skep_command(arguments);
    ws.spawn(command.envs(VARIABLES)).wait(SOON * 2)
}

/// Of what `apply` says: a hundred stacks that are as they should be are not worth a word.
fn what_is_wrong(said: &str) -> String {
    let wrong = |line: &&str| [" ! ", " ? ", "failed"].iter().any(|mark| line.contains(mark));
    said.lines().filter(wrong).collect::<Vec<_>>().join("\n")
}

/// Of every object, what changes when somebody writes it.
fn indexes(bed: &Bed) -> BTreeMap<String, Value> {
    let mut indexes = BTreeMap::new();
    for kind in ["services", "networks", "secrets", "configs"] {
        for object in bed.get(&format!("/{kind}")).as_array().unwrap() {
            let name = object["Spec"]["Name"].as_str().or(object["Name"].as_str()).unwrap();
            let version = json!([object["ID"], object["Id"], object["Version"]["Index"]]);
            indexes.insert(format!("{kind} {name}"), version);
        }
    }
    indexes
}

/// The same once the engine writes no more: its allocator writes each new service again, late on a busy
/// machine. No skep runs meanwhile, so that nothing of skep's is hidden by it.
fn indexes_at_rest(bed: &Bed) -> BTreeMap<String, Value> {
    let (mut last, mut equal) = (indexes(bed), 0);
    wait_until(SOON, "the engine writes no more", || {
        let now = indexes(bed);
        equal = if now == last { equal + 1 } else { 0 };
        last = now;
        check(equal >= 20, || "an index moved".to_owned())
    });
    last
}

/// What waits `after` another is made by the second pass; the third has nothing left to do.
fn the_second_pass_writes_nothing(ws: &Workspace<'_>) {
    let mut passes = Vec::new();
    // That something waits is told by the first one's status.
    for status in [1, 0, 0] {
        let ran = skep(ws, &["apply", "--no-wait"]);
        assert_eq!(ran.status, Some(status), "{}", what_is_wrong(&ran.stdout));
        passes.push(indexes_at_rest(ws.bed));
    }
    let [first, second, third] = passes.try_into().unwrap();
    for (name, version) in &first {
        assert_eq!(second.get(name), Some(version), "a second pass wrote {name}");
    }
    let added: Vec<&String> = second.keys().filter(|name| !first.contains_key(*name)).collect();
    assert_eq!(added, [&format!("services {WITH_AFTER}_web")], "only what waits for another is made later");
    assert_eq!(third, second, "a third pass wrote something");
}

/// Does something with each of the specs, several at once; gives what went wrong.
fn each(specs: &[Spec], one: impl Fn(&Spec) -> Vec<String> + Sync) -> Vec<String> {
    let (queue, faults) = (Mutex::new(specs.iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(spec) = next() {
                    faults.lock().unwrap().extend(one(spec));
                }
            });
        }
    });
    faults.into_inner().unwrap()
}

fn compare(specs: &[Spec], ws: &Workspace<'_>, printed: &Bed, worded: &Bed) {
    let by_skep = Stacks::of(ws.bed);
    let names: BTreeSet<&str> = specs.iter().map(|spec| &*spec.name).collect();
    assert_eq!(by_skep.names(), names, "skep makes a stack of each");
    objects::copy_blobs(ws.bed, printed.node(0));
    let (ws_printed, ws_worded) = (printed.workspace(), worded.workspace());
    for (name, text) in files("files") {
        ws_worded.write(&format!("files/{name}"), &text);
    }
    let mut faults = each(specs, |spec| {
        let render = skep(ws, &["render", &spec.name]);
        if render.status != Some(0) {
            return vec![format!("{}: skep render: {}", spec.name, render.stderr)];
        }
        let mut faults = deploy(&ws_printed, spec, Of::WhatRenderPrints, &render.stdout);
        if spec.name != OF_TEMPLATES {
            let compose = words::compose(&spec.name, &spec.text, &images(&by_skep, spec), &ws_worded);
            faults.extend(deploy(&ws_worded, spec, Of::TheWords, &compose));
        }
        faults
    });
    let mut used = BTreeSet::new();
    for (of, stacks) in [(Of::WhatRenderPrints, Stacks::of(printed)), (Of::TheWords, Stacks::of(worded))] {
        for spec in specs {
            if exceptions::refusal(of, &spec.name).is_some()
                || (of, &*spec.name) == (Of::TheWords, OF_TEMPLATES)
            {
                continue;
            }
            for found in objects::differences(stacks.stack(&spec.name), by_skep.stack(&spec.name)) {
                match exceptions::excuse(of, &spec.name, &found.pointer) {
                    Some(exception) => drop(used.insert(exception)),
                    None => faults.push(format!("{}, {of:?}: {found}", spec.name)),
                }
            }
        }
    }
    faults.extend(exceptions::needless(&used));
    faults.extend(only_adopted(specs, ws, &ws_printed));
    assert!(faults.is_empty(), "{} differences:\n{}", faults.len(), faults.join("\n"));
}

/// The images that skep chose, by service key.
fn images(stacks: &Stacks, spec: &Spec) -> BTreeMap<String, Value> {
    let prefix = format!("service {}_", spec.name);
    let image = |spec: &Value| spec["TaskTemplate"]["ContainerSpec"]["Image"].clone();
    let services = stacks.stack(&spec.name).iter();
    services.filter_map(|(name, spec)| Some((name.strip_prefix(&prefix)?.to_owned(), image(spec)))).collect()
}

/// `docker stack deploy`; what it should not have refused, or taken.
fn deploy(ws: &Workspace<'_>, spec: &Spec, of: Of, compose: &str) -> Vec<String> {
    let file = format!("{}.yml", spec.name);
    // `write` of the workspace is not for several threads.
    std::fs::write(ws.dir.join(&file), compose).unwrap();
    let ran = ws.docker(&["stack", "deploy", "--resolve-image", "never", "-c", &file, &spec.name]);
    match exceptions::refusal(of, &spec.name) {
        Some(said) if ran.status == Some(0) || !ran.stderr.contains(said) => {
            vec![format!("{}, {of:?}: is not refused with {said:?}: {}", spec.name, ran.stderr)]
        }
        None if ran.status != Some(0) => {
            vec![format!("{}, {of:?}: is refused: {}\n{compose}", spec.name, ran.stderr)]
        }
        _ => Vec::new(),
    }
}

/// `skep plan` of the same specs where the docker CLI made the stacks changes nothing but who owns them.
fn only_adopted(specs: &[Spec], ws: &Workspace<'_>, printed: &Workspace<'_>) -> Vec<String> {
    // The names of secrets are made with the key.
    std::fs::create_dir_all(printed.dir.join("state")).unwrap();
    std::fs::copy(ws.dir.join("state/content.key"), printed.dir.join("state/content.key")).unwrap();
    for folder in ["templates", "files"] {
        for (name, _) in files(folder) {
            let text = ws.read(&format!("specs/{folder}/{name}"));
            printed.spec(&format!("{folder}/{name}"), &words::adopting(&text));
        }
    }
    for spec in specs {
        printed.spec(&format!("{}.toml", spec.name), &words::adopting(&spec.text));
    }
    let plan = skep(printed, &["plan", "--output", "json"]).json();
    let customers = plan["customers"].as_array().unwrap();
    let deployed = Stacks::of(printed.bed);
    let mut faults = Vec::new();
    for spec in specs.iter().filter(|spec| exceptions::refusal(Of::WhatRenderPrints, &spec.name).is_none()) {
        let plan = customers.iter().find(|plan| plan["customer"] == *spec.name).unwrap_or(&Value::Null);
        let list = |key: &str| plan[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let adopted = |step: &&Value| {
            step["kind"] == "service" && step["changes"] == json!([]) && step["from"] == step["to"]
        };
        let waits = |waiting: &&Value| waiting["reason"] == "DependencyNotReady" && spec.name == WITH_AFTER;
        let fine =
            list("steps").iter().filter(adopted).count() + list("waiting").iter().filter(waits).count();
        let all = list("steps").len() + list("waiting").len();
        let services = deployed.stack(&spec.name).keys().filter(|name| name.starts_with("service ")).count();
        if (fine, all) != (services, services) {
            faults.push(format!("{}: {services} services and nothing else to adopt: {plan:#}", spec.name));
        }
    }
    faults
}
