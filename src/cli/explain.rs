//! `skep explain`: the candidates, the choice, and each rejected tag with its reason.

use std::time::Duration;

use jiff::Timestamp;

use super::session::{self, Session};
use super::{Context, ServiceName};
use crate::plan::ImageView;
use crate::report::{ExplainReport, RejectedTag};
use crate::spec::{ImagePolicy, Service};
use crate::state::{DesiredImage, WaitingReason};
use crate::version::Rejected;

/// Show how a service's version is chosen: candidates, choice, and why not the others
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The service, by its spec
    #[arg(value_name = "CUSTOMER/SERVICE")]
    pub service: ServiceName,
}

const HELP: &str = "\
Examples:
  skep explain acme/frontend

Exit status:
  0  a version is chosen
  1  no version fits
  2  it could not be found out";

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let ServiceName { customer, service } = &args.service;
    let chosen = session::choose(&ctx.config, std::slice::from_ref(customer))?;
    if let Some((_, message)) = chosen.invalid.first() {
        anyhow::bail!("the spec of {customer} has errors: {message}");
    }
    let spec = chosen.customers.first().ok_or_else(|| anyhow::anyhow!("no customer {customer}"))?;
    let Some(wanted) = spec.services.get(service) else {
        let near = crate::text::nearest(service, spec.services.keys().map(String::as_str));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        anyhow::bail!("{} has no service {service:?}{hint}", spec.file);
    };
    let session = Session::read_only(&ctx.config)?;
    let observed = session.observe().await?;
    let max_age = Duration::from_secs(3600);
    let explained = session.resolver.explain(spec, wanted, &observed, max_age, Timestamp::now()).await;
    let ranking = explained.ranking.as_deref();
    let report = ExplainReport {
        customer: customer.clone(),
        service: service.clone(),
        repository: wanted.image.repository().to_string(),
        candidates: ranking
            .map(|r| r.candidates.iter().map(|c| c.version.to_string()).collect())
            .unwrap_or_default(),
        rejected: rejected(
            ranking.map(|ranking| ranking.rejected.as_slice()).unwrap_or_default(),
            &explained.image,
        ),
        require: requirement(wanted),
        newest: ranking.and_then(|ranking| ranking.newest.as_ref()).map(ToString::to_string),
        warnings: warnings(
            ranking.map(|ranking| ranking.warnings.as_slice()).unwrap_or_default(),
            &explained.image,
        ),
        chosen: match &explained.image {
            DesiredImage::Chosen(target) => Some(super::convert::image(&ImageView::of_target(target))),
            DesiredImage::None { .. } => None,
        },
        message: match &explained.image {
            DesiredImage::Chosen(_) => None,
            DesiredImage::None { message, .. } => Some(message.clone()),
        },
    };
    ctx.print(&report, ExplainReport::render)?;
    let unknown = matches!(
        explained.image,
        DesiredImage::None {
            reason: WaitingReason::RegistryUnavailable | WaitingReason::TagListTruncated,
            ..
        }
    );
    Ok(if unknown { super::FAILED } else { report.exit_status() })
}

fn rejected(ranked: &[Rejected], image: &DesiredImage) -> Vec<RejectedTag> {
    let passed_over = match image {
        DesiredImage::Chosen(target) => target.passed_over.as_slice(),
        DesiredImage::None { passed_over, .. } => passed_over.as_slice(),
    };
    let all = passed_over.iter().chain(ranked);
    all.map(|rejected| RejectedTag {
        tag: rejected.tag.clone(),
        reason: rejected.reason.as_str().to_owned(),
        message: rejected.message.clone(),
    })
    .collect()
}

fn warnings(ranked: &[String], image: &DesiredImage) -> Vec<String> {
    let chosen = match image {
        DesiredImage::Chosen(target) => target.warnings.as_slice(),
        DesiredImage::None { .. } => &[],
    };
    ranked.iter().chain(chosen).cloned().collect()
}

fn requirement(service: &Service) -> Option<String> {
    match &service.image {
        ImagePolicy::Highest { policy, .. } => Some(policy.require.to_string()),
        ImagePolicy::Tag { tag, .. } => Some(format!("pinned to {tag}")),
        ImagePolicy::Digest { digest, .. } => Some(format!("pinned to {digest}")),
    }
}
