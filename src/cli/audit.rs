//! `skep audit`: does what runs equal the highest version?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;

use super::compose;
use super::session::Session;
use super::{Context, FAILED};
use crate::controller::specs;
use crate::image::ImageRef;
use crate::plan::converge;
use crate::plan::labels;
use crate::plan::verdict::{Evidence, Highest, Verdict, judge};
use crate::registry::RegistryError;
use crate::report::{self, AuditReport, AuditService};
use crate::spec::{Customer, ImagePolicy, Service, TagPattern, VersionPolicy};
use crate::state::{ObservedService, ObservedState};
use crate::text::printable;
use crate::version;

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
    let session = Session::read_only(&ctx.config)?;
    let (subjects, invalid) = if args.files.is_empty() {
        subjects_of_swarm(ctx, &session).await?
    } else {
        (subjects_of_files(&args.files, &ctx.env)?, false)
    };
    let auditor = Auditor { session: &session };
    let judged = subjects.iter().map(|subject| auditor.judge(subject));
    let mut services: Vec<AuditService> = futures::stream::iter(judged).buffered(CONCURRENCY).collect().await;
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
    spec: Option<Service>,
    file: Option<String>,
    tasks: Option<(u64, u64)>,
    suspended: Option<String>,
    refused: Option<String>,
}

async fn subjects_of_swarm(ctx: &Context, session: &Session) -> anyhow::Result<(Vec<Subject>, bool)> {
    let observed = session.observe().await?;
    // People audit before they have any spec.
    let (customers, invalid) = match specs::read_dir(&ctx.config.specs_dir) {
        Ok(read) => {
            for (name, message) in &read.invalid {
                tracing::error!("{name}: {message}");
            }
            (read.customers, read.invalid.into_keys().collect())
        }
        Err(crate::source::SourceError::Missing(_)) => (BTreeMap::new(), Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let services = observed.services.values();
    let subjects =
        services.map(|service| of_service(service, &observed, &customers, &invalid, session)).collect();
    Ok((subjects, !invalid.is_empty()))
}

fn of_service(
    service: &ObservedService,
    observed: &ObservedState,
    customers: &BTreeMap<String, Customer>,
    invalid: &[String],
    session: &Session,
) -> Subject {
    let owner = service.label(labels::CUSTOMER).map(|owner| printable(owner, 64));
    let tally = converge::tally(service, &observed.nodes);
    let spec = find_spec(customers, service);
    let memory = session.memory.service(&service.name);
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
        spec: spec.map(|(_, service)| service.clone()),
        file: None,
        tasks: Some((tally.right, tally.wanted)),
        suspended: held.map(|hold| format!("suspended: {}", hold.reason)),
        refused: memory.refused.last().map(|refusal| {
            let version = refusal.image.version.clone().unwrap_or_default();
            format!("{version} is refused, for it failed: {}", refusal.why)
        }),
    }
}

/// The spec of a service, managed or to be adopted.
fn find_spec<'a>(
    customers: &'a BTreeMap<String, Customer>,
    service: &ObservedService,
) -> Option<(&'a Customer, &'a Service)> {
    let (customer, key) = service.name.split_once('_')?;
    let customer = customers.get(customer)?;
    Some((customer, customer.services.get(key)?))
}

fn subjects_of_files(files: &[PathBuf], env: &BTreeMap<String, String>) -> anyhow::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for file in files {
        for found in compose::images(Path::new(file), env)? {
            subjects.push(Subject {
                name: found.service,
                customer: None,
                image: found.image,
                spec: None,
                file: Some(file.display().to_string()),
                tasks: None,
                suspended: None,
                refused: None,
            });
        }
    }
    Ok(subjects)
}

struct Auditor<'a> {
    session: &'a Session,
}

impl Auditor<'_> {
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
            |spec| spec.image.clone(),
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
                self.session.registry.digest(&image.repository, tag, MAX_AGE).await.ok()
            }
            _ => None,
        };
        let held = subject.suspended.clone().or_else(|| subject.refused.clone());
        let evidence = Evidence { image, tags: &tags, highest, tag_now, tasks: subject.tasks, held };
        let (verdict, message) = judge(&evidence);
        found.verdict = of_verdict(verdict);
        found.message = message;
    }

    /// What it ought to be, noted in the report too.
    async fn highest(
        &self,
        image: &ImageRef,
        policy: &ImagePolicy,
        found: &mut AuditService,
    ) -> Result<Highest, RegistryError> {
        let registry = &self.session.registry;
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
