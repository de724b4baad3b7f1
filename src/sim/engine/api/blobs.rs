//! `/configs` and `/secrets`, which differ in their name, in their bound, and in that the data
//! of a secret is never shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Code, Refusal, created, empty, ok};
use super::typed::Type::{Bytes, Struct as One, Text, TextMap};
use super::typed::{self, Struct, always, given, opt};
use super::{Call, query, view};
use crate::sim::engine::options::new_object;
use crate::sim::engine::state::{Object, State};

/// Configs or secrets.
struct Kind {
    name: &'static str,
    shape: &'static Struct,
    bytes_max: usize,
    shows_data: bool,
    /// The field of a container's spec that refers to them, and that of the ID in it.
    references: (&'static str, &'static str),
}

static CONFIG: Kind = Kind {
    name: "config",
    shape: &Struct {
        name: "ConfigSpec",
        fields: &[
            always("Name", Text),
            always("Labels", TextMap),
            opt("Data", Bytes),
            given("Templating", One(&DRIVER)),
        ],
    },
    bytes_max: 1_024_000,
    shows_data: true,
    references: ("Configs", "ConfigID"),
};
static SECRET: Kind = Kind {
    name: "secret",
    shape: &Struct {
        name: "SecretSpec",
        fields: &[
            always("Name", Text),
            always("Labels", TextMap),
            opt("Data", Bytes),
            given("Driver", One(&DRIVER)),
            given("Templating", One(&DRIVER)),
        ],
    },
    bytes_max: 512_000,
    shows_data: false,
    references: ("Secrets", "SecretID"),
};
static DRIVER: Struct = Struct { name: "Driver", fields: &[opt("Name", Text), opt("Options", TextMap)] };

type Objects = std::collections::BTreeMap<String, Object>;

impl Kind {
    fn of<'a>(&self, state: &'a State) -> &'a Objects {
        if self.shows_data { &state.configs } else { &state.secrets }
    }

    fn of_mut<'a>(&self, state: &'a mut State) -> &'a mut Objects {
        if self.shows_data { &mut state.configs } else { &mut state.secrets }
    }

    fn shown(&self, object: &Object) -> Value {
        let mut map = view::object(object);
        let mut spec = object.spec.clone();
        if let Some(spec) = spec.as_object_mut().filter(|_| !self.shows_data) {
            spec.shift_remove("Data");
        }
        map.insert("Spec".to_owned(), spec);
        Value::Object(map)
    }

    fn list(&self, call: &Call<'_>) -> Answer {
        let accepted = ["name", "id", "label", "names"];
        // Only secrets can be asked for by whole names.
        let filters = call.query.filters(&accepted[..if self.shows_data { 3 } else { 4 }])?;
        call.engine.read(|state| {
            // One by one they choose more; labels choose among those.
            let all = ["name", "names", "id"].iter().all(|filter| !filters.has(filter));
            let fits = |object: &&Object| {
                let named = (filters.has("name") && filters.prefix("name", name(object)))
                    || (filters.has("names") && filters.exact("names", name(object)))
                    || (filters.has("id") && filters.prefix("id", &object.id));
                (all || named) && filters.labels("label", object.spec.get("Labels"))
            };
            ok(&Value::Array(self.of(state).values().filter(fits).map(|object| self.shown(object)).collect()))
        })
    }

    fn inspect(&self, call: &Call<'_>, id: &str) -> Answer {
        call.engine.read(|state| ok(&self.shown(self.find(state, id)?)))
    }

    fn find<'a>(&self, state: &'a State, id: &str) -> Result<&'a Object, Refusal> {
        let objects = self.of(state);
        if let Some(object) = objects.get(id).or_else(|| objects.values().find(|object| name(object) == id)) {
            return Ok(object);
        }
        let begun: Vec<&Object> = objects.values().filter(|object| object.id.starts_with(id)).collect();
        match begun.as_slice() {
            [object] => Ok(object),
            [] => Err(Refusal::missing(self.name, id)),
            many => {
                let many = many.len();
                Err(Refusal::server(format!("{} {id} is ambiguous ({many} matches found)", self.name)))
            }
        }
    }

    fn read(&self, call: &Call<'_>) -> Result<Map<String, Value>, Refusal> {
        let body = query::body(call.request)?;
        let mut spec = typed::read(&body, self.shape, "swarm").map_err(Refusal::bad)?;
        if let Some(data) = spec.get("Data").and_then(Value::as_str) {
            let bytes = STANDARD.decode(data).map_err(|error| Refusal::bad(base64_error(data, error)))?;
            spec.insert("Data".to_owned(), json!(STANDARD.encode(bytes)));
        }
        Ok(spec)
    }

    fn create(&self, call: &Call<'_>) -> Answer {
        let spec = self.read(call)?;
        let name = spec["Name"].as_str().unwrap_or_default().to_owned();
        check_name(&name)?;
        self.check_content(&spec)?;
        let now = call.engine.now();
        call.engine.with(|state| {
            let taken = |object: &Object| self::name(object).eq_ignore_ascii_case(&name);
            if self.of(state).values().any(taken) {
                let message = format!("{} {name} already exists", self.name);
                return Err(Refusal::swarm(Code::AlreadyExists, message));
            }
            let object = new_object(state, Value::Object(spec), now);
            let id = object.id.clone();
            self.of_mut(state).insert(id.clone(), object);
            state.tell(self.name, "create", &id, &name, now);
            created(&json!({ "ID": id }))
        })
    }

    fn check_content(&self, spec: &Map<String, Value>) -> Result<(), Refusal> {
        // Drivers are plugins, of which there are none.
        if let Some(driver) = spec.get("Driver").map(|driver| driver["Name"].as_str().unwrap_or_default()) {
            return Err(match driver {
                "" => Refusal::invalid("secret driver must have a name"),
                name => Refusal::swarm(Code::Unknown, format!("plugin {name:?} not found")),
            });
        }
        let data = spec.get("Data").and_then(Value::as_str).unwrap_or_default();
        let bytes = STANDARD.decode(data).map_or(0, |bytes| bytes.len());
        if bytes == 0 || bytes >= self.bytes_max {
            let (kind, max) = (self.name, self.bytes_max);
            let message = format!("{kind} data must be larger than 0 and less than {max} bytes");
            return Err(Refusal::invalid(message));
        }
        Ok(())
    }

    /// Only labels may change.
    fn update(&self, call: &Call<'_>, id: &str) -> Answer {
        let spec = self.read(call)?;
        let Ok(version) = call.query.version(self.name) else {
            return Err(Refusal::bad(format!("invalid {} version", self.name)));
        };
        let now = call.engine.now();
        call.engine.with(|state| {
            let old = self.find(state, id)?;
            let (id, name) = (old.id.clone(), name(old).to_owned());
            let other_data = spec.get("Data").is_some_and(|data| Some(data) != old.spec.get("Data"));
            if spec["Name"] != name.as_str() || other_data {
                return Err(Refusal::invalid("only updates to Labels are allowed"));
            }
            if old.index != version {
                return Err(Refusal::out_of_sequence());
            }
            let index = state.next_index();
            if let Some(object) = self.of_mut(state).get_mut(&id) {
                object.spec["Labels"] = spec["Labels"].clone();
                object.index = index;
                object.updated = now;
            }
            state.tell(self.name, "update", &id, &name, now);
            empty(StatusCode::OK)
        })
    }

    fn remove(&self, call: &Call<'_>, id: &str) -> Answer {
        let now = call.engine.now();
        call.engine.with(|state| {
            let object = self.find(state, id)?;
            let (id, name) = (object.id.clone(), name(object).to_owned());
            let users = self.users(state, &id);
            if !users.is_empty() {
                let kind = self.name;
                let services = if users.len() == 1 { "service" } else { "services" };
                let users = users.join(", ");
                let message = format!("{kind} '{name}' is in use by the following {services}: {users}");
                return Err(Refusal::invalid(message));
            }
            self.of_mut(state).remove(&id);
            state.next_index();
            state.tell(self.name, "remove", &id, &name, now);
            empty(StatusCode::NO_CONTENT)
        })
    }

    /// The names of the services that refer to it.
    fn users(&self, state: &State, id: &str) -> Vec<String> {
        let (field, reference) = self.references;
        let refers = |spec: &Value| {
            let references = spec["TaskTemplate"]["ContainerSpec"][field].as_array();
            references.into_iter().flatten().any(|one| one[reference] == id)
        };
        let users = state.services.values().filter(|service| refers(&service.object.spec));
        users.map(|service| service.name().to_owned()).collect()
    }
}

fn name(object: &Object) -> &str {
    object.spec["Name"].as_str().unwrap_or_default()
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::invalid("name must be provided"));
    }
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if name.len() > 64 || !inside || !ends(name.chars().next()) || !ends(name.chars().next_back()) {
        return Err(Refusal::invalid(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be \
             [a-zA-Z0-9]",
        ));
    }
    Ok(())
}

fn base64_error(data: &str, error: base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
        _ => data.len() / 4 * 4,
    };
    format!("illegal base64 data at input byte {at}")
}

pub(super) fn list_configs(call: &Call<'_>, _: &str) -> Answer {
    CONFIG.list(call)
}
pub(super) fn create_config(call: &Call<'_>, _: &str) -> Answer {
    CONFIG.create(call)
}
pub(super) fn inspect_config(call: &Call<'_>, id: &str) -> Answer {
    CONFIG.inspect(call, id)
}
pub(super) fn update_config(call: &Call<'_>, id: &str) -> Answer {
    CONFIG.update(call, id)
}
pub(super) fn remove_config(call: &Call<'_>, id: &str) -> Answer {
    CONFIG.remove(call, id)
}
pub(super) fn list_secrets(call: &Call<'_>, _: &str) -> Answer {
    SECRET.list(call)
}
pub(super) fn create_secret(call: &Call<'_>, _: &str) -> Answer {
    SECRET.create(call)
}
pub(super) fn inspect_secret(call: &Call<'_>, id: &str) -> Answer {
    SECRET.inspect(call, id)
}
pub(super) fn update_secret(call: &Call<'_>, id: &str) -> Answer {
    SECRET.update(call, id)
}
pub(super) fn remove_secret(call: &Call<'_>, id: &str) -> Answer {
    SECRET.remove(call, id)
}
