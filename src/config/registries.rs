//! `[registries."host[:port][/prefix]"]`: how to reach a registry and who we are there.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::file::File;
use super::values::Raw;
use super::{Config, RegistryConfig, keys};

/// Other names of Docker Hub, all of which references spell `docker.io`.
const HUB_ALIASES: &[&str] = &["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

pub(super) fn apply(file: &mut File<'_>, config: &mut Config, value: &Spanned<DeValue<'_>>) {
    let Some(entries) = value.get_ref().as_table() else {
        return file.not_a_table("registries.\"HOST\"", value);
    };
    for (key, value) in entries {
        let name = match parse_name(key.get_ref()) {
            Ok(name) => name,
            Err(mend) => {
                file.problem(key.span(), format!("the registry `{}` {mend}", key.get_ref()), None);
                continue;
            }
        };
        let Some(table) = value.get_ref().as_table() else {
            file.not_a_table(&format!("registries.\"{name}\""), value);
            continue;
        };
        let registry = read(file, &name, key, table);
        if config.registries.contains_key(&name) {
            let message = format!("the registry `{}` is `{name}`, which has an entry already", key.get_ref());
            file.problem(key.span(), message, Some("keep one of the two".to_owned()));
            continue;
        }
        config.registries.insert(name, registry);
    }
}

fn read(
    file: &mut File<'_>,
    name: &str,
    place: &Spanned<DeString<'_>>,
    table: &DeTable<'_>,
) -> RegistryConfig {
    let mut registry = RegistryConfig::default();
    let prefix = format!("registries.\"{name}\".");
    for (key, value) in table {
        let Some((_, set)) = keys::REGISTRY_KEYS.iter().find(|(known, _)| *known == key.get_ref().as_ref())
        else {
            let known: Vec<&str> = keys::REGISTRY_KEYS.iter().map(|(known, _)| *known).collect();
            file.unknown(&prefix, key, &known);
            continue;
        };
        let raw = Raw::Toml { value: value.get_ref(), file: file.path };
        if let Err(mend) = set(&mut registry, &raw) {
            file.problem(value.span(), format!("`{prefix}{}` {mend}", key.get_ref()), None);
        }
    }
    if !table.contains_key("password")
        && let Some((message, help)) = contradiction(&registry)
    {
        file.problem(place.span(), format!("the registry `{name}` {message}"), Some(help.to_owned()));
    }
    registry
}

/// What cannot be meant together.
fn contradiction(registry: &RegistryConfig) -> Option<(&'static str, &'static str)> {
    let helper = registry.credential_helper.as_deref();
    if registry.aws_environment && (registry.username.is_some() || helper.is_some()) {
        return Some((
            "has credentials from the environment and others too",
            "keep either `credentials` or the others",
        ));
    }
    match (&registry.username, &registry.password_file, helper) {
        (Some(_), None, None) => {
            Some(("has a username but no password", "add password_file or credential_helper"))
        }
        (None, Some(_), _) => Some(("has a password_file but no username", "add username")),
        (_, Some(_), Some(_)) => {
            Some(("has both password_file and credential_helper", "keep the one that should be asked"))
        }
        (_, _, Some(name)) if !is_helper_name(name) => Some((
            "has a credential_helper that is not a name",
            "write only what follows `docker-credential-`, such as \"ecr-login\"",
        )),
        _ => None,
    }
}

/// It becomes part of a program's name, so it must not be able to become a path.
fn is_helper_name(name: &str) -> bool {
    name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// `host[:port][/prefix]`, with Docker Hub under its one name.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    if let Some((_, rest)) = text.split_once("://") {
        return Err(format!(
            "is a URL; write `{}` (and plain_http = true if it speaks plain HTTP)",
            rest.trim_end_matches('/')
        ));
    }
    let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let host_ok = !host.is_empty() && host.chars().all(known);
    let path_ok = path.is_none_or(|path| {
        let part = |part: &str| {
            !part.is_empty() && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
        };
        path.split('/').all(part)
    });
    if !host_ok || !path_ok || text.len() > 255 {
        return Err(
            "does not read as host[:port][/prefix], such as \"registry.example.com:5000/team\"".into()
        );
    }
    let host = host.to_ascii_lowercase();
    let host = if HUB_ALIASES.contains(&host.as_str()) { crate::image::DOCKER_HUB.to_owned() } else { host };
    Ok(path.map_or_else(|| host.clone(), |path| format!("{host}/{path}")))
}
