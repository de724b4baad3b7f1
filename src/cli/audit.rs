//! `skep audit`: does what runs equal the highest version?

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;

use super::compose;
use super::session::{self, Observers, Session};
use super::{Context, FAILED};
use crate::controller::resolve::Resolver;
use crate::controller::specs::{self, Sealing};
use crate::image::ImageRef;
use crate::memory::{Refusal, ServiceMemory};
use crate::plan::verdict::{Evidence, Highest, Verdict, judge};
use crate::plan::{converge, desired_hash, labels};
use crate::registry::{Registry, RegistryError};
use crate::report::{self, AuditReport, AuditService};
use crate::spec::{Customer, ImagePolicy, Retag, Service, TagPattern, VersionPolicy};
use crate::state::{DesiredImage, ObservedService, ObservedState};
use crate::text::printable;
use crate::version::{self, RejectReason};

/// Check every service on the Swarm, managed or not: does it run the highest version?
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Check these compose files instead, before they are deployed
    #[arg(short, long = "file", value_name = "FILE", num_args = 1..)]
    pub files: Vec<PathBuf>,
}

const HELP: &str = "\
Verdicts:
  highest   every task that should run has the highest version, by digest
  behind    a higher version exists
  moved     the right tag, but the registry now has other content under it
  floating  the tag is not a full version
  unpinned  the right tag without a digest, so nobody can tell
  pinned    a spec pins it, and it runs that
  unknown   the registry or the engine would not say

Examples:
  skep audit
  skep audit -f compose.yml
  skep audit --output json | jq '.services[] | select(.verdict == \"behind\")'

Exit status:
  0  all highest or pinned
  1  something is behind, moved, floating or unpinned
  2  something is unknown";

/// Services looked up at once; the registry client bounds the calls to each registry besides.
const CONCURRENCY: usize = 16;
/// Each registry is asked once a process.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let (mut services, invalid) = if args.files.is_empty() {
        audit_swarm(ctx).await?
    } else {
        (audit_files(ctx, &args.files).await?, false)
    };
    services.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    let report = AuditReport { services };
    ctx.print(&report, AuditReport::render)?;
    Ok(if invalid { FAILED } else { report.exit_status() })
}

/// One image that is asked about.
struct Subject {
    name: String,
    customer: Option<String>,
    image: Result<String, String>,
    spec: Option<(Arc<Customer>, Service)>,
    file: Option<String>,
    tasks: Option<(u64, u64)>,
    suspended: Option<String>,
}

/// The second is whether a spec has errors.
async fn audit_swarm(ctx: &Context) -> anyhow::Result<(Vec<AuditService>, bool)> {
    let session = Session::read_only(&ctx.config)?;
    let observed = session.observe().await?;
    // People audit before they have any spec.
    let (customers, invalid) =
        match specs::read_configured(&ctx.config, &Sealing::visitor(&ctx.config.state_dir)) {
            Ok(read) => {
                for (name, message) in &read.invalid {
                    tracing::error!("{name}: {message}");
                }
                (read.customers, read.invalid.into_keys().collect())
            }
            Err(crate::source::SourceError::Missing(_)) => (BTreeMap::new(), Vec::new()),
            Err(error) => return Err(error.into()),
        };
    let customers: BTreeMap<String, Arc<Customer>> =
        customers.into_iter().map(|(name, customer)| (name, Arc::new(customer))).collect();
    let services = observed.services.values();
    let subjects: Vec<Subject> =
        services.map(|service| of_service(service, &observed, &customers, &invalid)).collect();
    let auditor =
        Auditor { registry: Arc::clone(&session.registry), managed: Some((&session.resolver, &observed)) };
    Ok((auditor.judge_all(&subjects).await, !invalid.is_empty()))
}

/// Asks registries alone: files are audited where there is no engine.
async fn audit_files(ctx: &Context, files: &[PathBuf]) -> anyhow::Result<Vec<AuditService>> {
    let found = compose::images(files, &ctx.env)?;
    let subject = |found: compose::Image| Subject {
        name: found.service,
        customer: None,
        image: found.image,
        spec: None,
        file: Some(found.file.display().to_string()),
        tasks: None,
        suspended: None,
    };
    let subjects: Vec<Subject> = found.into_iter().map(subject).collect();
    let registry = session::registry_client(&ctx.config, Observers::default().registry);
    Ok(Auditor { registry, managed: None }.judge_all(&subjects).await)
}

fn of_service(
    service: &ObservedService,
    observed: &ObservedState,
    customers: &BTreeMap<String, Arc<Customer>>,
    invalid: &[String],
) -> Subject {
    let owner = service.label(labels::CUSTOMER).map(|owner| printable(owner, 64));
    let tally = converge::tally(service, &observed.nodes);
    let spec = find_spec(customers, service);
    let now = Timestamp::now();
    let held = spec.and_then(|(customer, service)| {
        let holds = [customer.suspend.as_ref(), service.suspend.as_ref()];
        holds.into_iter().flatten().find(|hold| hold.until.is_none_or(|until| now < until))
    });
    let of_invalid = owner.as_ref().is_some_and(|owner| invalid.contains(owner));
    Subject {
        name: service.name.clone(),
        customer: owner,
        image: if of_invalid {
            Err("its spec has errors, so nobody can tell what it should be; see `skep lint`".to_owned())
        } else {
            Ok(service.image_text().to_owned())
        },
        spec: spec.map(|(customer, service)| (Arc::clone(customer), service.clone())),
        file: None,
        tasks: Some((tally.right, tally.wanted)),
        suspended: held.map(|hold| format!("suspended: {}", hold.reason)),
    }
}

/// The spec of a service, managed or to be adopted.
fn find_spec<'a>(
    customers: &'a BTreeMap<String, Arc<Customer>>,
    service: &ObservedService,
) -> Option<(&'a Arc<Customer>, &'a Service)> {
    let (customer, key) = service.name.split_once('_')?;
    let customer = customers.get(customer)?;
    Some((customer, customer.services.get(key)?))
}

struct Auditor<'a> {
    registry: Arc<dyn Registry>,
    /// For what has a spec: how it is chosen, and from what.
    managed: Option<(&'a Resolver, &'a ObservedState)>,
}

impl Auditor<'_> {
    async fn judge_all(&self, subjects: &[Subject]) -> Vec<AuditService> {
        let judged = subjects.iter().map(|subject| self.judge(subject));
        futures::stream::iter(judged).buffered(CONCURRENCY).collect().await
    }

    async fn judge(&self, subject: &Subject) -> AuditService {
        let image = subject.image.clone().and_then(|text| {
            text.parse::<ImageRef>().map_err(|error| format!("{}: {error}", printable(&text, 200)))
        });
        let mut found = AuditService {
            name: subject.name.clone(),
            customer: subject.customer.clone(),
            image: subject.image.clone().map(|text| printable(&text, 400)).unwrap_or_default(),
            highest: None,
            verdict: report::Verdict::Unknown,
            message: String::new(),
            newest: None,
            file: subject.file.clone(),
        };
        match image {
            Ok(image) => self.judge_image(subject, &image, &mut found).await,
            Err(message) => found.message = message,
        }
        found
    }

    async fn judge_image(&self, subject: &Subject, image: &ImageRef, found: &mut AuditService) {
        // A service that runs another repository than its spec says is judged by its spec.
        let policy = subject.spec.as_ref().map_or_else(
            || ImagePolicy::Highest {
                repository: image.repository.clone(),
                policy: VersionPolicy::default(),
            },
            |(_, spec)| spec.image.clone(),
        );
        if *policy.repository() != image.repository {
            found.verdict = report::Verdict::Behind;
            found.message = format!("runs another repository than the spec says ({})", policy.repository());
            return;
        }
        let tags = match &policy {
            ImagePolicy::Highest { policy, .. } => policy.tags.clone(),
            _ => TagPattern::default(),
        };
        let highest = self.highest(image, &policy, found).await.map_err(|error| error.to_string());
        let tag_now = match (&image.tag, &image.digest) {
            (Some(tag), Some(_)) if highest.is_ok() => {
                self.registry.digest(&image.repository, tag, MAX_AGE).await.ok()
            }
            _ => None,
        };
        let held = match (&subject.suspended, &highest) {
            (Some(suspended), _) => Some(suspended.clone()),
            (None, Ok(highest)) => self.held(subject, image, highest).await,
            (None, Err(_)) => None,
        };
        let evidence = Evidence { image, tags: &tags, highest, tag_now, tasks: subject.tasks, held };
        let (verdict, message) = judge(&evidence);
        found.verdict = of_verdict(verdict);
        found.message = message;
    }

    /// Why the highest version is not taken, where its spec or a failure is the reason.
    async fn held(&self, subject: &Subject, image: &ImageRef, highest: &Highest) -> Option<String> {
        let ((customer, service), (resolver, observed)) = (subject.spec.as_ref()?, self.managed?);
        let (ImagePolicy::Highest { policy, .. }, Highest::Version { version, digest, .. }) =
            (&service.image, highest)
        else {
            return None;
        };
        let is_highest = |tag: &str| {
            let parsed = version::parse_tag(tag, &policy.tags);
            parsed.is_some_and(|parsed| parsed.version.cmp_precedence(version).is_eq())
        };
        let other_content = image.digest.as_ref().is_some_and(|running| running != digest);
        if policy.retag == Retag::Hold && other_content && image.tag.as_deref().is_some_and(is_highest) {
            return Some("retag = \"hold\" keeps it".to_owned());
        }
        let explained = resolver.explain(customer, service, observed, MAX_AGE, Timestamp::now()).await;
        let (passed_over, message) = match explained.image {
            DesiredImage::Chosen(target) => (target.passed_over, None),
            DesiredImage::None { passed_over, message, .. } => (passed_over, Some(message)),
        };
        let Some(passed) = passed_over.into_iter().find(|passed| is_highest(&passed.tag)) else {
            return message;
        };
        let memory = resolver.memory.service(&subject.name);
        let failure = refusal(&memory, &desired_hash(customer, service), version);
        Some(match failure.filter(|_| passed.reason == RejectReason::Refused) {
            Some(why) => format!("{version} is refused, for it failed: {why}"),
            None => format!("{}: {}", passed.tag, passed.message),
        })
    }

    /// What it ought to be, noted in the report too.
    async fn highest(
        &self,
        image: &ImageRef,
        policy: &ImagePolicy,
        found: &mut AuditService,
    ) -> Result<Highest, RegistryError> {
        let registry = &self.registry;
        match policy {
            ImagePolicy::Digest { tag, digest, .. } => {
                Ok(Highest::Pinned { tag: tag.clone(), digest: digest.clone() })
            }
            ImagePolicy::Tag { repository, tag, version } => {
                found.highest = Some(version.to_string());
                let digest = registry.digest(repository, tag, MAX_AGE).await?;
                Ok(Highest::Pinned { tag: Some(tag.clone()), digest })
            }
            ImagePolicy::Highest { repository, policy } => {
                let tags: Arc<[String]> = registry.tags(repository, MAX_AGE).await?;
                let ranking = version::rank(policy, &tags);
                found.newest = ranking.newest.as_ref().map(ToString::to_string);
                let Some(best) = ranking.candidates.into_iter().next() else { return Ok(Highest::None) };
                found.highest = Some(best.version.to_string());
                let running = image.tag.as_ref().filter(|tag| best.tags.contains(tag));
                let tag = running.or(best.tags.first()).cloned().unwrap_or_default();
                let digest = registry.digest(repository, &tag, MAX_AGE).await?;
                Ok(Highest::Version { version: best.version, tag, digest })
            }
        }
    }
}

/// How this version failed under the spec as it is now.
fn refusal(memory: &ServiceMemory, spec_hash: &str, version: &semver::Version) -> Option<String> {
    let same = |refusal: &&Refusal| {
        let failed = refusal.image.version.as_deref().and_then(|text| semver::Version::parse(text).ok());
        refusal.spec == spec_hash && failed.is_some_and(|failed| failed.cmp_precedence(version).is_eq())
    };
    memory.refused.iter().rfind(same).map(|refusal| refusal.why.clone())
}

fn of_verdict(verdict: Verdict) -> report::Verdict {
    match verdict {
        Verdict::Highest => report::Verdict::Highest,
        Verdict::Behind => report::Verdict::Behind,
        Verdict::Moved => report::Verdict::Moved,
        Verdict::Floating => report::Verdict::Floating,
        Verdict::Unpinned => report::Verdict::Unpinned,
        Verdict::Pinned => report::Verdict::Pinned,
        Verdict::Unknown => report::Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Image;

    #[test]
    fn a_refusal_counts_for_its_version_and_spec_alone() {
        let refused = |version: &str, spec: &str, why: &str| Refusal {
            image: Image {
                repository: "r.example.com/a".into(),
                tag: Some(version.into()),
                version: Some(version.into()),
                digest: String::new(),
            },
            spec: spec.into(),
            why: why.into(),
            time: Timestamp::UNIX_EPOCH,
            until: None,
            rolled_back: false,
        };
        let refused = vec![
            refused("1.10.0", "now", "crashed"),
            refused("1.10.0", "before", "old spec"),
            refused("1.9.0", "now", "other version"),
        ];
        let memory = ServiceMemory { refused, ..ServiceMemory::default() };
        let of = |spec: &str, version: &str| refusal(&memory, spec, &version.parse().unwrap());
        assert_eq!(of("now", "1.10.0").as_deref(), Some("crashed"));
        assert_eq!(of("now", "1.11.0"), None);
        assert_eq!(of("else", "1.10.0"), None);
    }
}
