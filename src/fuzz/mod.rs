//! What holds of every parser of foreign input, whatever it is given: one function a parser,
//! which panics if it does not. `fuzz/` (cargo-fuzz) calls them, and so does the test below
//! with the seeds that are kept there.

mod log;
pub(crate) mod planning;
#[cfg(test)]
mod seeds;
mod spec;
mod versions;

use crate::image::{ImageRef, Repository};
use crate::{cli, registry, swarm};

pub use log::event_log;
pub use planning::engine;
#[cfg(test)]
pub(crate) use planning::settles;
pub use spec::spec;
pub use versions::ranking;

/// A function of this module, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them; `fuzz/` has a target of each name.
pub const TARGETS: &[Target] = &[
    ("challenge", challenge),
    ("compose", compose),
    ("docker_config", docker_config),
    ("engine", engine),
    ("engine_list", engine_list),
    ("event_log", event_log),
    ("hooks", hooks),
    ("image_ref", image_ref),
    ("link", link),
    ("manifest", manifest),
    ("ranking", ranking),
    ("spec", spec),
    ("tag_list", tag_list),
];

/// What is read of an image reference is what it says, in one spelling.
pub fn image_ref(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let image: ImageRef = match text.parse() {
        Ok(image) => image,
        Err(error) => {
            let error = error.to_string();
            return assert!(!error.chars().any(char::is_control) && error.len() < 2000, "{error:?}");
        }
    };
    assert_eq!(image.to_string().parse().as_ref(), Ok(&image), "{image}");
    let full = image.repository.normalized();
    assert_eq!(full.parse::<Repository>().as_ref(), Ok(&image.repository), "{full}");
}

/// A page of a tag list, ranked as most services would.
pub fn tag_list(data: &[u8]) {
    let tags = registry::fuzz::tag_list(data);
    versions::check_ranking(&crate::spec::VersionPolicy::default(), &tags);
}

/// The body of a webhook.
pub fn hooks(data: &[u8]) {
    crate::http::hooks::fuzz(data);
}

pub fn link(data: &[u8]) {
    registry::fuzz::link(data);
}

pub fn challenge(data: &[u8]) {
    registry::fuzz::challenge(data);
}

pub fn manifest(data: &[u8]) {
    registry::fuzz::manifest(data);
}

pub fn docker_config(data: &[u8]) {
    registry::fuzz::docker_config(data);
}

pub fn compose(data: &[u8]) {
    cli::compose::fuzz(&String::from_utf8_lossy(data));
}

/// What the engine answers to a list call.
pub fn engine_list(data: &[u8]) {
    swarm::fuzz(data);
}
