//! What the demo is about: the fleet of `specs/`, and the images that it runs.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use jiff::Timestamp;

/// The files of `specs/`, with their paths in it.
const FILES: &[(&str, &str)] = &[
    ("templates/saas.toml", include_str!("../../../specs/templates/saas.toml")),
    ("acme.toml", include_str!("../../../specs/acme.toml")),
    ("eu/globex.toml", include_str!("../../../specs/eu/globex.toml")),
    (INITECH, include_str!("../../../specs/eu/initech.toml")),
];

/// The customer whose stack was there before skep.
pub(super) const INITECH: &str = "eu/initech.toml";

/// What stands for the registry in `specs/`.
const STAND_IN: &str = "registry.example.com";

pub(super) const FRONTEND: &str = "saas/frontend";
pub(super) const API: &str = "saas/api";
pub(super) const CACHE: &str = "mirror/redis";

/// The tag that nobody should deploy, and what it was when the hosts pulled it.
pub(super) const LATEST: &str = "latest";
pub(super) const OLD_LATEST: &str = "1.2.0";

/// What the registry holds at the beginning. Of each repository the specs choose one; the
/// rest is there to be passed over.
pub(super) const IMAGES: &[(&str, &str)] = &[
    (FRONTEND, "1.2.0"),
    (FRONTEND, "1.4.1"),
    (FRONTEND, "1.4.2"),
    (FRONTEND, "2.0.0-beta.1"),
    (API, "2.4.3"),
    (API, "2.5.1"),
    (API, "3.1.0"),
    (CACHE, "7.4.0-alpine"),
    (CACHE, "7.4.1-alpine"),
    (CACHE, "7.4.2-alpine"),
    (CACHE, "8.0.1-alpine"),
];

/// What a container of the image says.
pub(super) fn says(repository: &str, version: &str) -> String {
    let name = repository.rsplit('/').next().unwrap_or(repository);
    format!("{name} {version}")
}

/// How the specs are made fit for a demo.
pub(super) struct Setting {
    /// `host:port` of the registry.
    pub(super) registry: String,
    /// How long Swarm watches new tasks, for nobody watches a demo as long as `specs/` says.
    pub(super) monitor: Duration,
    /// When the freeze ends that one of the specs tells of, for a demo always comes before it.
    pub(super) freeze: Timestamp,
}

/// The end of that freeze in `specs/`.
const FREEZE: &str = "2027-01-07T08:00:00Z";

/// In the specs, and what stands there in a demo, with `$` for the time.
const PATIENT: &[(&str, &str)] = &[
    ("monitor = \"15s\" }", "monitor = \"$\" }\nrollback_config = { monitor = \"$\" }"),
    ("{ failure_action = \"rollback\" }", "{ failure_action = \"rollback\", monitor = \"$\" }"),
    (
        "tags = \"{version}-alpine\" }",
        "tags = \"{version}-alpine\" }\ndeploy = { update_config = { monitor = \"$\" } }",
    ),
];

impl Setting {
    fn spec(&self, text: &str) -> String {
        let monitor = format!("{}ms", self.monitor.as_millis().max(1));
        let freeze = self.freeze.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let text = text.replace(STAND_IN, &self.registry).replace(FREEZE, &freeze);
        PATIENT.iter().fold(text, |text, (from, to)| text.replace(from, &to.replace('$', &monitor)))
    }
}

/// Writes the specs whose path `wanted` takes, each as an editor does: whole, by a rename.
///
/// # Errors
/// When the directory cannot be written.
pub(super) fn write_specs(dir: &Path, setting: &Setting, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    for (path, text) in FILES.iter().filter(|(path, _)| wanted(path)) {
        let to = dir.join(path);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = to.with_extension("new");
        fs::write(&new, setting.spec(text))?;
        fs::rename(&new, &to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse::{SpecFiles, load};
    use crate::spec::{Customer, ImagePolicy};
    use crate::version;

    fn setting() -> Setting {
        Setting {
            registry: "127.0.0.1:5000".into(),
            monitor: Duration::from_millis(1200),
            freeze: Timestamp::UNIX_EPOCH,
        }
    }

    fn fleet() -> Vec<Customer> {
        let mut files = SpecFiles::default();
        for (path, text) in FILES {
            files.files.insert((*path).to_owned(), setting().spec(text));
        }
        let loaded = load(&files);
        assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
        loaded.customers.into_values().collect()
    }

    #[test]
    fn every_service_finds_its_version_in_the_demos_registry() {
        let mut chosen = Vec::new();
        for customer in fleet() {
            for (key, service) in &customer.services {
                let ImagePolicy::Highest { repository, policy } = &service.image else { panic!("{key}") };
                let path = repository.to_string().replace("127.0.0.1:5000/", "");
                let tags: Vec<String> = IMAGES
                    .iter()
                    .filter(|(repository, _)| *repository == path)
                    .map(|(_, tag)| (*tag).to_owned())
                    .collect();
                let best = version::rank(policy, &tags).candidates.into_iter().next().unwrap();
                chosen.push(format!("{}/{key} {}", customer.name, best.tags[0]));
            }
        }
        assert_eq!(
            chosen,
            [
                "acme/api 3.1.0",
                "acme/cache 7.4.2-alpine",
                "acme/frontend 1.4.2",
                "globex/api 3.1.0",
                "globex/frontend 1.4.2",
                "initech/api 2.4.3",
                "initech/cache 7.4.1-alpine",
                "initech/frontend 1.4.2",
            ]
        );
    }

    #[test]
    fn times_are_those_of_the_demo() {
        let short = Some(Duration::from_millis(1200));
        for customer in fleet() {
            for (key, service) in &customer.services {
                let config = service.compose.deploy.update_config.as_ref().unwrap();
                assert_eq!(config.monitor, short, "{}/{key}", customer.name);
            }
            let held = customer.services["api"].suspend.as_ref().map(|suspend| suspend.until);
            let freeze = (customer.name == "initech").then_some(Some(Timestamp::UNIX_EPOCH));
            assert_eq!(held, freeze, "{}", customer.name);
            let back = customer.services["frontend"].compose.deploy.rollback_config.as_ref().unwrap();
            assert_eq!(back.monitor, short, "{}", customer.name);
        }
    }

    #[test]
    fn specs_are_written_whole_and_only_those_that_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        write_specs(dir.path(), &setting(), |path| path != INITECH).unwrap();
        assert!(!dir.path().join(INITECH).exists());
        write_specs(dir.path(), &setting(), |path| path == INITECH).unwrap();
        for (path, _) in FILES {
            let text = fs::read_to_string(dir.path().join(path)).unwrap();
            assert!(!text.contains(STAND_IN), "{path}");
        }
        let all = fs::read_dir(dir.path().join("eu")).unwrap().count();
        assert_eq!(all, 2, "nothing but the specs is left");
    }
}
