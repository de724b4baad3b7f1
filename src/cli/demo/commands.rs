//! Runs skep's commands within the demo, just as they are, and catches what they print.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::Value;

use super::narrator::{Narrator, Printed};
use crate::cli::{Context, Customers, ServiceName, apply, audit, explain, plan, progress};
use crate::config::{Config, Flags, Sources};
use crate::report::{AuditReport, ExplainReport, PlanReport, Style};

/// A command of skep.
pub(super) enum Typed<'a> {
    Plan(&'a [&'a str]),
    Audit,
    Apply,
    Explain(ServiceName),
}

impl Typed<'_> {
    fn line(&self) -> String {
        match self {
            Self::Plan(customers) => format!("skep plan {}", customers.join(" ")).trim_end().to_owned(),
            Self::Audit => "skep audit".into(),
            Self::Apply => "skep apply".into(),
            Self::Explain(service) => format!("skep explain {service}"),
        }
    }

    async fn run(&self, ctx: &mut Context) -> anyhow::Result<u8> {
        match self {
            Self::Plan(names) => {
                let customers = Customers { customers: names.iter().map(|it| (*it).to_owned()).collect() };
                plan::run(ctx, plan::Args { customers }).await
            }
            Self::Audit => audit::run(ctx, audit::Args { files: Vec::new() }).await,
            Self::Apply => {
                apply::run(
                    ctx,
                    apply::Args {
                        customers: Customers::default(),
                        timeout: None,
                        no_wait: false,
                        allow_prune: false,
                    },
                )
                .await
            }
            Self::Explain(service) => explain::run(ctx, explain::Args { service: service.clone() }).await,
        }
    }

    /// The report as people read it. Where it has to fit, images are shown without the
    /// registry, which is always the same one, and without the digest.
    fn render(&self, report: &Value, style: &Style, registry: Option<&str>) -> anyhow::Result<String> {
        let mut text = Vec::new();
        match self {
            Self::Plan(_) | Self::Apply => of::<PlanReport>(report)?.render(&mut text, style)?,
            Self::Explain(_) => of::<ExplainReport>(report)?.render(&mut text, style)?,
            Self::Audit => {
                let mut report = of::<AuditReport>(report)?;
                for service in report.services.iter_mut() {
                    let Some(registry) = registry else { break };
                    service.image = short_image(&service.image, registry);
                }
                report.render(&mut text, style)?;
            }
        }
        String::from_utf8(text).context("a report that is no text")
    }
}

fn of<R: serde::de::DeserializeOwned>(report: &Value) -> anyhow::Result<R> {
    R::deserialize(report).context("a report that cannot be read")
}

fn short_image(image: &str, registry: &str) -> String {
    let image = image.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(image);
    image.split('@').next().unwrap_or(image).to_owned()
}

/// Runs a command against what `config` says.
///
/// # Errors
/// When the command could not do its job, as in a terminal.
pub(super) async fn run(
    typed: Typed<'_>,
    config: &Config,
    registry: &str,
    narrator: &Narrator,
) -> anyhow::Result<Printed> {
    let page = Page::default();
    let sources = Sources::new(None, BTreeMap::new(), Flags::default());
    let mut ctx = Context {
        config: config.clone(),
        sources,
        env: BTreeMap::new(),
        out: Box::new(page.clone()),
        json: true,
        style: Style::PLAIN,
        progress: progress::Mode::Quiet,
    };
    let command = typed.line();
    let exit = typed.run(&mut ctx).await.with_context(|| format!("`{command}` failed"))?;
    let report = serde_json::from_slice(&page.take()).context("a report that is no JSON")?;
    let registry = narrator.is_terminal().then_some(registry);
    let text = typed.render(&report, &narrator.style(), registry)?;
    Ok(Printed { command, exit, text, report })
}

/// What a command printed so far.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_shown_short_where_they_have_to_fit() {
        for (image, short) in [
            ("127.0.0.1:5000/saas/api:1.2.3@sha256:00", "saas/api:1.2.3"),
            ("127.0.0.1:5000/saas/api:latest", "saas/api:latest"),
            ("docker.io/library/redis:7", "docker.io/library/redis:7"),
        ] {
            assert_eq!(short_image(image, "127.0.0.1:5000"), short);
        }
    }
}
