//! What lets people and webhooks in.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::config::{Config, Hook};
use crate::http::{self, Secret};

/// All of it, read. A file that changed is taken up at SIGHUP.
#[derive(PartialEq)]
pub(super) struct Secrets {
    pub(super) token: Secret,
    pub(super) hooks: BTreeMap<Hook, Secret>,
}

impl Secrets {
    /// # Errors
    /// When one cannot be read, or is empty: nobody is let in by an empty secret.
    pub(super) fn read(config: &Config) -> anyhow::Result<Self> {
        let token = http::token(config.http_token_file.as_deref(), &config.state_dir);
        let token = token.context("the API has no token")?;
        let hooks = config.hook_secrets.iter().map(|(hook, path)| {
            let secret = Secret::read(path).with_context(|| format!("{} cannot be used", hook.key()))?;
            let told = |doubt: &str| anyhow::anyhow!("{}: {}: {doubt}", hook.key(), path.display());
            http::check_secret(*hook, &secret).map_err(told)?;
            Ok((*hook, secret))
        });
        Ok(Self { token, hooks: hooks.collect::<anyhow::Result<_>>()? })
    }
}
