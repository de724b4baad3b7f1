//! The images that a compose file names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// No honest compose file is larger.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Variables in defaults of variables, and so on; nobody writes more.
const NESTING_MAX: usize = 16;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    services: BTreeMap<String, Option<Service>>,
}

/// Of a service only the image matters here; all else is left to who deploys the file.
#[derive(Default, Deserialize)]
struct Service {
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    build: Option<serde::de::IgnoredAny>,
}

/// A service's image, or why it cannot be told.
#[derive(Debug)]
pub struct Image {
    pub service: String,
    pub image: Result<String, String>,
    /// The last file that says something about the image, else about the service.
    pub file: PathBuf,
}

/// Reads compose files, merged as docker does: what a later one says of an image wins.
/// `env` fills in `${VARIABLES}`.
///
/// # Errors
/// When a file cannot be read or is not a compose file, or none names a service.
pub fn images(paths: &[PathBuf], env: &BTreeMap<String, String>) -> anyhow::Result<Vec<Image>> {
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        files.push((path.as_path(), read(path)?));
    }
    merge(files, env)
}

fn merge(files: Vec<(&Path, File)>, env: &BTreeMap<String, String>) -> anyhow::Result<Vec<Image>> {
    let shown = files.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut merged: BTreeMap<String, (Service, &Path)> = BTreeMap::new();
    for (path, file) in files {
        for (name, service) in file.services {
            let service = service.unwrap_or_default();
            let (known, file) = merged.entry(name).or_insert_with(|| (Service::default(), path));
            if service.image.is_some() || known.image.is_none() {
                *file = path;
            }
            known.image = service.image.or_else(|| known.image.take());
            known.build = service.build.or_else(|| known.build.take());
        }
    }
    anyhow::ensure!(!merged.is_empty(), "{shown} names no services; is it a compose file?");
    let images = merged.into_iter().map(|(service, (spec, file))| {
        let image = match (spec.image, spec.build) {
            (Some(image), _) => interpolate(&image, env, 0),
            (None, Some(_)) => {
                Err("is built from source (`build`) and names no image, so no registry can tell".to_owned())
            }
            (None, None) => Err("names no image".to_owned()),
        };
        Image { service, image, file: file.to_owned() }
    });
    Ok(images.collect())
}

fn read(path: &Path) -> anyhow::Result<File> {
    parse(&read_text(path)?).map_err(|error| {
        let is_spec = path.extension().is_some_and(|extension| extension == "toml");
        let hint =
            if is_spec { " (this is read as a compose file; specs are read with --specs)" } else { "" };
        anyhow::anyhow!("{}: {error}{hint}", path.display())
    })
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    anyhow::ensure!(
        size <= FILE_BYTES_MAX,
        "{shown} has {size} bytes; a compose file has at most {FILE_BYTES_MAX}"
    );
    std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))
}

/// All that a compose file says, with its variables filled in.
///
/// # Errors
/// When it cannot be read, is no YAML, or names a variable that is not set.
pub(super) fn whole(path: &Path, env: &BTreeMap<String, String>) -> anyhow::Result<serde_json::Value> {
    let text = read_text(path)?;
    let fault = |why: &str| anyhow::anyhow!("{}: {}", path.display(), crate::text::printable(why, 500));
    let mut value: serde_json::Value =
        serde_saphyr::from_str(&text).map_err(|error| fault(&error.without_snippet().to_string()))?;
    super::import::fill_in(&mut value, env, "").map_err(|why| fault(&why))?;
    Ok(value)
}

/// The error is fit to print.
fn parse(text: &str) -> Result<File, String> {
    // Without the lines around it: they do not stay lines when they are made fit to print.
    serde_saphyr::from_str(text)
        .map_err(|error| crate::text::printable(&error.without_snippet().to_string(), 500))
}

/// What holds of every text: its images are told, or why not.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(text: &str) {
    let env = BTreeMap::from([("TAG".to_owned(), "1.2.3".to_owned()), ("EMPTY".to_owned(), String::new())]);
    let read = text.split("\n...\n").map(parse).collect::<Result<Vec<_>, _>>();
    let files = match read {
        Ok(files) => files.into_iter().map(|file| (Path::new("compose.yml"), file)).collect(),
        Err(error) => return assert!(!error.chars().any(char::is_control), "{error:?}"),
    };
    for image in merge(files, &env).unwrap_or_default() {
        let said = image.image.unwrap_or_else(|error| error);
        assert!(said.len() <= text.len() * 16 + 1000, "{} bytes from {}", said.len(), text.len());
    }
}

/// `$VAR`, `${VAR}`, and with `:-`, `-`, `:?`, `?`, `:+` or `+` a word that may hold
/// variables itself; `$$` is a dollar. (Compose specification, "Interpolation".)
pub(super) fn interpolate(
    text: &str,
    env: &BTreeMap<String, String>,
    depth: usize,
) -> Result<String, String> {
    if depth > NESTING_MAX {
        return Err(format!("variables are nested more than {NESTING_MAX} deep"));
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(left) = after.strip_prefix('$') {
            out.push('$');
            rest = left;
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = closing(inner).ok_or_else(|| format!("`${{` is not closed in {text:?}"))?;
            out.push_str(&substitute(&inner[..end], env, depth)?);
            rest = &inner[end + 1..];
        } else {
            let end = name_end(after);
            out.push_str(&substitute(&after[..end], env, depth)?);
            rest = &after[end..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the `}` is that belongs to a `${` before the text.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut open) = (0, 0_usize);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'$', Some(b'{')) => {
                open += 1;
                at += 1;
            }
            (b'$', Some(b'$')) => at += 1,
            (b'}', _) if open == 0 => return Some(at),
            (b'}', _) => open -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn name_end(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

fn substitute(expression: &str, env: &BTreeMap<String, String>, depth: usize) -> Result<String, String> {
    let (name, modifier) = expression.split_at(name_end(expression));
    let strict = modifier.starts_with(':');
    // With a colon, empty is as good as unset.
    let value = env.get(name).filter(|value| !strict || !value.is_empty()).cloned();
    let unset = || format!("the variable {name} is not set");
    let rest = modifier.strip_prefix(':').unwrap_or(modifier);
    let word = rest.get(1..).unwrap_or_default();
    match rest.chars().next() {
        _ if name.is_empty() => Err(format!("`${{{expression}}}` names no variable")),
        None if !strict => value.ok_or_else(unset),
        // A default that is not needed may name what is not set.
        Some('-') => value.map_or_else(|| interpolate(word, env, depth + 1), Ok),
        Some('+') => value.map_or_else(|| Ok(String::new()), |_| interpolate(word, env, depth + 1)),
        Some('?') => value.ok_or_else(unset),
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
            ("a:${NONE:-${EMPTY:-1.0.0}}", "a:1.0.0"),
            ("a:${NONE-${TAG}}-x", "a:1.2.3-x"),
            ("a:${TAG:-${NONE}}", "a:1.2.3"),
            ("a${TAG:+:$TAG}", "a:1.2.3"),
            ("a${EMPTY:+:x}", "a"),
            ("a${EMPTY+:x}", "a:x"),
            ("a${NONE+:x}", "a"),
            ("a$$b", "a$b"),
            ("plain", "plain"),
        ];
        for (text, expected) in good {
            assert_eq!(interpolate(text, &env, 0).as_deref(), Ok(expected), "{text}");
        }
        for text in ["a:${NONE}", "a:$NONE", "a:${NONE:?x}", "a:${TAG", "a:${TAG:}", "a:${TAG~x}", "a:${}"] {
            assert!(interpolate(text, &env, 0).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "${NONE:-".repeat(100_000), "}".repeat(100_000));
        assert!(interpolate(&deep, &env, 0).is_err(), "no deeper than the stack is");
    }

    #[test]
    fn images_are_found_whatever_else_the_file_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("compose.yml");
        let text = "version: '3.8'\nx-base: &base\n  restart: always\nservices:\n  web:\n    <<: *base\n    image: a:1.0.0\n    deploy: {replicas: 2}\n  job:\n    build: .\n";
        std::fs::write(&path, text).unwrap();
        let found = images(std::slice::from_ref(&path), &BTreeMap::new()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].service == "job" && found[0].image.is_err());
        assert!(found[1].image.as_deref() == Ok("a:1.0.0"));
        std::fs::write(&path, "just: text").unwrap();
        assert!(images(std::slice::from_ref(&path), &BTreeMap::new()).is_err());
        std::fs::write(&path, "a: [b").unwrap();
        assert!(images(std::slice::from_ref(&path), &BTreeMap::new()).is_err());
    }

    #[test]
    fn later_files_override_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let base = file(
            "a.yml",
            "services:\n  web: {image: 'a:1.0.0'}\n  db: {image: 'd:1.0.0'}\n  job: {build: .}\n",
        );
        let over =
            file("b.yml", "services:\n  web: {image: 'a:2.0.0'}\n  db: {environment: {A: b}}\n  job:\n");
        let nets = file("c.yml", "networks: {}\n");
        let found = images(&[base.clone(), over.clone(), nets], &BTreeMap::new()).unwrap();
        let shown: Vec<_> =
            found.iter().map(|image| (image.service.as_str(), image.image.as_deref().ok())).collect();
        assert_eq!(shown, [("db", Some("d:1.0.0")), ("job", None), ("web", Some("a:2.0.0"))]);
        assert_eq!((&found[0].file, &found[2].file), (&base, &over));
        assert!(found[1].image.as_ref().unwrap_err().contains("build"), "{:?}", found[1]);
    }
}
