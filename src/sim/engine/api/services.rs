//! `/services`.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{self, Answer, Code, Refusal, created, empty, ok};
use super::{Call, allocate, networks, query, spec, validate, view};
use crate::sim::engine::options::new_object;
use crate::sim::engine::orchestrate;
use crate::sim::engine::state::{Service, State, Task, TaskState, Update};

const FILTERS: [&str; 5] = ["name", "id", "label", "mode", "runtime"];

pub(super) fn list(call: &Call<'_>, _: &str) -> Answer {
    // Only here are filters that cannot be read the client's fault.
    call.query.any_filters().map_err(|refusal| Refusal::bad(refusal.message))?;
    let filters = call.query.filters(&FILTERS)?;
    let status = call.query.bool("status")?;
    call.engine.read(|state| {
        let fits = |service: &&Service| {
            let spec = &service.object.spec;
            let mode = spec["Mode"].as_object().and_then(|mode| mode.keys().next());
            let mode = match mode.map(String::as_str) {
                Some("Global") => "global",
                Some("ReplicatedJob") => "replicated-job",
                Some("GlobalJob") => "global-job",
                _ => "replicated",
            };
            filters.prefix("name", service.name())
                && filters.prefix("id", &service.object.id)
                && filters.labels("label", spec.get("Labels"))
                && filters.exact("mode", mode)
                && filters.exact("runtime", "container")
        };
        let shown = |service: &Service| {
            let mut shown = view::service(service, false);
            if status {
                shown["ServiceStatus"] = counts(state, service);
            }
            shown
        };
        answer::list(candidates(state, &filters).into_iter().filter(fits).map(shown))
    })
}

/// The services that a filter of names leaves, found by their index; in the order of their IDs.
fn candidates<'a>(state: &'a State, filters: &query::Filters) -> Vec<&'a Service> {
    if !filters.has("name") {
        return state.services.values().collect();
    }
    let mut found: Vec<&Service> = filters.get("name").flat_map(|name| state.services.named(name)).collect();
    found.sort_by(|one, other| one.object.id.cmp(&other.object.id));
    found.dedup_by(|one, other| one.object.id == other.object.id);
    found
}

/// `ServiceStatus`.
fn counts(state: &State, service: &Service) -> Value {
    let of_service = |task: &&Task| task.service == service.object.id;
    let tasks = || state.tasks.values().filter(of_service);
    let running = tasks().filter(|task| task.state == TaskState::Running).count();
    let mode = &service.object.spec["Mode"];
    let job = mode.get("ReplicatedJob").or_else(|| mode.get("GlobalJob")).is_some();
    let current = |task: &&Task| !job || task.job_iteration == Some(service.job_iteration);
    let completed = tasks().filter(current).filter(|task| task.state == TaskState::Complete).count();
    let desired = match mode["Replicated"]["Replicas"].as_u64() {
        Some(replicas) => replicas,
        None if job => mode["ReplicatedJob"]["MaxConcurrent"].as_u64().unwrap_or_default(),
        None => tasks().filter(|task| task.desired == TaskState::Running).count() as u64,
    };
    let completed = if job { completed } else { 0 };
    json!({"RunningTasks": running, "DesiredTasks": desired, "CompletedTasks": completed})
}

pub(super) fn inspect(call: &Call<'_>, id: &str) -> Answer {
    let defaults = call.query.bool("insertDefaults")?;
    call.engine.read(|state| ok(&view::service(find(state, id)?, defaults)))
}

/// By whole ID, name, or the beginning of an ID.
pub(super) fn find<'a>(state: &'a State, id: &str) -> Result<&'a Service, Refusal> {
    if let Some(service) = state.find_service(id) {
        return Ok(service);
    }
    let begun: Vec<&Service> =
        state.services.values().filter(|service| service.object.id.starts_with(id)).collect();
    match begun.as_slice() {
        [service] => Ok(service),
        [] => Err(Refusal::missing("service", id)),
        many => Err(Refusal::server(format!("service {id} is ambiguous ({} matches found)", many.len()))),
    }
}

/// The networks that a spec attaches to: in its template, or where old clients put them.
pub(super) fn attachments(spec: &Value) -> impl Iterator<Item = &Value> {
    let template = spec["TaskTemplate"]["Networks"].as_array();
    let attached = template.filter(|list| !list.is_empty()).or_else(|| spec["Networks"].as_array());
    attached.into_iter().flatten()
}

/// Reads and converts the spec that was sent, and gives its networks their IDs.
fn sent_spec(call: &Call<'_>) -> Result<Value, Refusal> {
    let body = query::body(call.request)?;
    let mut spec = spec::read(&body)?;
    for pointer in ["/TaskTemplate/Networks", "/Networks"] {
        for attached in spec.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten() {
            let target = attached["Target"].as_str().unwrap_or_default();
            let found = call.engine.read(|state| networks::find(state, target).map(|n| n.id.clone()));
            // A network that is missing is here the server's fault.
            attached["Target"] = Value::from(found.map_err(|refusal| Refusal::server(refusal.message))?);
        }
    }
    Ok(spec)
}

pub(super) fn auth(call: &Call<'_>) -> Option<String> {
    let header = call.request.headers().get("X-Registry-Auth").and_then(|value| value.to_str().ok());
    header.filter(|auth| !auth.is_empty()).map(str::to_owned)
}

pub(super) fn create(call: &Call<'_>, _: &str) -> Answer {
    let mut spec = sent_spec(call)?;
    spec::convert(&mut spec)?;
    let auth = auth(call);
    let now = call.engine.now();
    call.engine.with(|state| {
        if spec["Name"] == "" {
            spec["Name"] = Value::from(random_name(state));
        }
        validate::spec(&spec)?;
        validate::networks(state, &spec)?;
        validate::ports(state, &spec, None)?;
        validate::existence(state, &spec)?;
        let name = spec["Name"].as_str().unwrap_or_default().to_owned();
        if state.services.values().any(|service| service.name().eq_ignore_ascii_case(&name)) {
            let message = format!("name conflicts with an existing object: service {name} already exists");
            return Err(Refusal::swarm(Code::AlreadyExists, message));
        }
        let id = insert(state, spec, auth, now);
        created(&json!({ "ID": id }))
    })
}

/// For a service that was given no name; of two words, as the engine makes them.
fn random_name(state: &State) -> String {
    let digits = state.ids.to_string();
    let letters = digits.bytes().map(|digit| char::from(digit - b'0' + b'a'));
    format!("unnamed_{}", letters.collect::<String>())
}

fn insert(state: &mut State, spec: Value, auth: Option<String>, now: Timestamp) -> String {
    let job = spec["Mode"].get("ReplicatedJob").or_else(|| spec["Mode"].get("GlobalJob")).is_some();
    let object = new_object(state, spec, now);
    let id = object.id.clone();
    let service = Service {
        object,
        previous_spec: None,
        // None yet: the index that the object has now is that of the first update.
        spec_index: 0,
        previous_spec_index: None,
        update: None,
        auth,
        previous_auth: None,
        job_iteration: 0,
        job_began: job.then_some(now),
    };
    let name = service.name().to_owned();
    state.services.insert(id.clone(), service);
    state.tell("service", "create", &id, &name, now);
    allocate::allocate(state, &id, now);
    state.touch_service(&id);
    id
}

pub(super) fn update(call: &Call<'_>, id: &str) -> Answer {
    let body = query::body(call.request)?;
    spec::read(&body)?;
    let version = call.query.version("service")?;
    let mut spec = sent_spec(call)?;
    spec::convert(&mut spec)?;
    let sent_auth = auth(call);
    let now = call.engine.now();
    call.engine.with(|state| {
        let old = find(state, id)?.clone();
        let auth = kept_auth(call, sent_auth, &old)?;
        let rollback = match call.query.get("rollback") {
            "" | "none" => false,
            "previous" => true,
            other => return Err(Refusal::server(format!("unrecognized rollback option {other}"))),
        };
        check_update(state, &old, &mut spec)?;
        let new = changed(&old, spec, auth, rollback, now)?;
        if old.object.index != version {
            return Err(Refusal::out_of_sequence());
        }
        write(state, &old, new, now);
        ok(&json!({ "Warnings": null }))
    })
}

/// Credentials are kept when none are sent.
fn kept_auth(call: &Call<'_>, sent: Option<String>, old: &Service) -> Result<Option<String>, Refusal> {
    if sent.is_some() {
        return Ok(sent);
    }
    match call.query.get("registryAuthFrom") {
        "" | "spec" => Ok(old.auth.clone()),
        "previous-spec" if old.previous_spec.is_none() => {
            Err(Refusal::server("service does not have a previous spec"))
        }
        "previous-spec" => Ok(old.previous_auth.clone()),
        _ => Err(Refusal::server("unsupported registryAuthFrom value")),
    }
}

fn check_update(state: &State, old: &Service, spec: &mut Value) -> Result<(), Refusal> {
    if spec["Name"] == "" {
        spec["Name"] = Value::from(random_name(state));
    }
    validate::spec(spec)?;
    validate::networks(state, spec)?;
    let before = &old.object.spec;
    if spec.get("EndpointSpec").is_some() && spec["EndpointSpec"] != before["EndpointSpec"] {
        validate::ports(state, spec, Some(&old.object.id))?;
    }
    let unsupported = |message: &str| Err(Refusal::swarm(Code::Unimplemented, message));
    let same = |pointer: &str| spec.pointer(pointer) == before.pointer(pointer);
    if !same("/Networks") && same("/TaskTemplate/Networks") {
        return unsupported("networks must be migrated to TaskSpec before being changed");
    }
    validate::existence(state, spec)?;
    let mode = |spec: &Value| spec["Mode"].as_object().and_then(|mode| mode.keys().next().cloned());
    if mode(spec) != mode(before) {
        return unsupported("service mode change is not allowed");
    }
    if spec["Name"] != before["Name"] {
        return unsupported("renaming services is not supported");
    }
    Ok(())
}

/// The service after the update.
fn changed(
    old: &Service,
    spec: Value,
    auth: Option<String>,
    rollback: bool,
    now: Timestamp,
) -> Result<Service, Refusal> {
    let mut new = old.clone();
    if rollback {
        let Some(previous) = new.previous_spec.take() else {
            let message = format!("service {} does not have a previous spec", old.object.id);
            return Err(Refusal::swarm(Code::FailedPrecondition, message));
        };
        new.previous_spec = Some(std::mem::replace(&mut new.object.spec, previous));
        new.previous_spec_index = Some(old.spec_index);
        new.spec_index = old.previous_spec_index.unwrap_or(old.spec_index);
        new.auth.clone_from(&old.previous_auth);
        let message = "manually requested rollback".to_owned();
        new.update = Some(Update { state: "rollback_started", started: now, completed: None, message });
    } else {
        new.previous_spec = Some(std::mem::replace(&mut new.object.spec, spec));
        new.previous_spec_index = Some(old.spec_index);
        new.spec_index = old.object.index;
        new.auth = auth;
        new.update = None;
    }
    new.previous_auth.clone_from(&old.auth);
    Ok(new)
}

fn write(state: &mut State, old: &Service, mut new: Service, now: Timestamp) {
    new.object.index = state.next_index();
    new.object.updated = now;
    // Each update of a job begins it anew.
    if new.job_began.is_some() {
        new.job_iteration += 1;
        new.job_began = Some(now);
    }
    let id = new.object.id.clone();
    state.events.push(orchestrate::service_updated(old, &new, now));
    state.services.insert(id.clone(), new);
    allocate::allocate(state, &id, now);
    state.touch_service(&id);
}

pub(super) fn remove(call: &Call<'_>, id: &str) -> Answer {
    let now = call.engine.now();
    call.engine.with(|state| {
        let (id, name) =
            find(state, id).map(|service| (service.object.id.clone(), service.name().to_owned()))?;
        state.services.remove(&id);
        state.next_index();
        state.touch_service(&id);
        state.tell("service", "remove", &id, &name, now);
        empty(StatusCode::OK)
    })
}
