//! The environment: `SKEP_POLL__REGISTRY=30s`, two underscores for each level of nesting.

use super::values::Raw;
use super::{Config, Problem, Sources, docker, keys};

/// Short names beside the ones that spell a key, and the variables of Docker's own.
const SHORT: &[(&str, &str)] =
    &[("SKEP_SPECS", "source.dir"), ("SKEP_STATE_DIR", "state.dir"), ("SKEP_SERVER", "server")];
const DOCKER: &[&str] = &["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "HOME"];

/// Whether a variable may say something to skep; all others are not even kept.
pub(super) fn concerns_us(name: &str) -> bool {
    name.starts_with("SKEP_") || DOCKER.contains(&name)
}

pub(super) fn apply(sources: &Sources, config: &mut Config, problems: &mut Vec<Problem>) {
    docker::apply_env(sources, &mut config.docker);
    for (name, meant) in one_underscore(sources) {
        tracing::warn!("{name} sets nothing; for the configuration write {meant}, with two underscores");
    }
    // Whoever sets both means the more special one; the short names are what people type.
    for (name, key) in nested(sources).chain(short(sources)) {
        let Some(value) = sources.var(name) else { continue };
        if !is_key(&key) {
            problems.push(unknown(name, &key));
        } else if let Err(mend) = keys::set(config, &key, &Raw::Text(value)) {
            problems.push(Problem::elsewhere(name, mend));
        }
    }
}

/// Variables with two underscores are ours for certain; others with the prefix may be what
/// an orchestrator sets for a service named `skep` (`SKEP_PORT`) and are left alone.
fn nested(sources: &Sources) -> impl Iterator<Item = (&str, String)> {
    sources.env.keys().filter_map(|name| {
        let rest = name.strip_prefix("SKEP_").filter(|rest| rest.contains("__"))?;
        Some((name.as_str(), rest.to_lowercase().replace("__", ".")))
    })
}

/// Variables that would be a known key if their single underscore were two, with that name.
pub(super) fn one_underscore(sources: &Sources) -> impl Iterator<Item = (&str, String)> {
    let set = |name: &&String| sources.var(name).is_some();
    sources.env.keys().filter(set).filter_map(|name| {
        if SHORT.iter().any(|(short, _)| short == name) {
            return None;
        }
        let spelled = |key: &str, gap: &str| format!("SKEP_{}", key.to_uppercase().replace('.', gap));
        let (key, _) = keys::KEYS.iter().find(|(key, _)| spelled(key, "_") == *name)?;
        Some((name.as_str(), spelled(key, "__")))
    })
}

fn short(sources: &Sources) -> impl Iterator<Item = (&str, String)> {
    SHORT
        .iter()
        .filter(|(name, _)| sources.env.contains_key(*name))
        .map(|(name, key)| (*name, (*key).to_owned()))
}

fn is_key(key: &str) -> bool {
    key == "server" || keys::KEYS.iter().any(|(name, _)| *name == key)
}

fn unknown(name: &str, key: &str) -> Problem {
    if keys::NOT_YET.iter().any(|promised| key.starts_with(promised)) {
        return Problem::elsewhere(name, "is not built yet".into());
    }
    if key.starts_with("registries.") {
        return Problem::elsewhere(
            name,
            "cannot be set here; write [registries.\"HOST\"] in skep.toml".into(),
        );
    }
    let known: Vec<&str> = keys::KEYS.iter().map(|(name, _)| *name).collect();
    let mend = match keys::nearest(key, &known) {
        Some(near) => {
            format!("sets no known key; did you mean SKEP_{}?", near.to_uppercase().replace('.', "__"))
        }
        None => "sets no known key".into(),
    };
    Problem::elsewhere(name, mend)
}
