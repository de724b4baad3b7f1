//! The images that a compose file names.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

/// No honest compose file is larger.
const FILE_BYTES_MAX: u64 = 4 << 20;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    services: BTreeMap<String, Service>,
}

/// Of a service only the image matters here; all else is left to who deploys the file.
#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    image: Option<String>,
}

/// A service's image, or why it cannot be told.
pub struct Image {
    pub service: String,
    pub image: Result<String, String>,
}

/// Reads a compose file. `env` fills in `${VARIABLES}`, as docker does.
///
/// # Errors
/// When the file cannot be read or is not a compose file.
pub fn images(path: &std::path::Path, env: &BTreeMap<String, String>) -> anyhow::Result<Vec<Image>> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    anyhow::ensure!(
        size <= FILE_BYTES_MAX,
        "{shown} has {size} bytes; a compose file has at most {FILE_BYTES_MAX}"
    );
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let file: File = serde_saphyr::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{shown}: {}", crate::text::printable(&error.to_string(), 500)))?;
    anyhow::ensure!(!file.services.is_empty(), "{shown} names no services; is it a compose file?");
    let services = file.services.into_iter().map(|(service, spec)| {
        let image = match spec.image {
            Some(image) => interpolate(&image, env),
            None => Err("names no image".to_owned()),
        };
        Image { service, image }
    });
    Ok(services.collect())
}

/// `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?error}`; `$$` is a dollar.
/// (Compose specification, "Interpolation".)
fn interpolate(text: &str, env: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(left) = after.strip_prefix('$') {
            out.push('$');
            rest = left;
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = inner.find('}').ok_or_else(|| format!("`${{` is not closed in {text:?}"))?;
            out.push_str(&substitute(&inner[..end], env)?);
            rest = &inner[end + 1..];
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            out.push_str(&substitute(&after[..end], env)?);
            rest = &after[end..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn substitute(expression: &str, env: &BTreeMap<String, String>) -> Result<String, String> {
    let end = expression.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(expression.len());
    let (name, modifier) = expression.split_at(end);
    let value = env.get(name);
    let full = value.filter(|value| !value.is_empty());
    let unset = || format!("the variable {name} is not set");
    match modifier {
        "" => value.cloned().ok_or_else(unset),
        _ if modifier.starts_with(":-") => Ok(full.cloned().unwrap_or_else(|| modifier[2..].to_owned())),
        _ if modifier.starts_with('-') => Ok(value.cloned().unwrap_or_else(|| modifier[1..].to_owned())),
        _ if modifier.starts_with(":?") => full.cloned().ok_or_else(unset),
        _ if modifier.starts_with('?') => value.cloned().ok_or_else(unset),
        _ => Err(format!("`${{{expression}}}` is not understood")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_as_docker_does() {
        let env =
            BTreeMap::from([("TAG".to_owned(), "1.2.3".to_owned()), ("EMPTY".to_owned(), String::new())]);
        let good = [
            ("a:${TAG}", "a:1.2.3"),
            ("a:$TAG", "a:1.2.3"),
            ("a:$TAG-alpine", "a:1.2.3-alpine"),
            ("a:${NONE:-4.0.0}", "a:4.0.0"),
            ("a:${EMPTY:-4.0.0}", "a:4.0.0"),
            ("a:${EMPTY-4.0.0}", "a:"),
            ("a:${TAG:?set it}", "a:1.2.3"),
            ("a$$b", "a$b"),
            ("plain", "plain"),
        ];
        for (text, expected) in good {
            assert_eq!(interpolate(text, &env).as_deref(), Ok(expected), "{text}");
        }
        for text in ["a:${NONE}", "a:$NONE", "a:${NONE:?x}", "a:${TAG", "a:${TAG+x}"] {
            assert!(interpolate(text, &env).is_err(), "{text}");
        }
    }

    #[test]
    fn images_are_found_whatever_else_the_file_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("compose.yml");
        let text = "version: '3.8'\nx-base: &base\n  restart: always\nservices:\n  web:\n    <<: *base\n    image: a:1.0.0\n    deploy: {replicas: 2}\n  job:\n    build: .\n";
        std::fs::write(&path, text).unwrap();
        let found = images(&path, &BTreeMap::new()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].service == "job" && found[0].image.is_err());
        assert!(found[1].image.as_deref() == Ok("a:1.0.0"));
        std::fs::write(&path, "just: text").unwrap();
        assert!(images(&path, &BTreeMap::new()).is_err());
        std::fs::write(&path, "a: [b").unwrap();
        assert!(images(&path, &BTreeMap::new()).is_err());
    }
}
