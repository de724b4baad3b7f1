//! A test bed: a real Docker Swarm of several hosts with a real registry, that touches nothing on the machine.
//!
//! ```ignore
//! let bed = Bed::start(Options { hosts: 3, ..Options::default() });        // or the shared one a case is handed
//! let pushed = bed.push("lighttag/frontend", "1.10.0", &Image::says("frontend 1.10.0"));
//!
//! let ws = bed.workspace();                          // specs, state, home, skep.toml of this test alone
//! ws.spec("acme.toml", &format!("[services.frontend]\nimage = \"{}\"\n", bed.image("lighttag/frontend")));
//! let plan = ws.skep(&["plan", "--output", "json"]).expect_status(1).json();
//! ws.skep(&["apply"]).ok();
//! bed.wait_says("acme_frontend", 2, "frontend 1.10.0");         // by the containers' own logs
//!
//! let mut run = ws.skep_spawn(&["run"]);             // .stderr() .sigterm() .sighup() .kill9() .wait(limit)
//! wait_until(SOON, "the event is there", || {
//!     let events = ws.read("state/events/events.jsonl");
//!     check(events.contains("ImageUpdated"), || events)
//! });
//! let service = bed.service("acme_frontend");        // raw JSON of the engine
//! bed.node(0).post(&format!("/services/{}/update?version={}", …), &spec);
//! bed.node(1).restart();                             // .kill9() .crash() .start_again() .cut_off() .reconnect()
//! bed.registry.open.stop();                          // .start() .freeze() .thaw() .requests()
//! ```
//!
//! # How it is made
//! `supervisor.sh` runs `init.sh` as PID 1 of new PID and mount namespaces, which makes a network namespace for each
//! host, the registry and a client, on a bridge in one more. Every dockerd, containerd, shim and container is a
//! process in that PID namespace: when PID 1 goes, so do they, their mounts and their networks, and the supervisor
//! removes cgroups and files. PID 1 goes when the pipe to it closes: by `drop`, by a panic, or by `kill -9` of the
//! test. Nothing of it depends on the test's cooperation.
//!
//! Programs that speak to the registry by its address, skep above all, run in the client's network namespace
//! (`Workspace::skep`, [`Bed::enter`]); otherwise they are ordinary processes of the machine. The daemons' sockets are
//! files, so the test itself speaks to engines and registry without entering anything.
//!
//! `SKEP_BED_KEEP=1` leaves logs and workspaces in `/tmp/skep-bed-*`.
//!
//! # Limits of the kernel at hand
//! Without IP_VS, published ports must have `mode: host`, and services reach each other by `tasks.NAME` or with
//! `endpoint_mode: dnsrr`.

mod control;
pub mod http;
mod image;
mod leftovers;
mod node;
pub mod process;
mod registry;
pub mod token;
mod wait;
mod workspace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use control::Control;
pub use image::{Does, Image};
pub use leftovers::Machine;
pub use node::Node;
pub use registry::{NEXT_PASSWORD, PASSWORD, Pushed, Registry, USER};
pub use wait::{check, wait_until};
pub use workspace::Workspace;

/// Long enough for anything that a healthy Swarm does, on a slow machine too.
pub const SOON: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Options {
    pub hosts: usize,
    /// How many of the hosts are managers: the first ones.
    pub managers: usize,
    /// How often nodes report to the managers; the engine's default is 5 s. Shorter: a lost node is noticed sooner.
    pub heartbeat: Option<Duration>,
    /// More options for every dockerd.
    pub dockerd: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options { hosts: 1, managers: 1, heartbeat: None, dockerd: Vec::new() }
    }
}

pub struct Bed {
    nodes: Vec<Node>,
    managers: usize,
    pub registry: Registry,
    control: Arc<Control>,
    dir: PathBuf,
    name: String,
    workspaces: AtomicU16,
}

impl Bed {
    /// What keeps beds from being started here; nothing if they can.
    pub fn missing() -> Vec<String> {
        let mut missing = Vec::new();
        if !rustix::process::geteuid().is_root() {
            missing.push("root".to_owned());
        }
        let programs = [
            ("dockerd", "docker.io"),
            ("docker-registry", "docker-registry"),
            ("containerd", "containerd"),
            ("ip", "iproute2"),
            ("iptables", "iptables"),
            ("nsenter", "util-linux"),
            ("unshare", "util-linux"),
            ("hostname", "hostname"),
        ];
        let path = std::env::var_os("PATH").unwrap_or_default();
        for (program, package) in programs {
            if !std::env::split_paths(&path).any(|folder| folder.join(program).exists()) {
                missing.push(format!("{program} (package {package})"));
            }
        }
        if image::busybox().is_none() {
            missing.push("a static busybox (package busybox-static)".to_owned());
        }
        missing
    }

    /// The names of all beds of a process begin so.
    pub fn prefix(pid: u32) -> String {
        format!("skep-bed-{pid}-")
    }

    /// Takes 2 to 5 s.
    ///
    /// # Panics
    /// When a daemon does not come up; the message has the end of its log.
    pub fn start(options: Options) -> Self {
        assert!((1..=options.hosts).contains(&options.managers), "{options:?}");
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
        let name = format!("{}{nanos:x}", Self::prefix(std::process::id()));
        let dir = PathBuf::from("/tmp").join(&name);
        fs::create_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        fs::write(dir.join("daemon.json"), "{}").expect("the bed's directory is ours");

        let control = Arc::new(Control::start(&dir, &name));
        let nodes: Vec<Node> =
            (0..options.hosts).map(|n| Node::start(&control, &dir, n, &options.dockerd)).collect();
        control.run("add_host registry 192.168.77.2");
        control.run("add_host client 192.168.77.3");
        let registry = Registry::start(&control, &dir);
        nodes.iter().for_each(Node::ready);
        let bed = Bed {
            nodes,
            managers: options.managers,
            registry,
            control,
            dir,
            name,
            workspaces: AtomicU16::new(0),
        };
        bed.form_swarm(options.heartbeat);
        bed
    }

    fn form_swarm(&self, heartbeat: Option<Duration>) {
        let first = self.node(0);
        first.init_swarm(heartbeat);
        let tokens = &first.get("/swarm")["JoinTokens"];
        std::thread::scope(|scope| {
            for (number, node) in self.nodes.iter().enumerate().skip(1) {
                let role = if number < self.managers { "Manager" } else { "Worker" };
                let token = tokens[role].as_str().expect("a Swarm has join tokens");
                scope.spawn(move || node.join_swarm(first, token));
            }
        });
        let expected = self.nodes.len();
        wait_until(SOON, "all nodes are ready", || {
            let nodes = self.get("/nodes");
            let ready = |node: &&Value| node["Status"]["State"] == "ready";
            let ready = nodes.as_array().into_iter().flatten().filter(ready).count();
            check(ready == expected, || nodes.to_string())
        });
    }

    /// Unique on the machine; begins with [`Bed::prefix`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where everything of the bed lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The PID of the process that clears the bed away.
    pub fn supervisor(&self) -> u32 {
        self.control.supervisor()
    }

    /// Managers come first.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A place to work in for one test.
    pub fn workspace(&self) -> Workspace<'_> {
        Workspace::new(self, self.workspaces.fetch_add(1, Ordering::Relaxed))
    }

    /// A program in a network namespace of the bed: `client`, `registry`, `n0`, …
    pub fn enter(&self, namespace: &str, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let mut net = std::ffi::OsString::from("--net=");
        net.push(self.control.network(namespace));
        command.arg(net).arg(program);
        command
    }

    // --- the registry ---

    /// Pushes an image under a tag; a tag that is there moves. `repository` without the registry's address.
    pub fn push(&self, repository: &str, tag: &str, image: &Image) -> Pushed {
        self.registry.push(repository, tag, image)
    }

    pub fn delete_tag(&self, repository: &str, tag: &str) {
        self.registry.delete_tag(repository, tag);
    }

    /// The full name of a repository, through the door that asks no password.
    pub fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.registry.open.address)
    }

    /// The full name of a repository, through the door that asks for [`USER`] and [`PASSWORD`].
    pub fn private_image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.registry.private.address)
    }

    // --- the Swarm ---

    /// Asks the first manager that answers.
    ///
    /// # Panics
    /// When none does, with what each said.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let mut said = Vec::new();
        for node in &self.nodes[..self.managers] {
            match node.call("GET", path, None) {
                Ok(answer) if answer.status < 400 => return answer.json(),
                Ok(answer) => said.push(format!("{}: {} {}", node.name, answer.status, answer.text())),
                Err(error) => said.push(format!("{}: {error}", node.name)),
            }
        }
        panic!("GET {path}: {}", said.join("; "))
    }

    /// Creates a replicated service past skep and the CLI; `more` is laid over its spec.
    pub fn create_service(&self, name: &str, image: &str, replicas: u32, more: Value) {
        let mut spec = json!({
            "Name": name,
            "TaskTemplate": {"ContainerSpec": {"Image": image}, "RestartPolicy": {"Delay": 500_000_000}},
            "Mode": {"Replicated": {"Replicas": replicas}},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        self.node(0).post("/services/create", &spec);
    }

    /// The service as the engine has it; `None` if there is none of this whole name.
    pub fn service(&self, name: &str) -> Option<Value> {
        let services = self.get(&format!("/services?filters={}", filter("name", name)));
        services.as_array()?.iter().find(|service| service["Spec"]["Name"] == name).cloned()
    }

    /// All tasks of a service that the managers remember; none if there is no such service.
    pub fn tasks(&self, service: &str) -> Vec<Value> {
        if self.service(service).is_none() {
            return Vec::new();
        }
        let tasks = self.get(&format!("/tasks?filters={}", filter("service", service)));
        tasks.as_array().cloned().unwrap_or_default()
    }

    /// The tasks that run and shall run.
    pub fn running(&self, service: &str) -> Vec<Value> {
        let mut tasks = self.tasks(service);
        tasks.retain(|task| task["DesiredState"] == "running" && task["Status"]["State"] == "running");
        tasks
    }

    /// What each running container of a service says itself, with its host, sorted. Nobody's claim about an image
    /// counts here: these are the containers' logs, read on their hosts.
    pub fn container_says(&self, service: &str) -> Vec<(String, String)> {
        let ids: Vec<(String, &Node)> = self
            .get("/nodes")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|member| {
                let name = member["Description"]["Hostname"].as_str()?;
                let node = self.nodes.iter().find(|node| node.name == name)?;
                Some((member["ID"].as_str()?.to_owned(), node))
            })
            .collect();
        let mut says = Vec::new();
        for task in self.running(service) {
            let Some((_, node)) = ids.iter().find(|(id, _)| task["NodeID"] == id.as_str()) else { continue };
            let id = task["Status"]["ContainerStatus"]["ContainerID"].as_str().unwrap_or_default();
            says.push((node.name.clone(), node.container_log(id).trim().to_owned()));
        }
        says.sort();
        says
    }

    /// Until exactly so many containers of a service run, and each says this.
    ///
    /// # Panics
    /// After [`SOON`], with what they said last and the tasks' errors.
    #[track_caller]
    pub fn wait_says(&self, service: &str, count: usize, text: &str) {
        wait_until(SOON, &format!("{count} containers of {service} say {text:?}"), || {
            let says = self.container_says(service);
            check(says.len() == count && says.iter().all(|(_, said)| said == text), || {
                format!("{says:?}\n{}", self.diagnose())
            })
        });
    }

    /// Removes a service, and waits until no container of it is left.
    pub fn remove_service(&self, name: &str) {
        self.node(0).delete(&format!("/services/{name}"));
        let label = filter("label", &format!("com.docker.swarm.service.name={name}"));
        wait_until(SOON, &format!("the containers of {name} are gone"), || {
            let left = |node: &Node| node.get(&format!("/containers/json?filters={label}"));
            let left: Vec<Value> = self.nodes.iter().map(left).filter(|left| *left != json!([])).collect();
            check(left.is_empty(), || format!("{left:?}"))
        });
    }

    /// Services, and tasks with their errors, one a line: for messages.
    pub fn diagnose(&self) -> String {
        let Some(text) = self.try_diagnose() else { return "the Swarm does not answer".to_owned() };
        text
    }

    fn try_diagnose(&self) -> Option<String> {
        let ask = |path: &str| {
            let answers =
                self.nodes[..self.managers].iter().filter_map(|node| node.call("GET", path, None).ok());
            answers.into_iter().find(|answer| answer.status < 400).map(|answer| answer.json())
        };
        let services = ask("/services")?;
        let tasks = ask("/tasks")?;
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let mut out = String::new();
        for service in services.as_array()? {
            let (spec, id) = (&service["Spec"], &service["ID"]);
            let image = &spec["TaskTemplate"]["ContainerSpec"]["Image"];
            out += &format!("service {} {} {}\n", text(&spec["Name"]), text(image), service["UpdateStatus"]);
            for task in tasks.as_array()?.iter().filter(|task| task["ServiceID"] == *id) {
                let status = &task["Status"];
                let image = text(&task["Spec"]["ContainerSpec"]["Image"]);
                let (state, wanted) = (text(&status["State"]), text(&task["DesiredState"]));
                out += &format!("  task {image} {state} (wanted {wanted}) {}\n", text(&status["Err"]));
            }
        }
        Some(out)
    }
}

/// `filters={"key":["value"]}`, encoded.
pub fn filter(key: &str, value: &str) -> String {
    http::percent_encode(&json!({key: [value]}).to_string())
}
