//! `skep doctor`: what is wrong around skep, and its mend.

mod hooks;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;

use super::Context;
use super::session::Session;
use crate::config::{Docker, Endpoint};
use crate::controller::specs::{self, Sealing};
use crate::image::Repository;
use crate::registry::{RateLimit, RegistryErrorKind};
use crate::report::{Check, CheckStatus, DoctorReport};
use crate::state_dir::StateDir;
use crate::swarm::Info;

/// Check docker, swarm, rights, registries, webhooks, clock and disk: what is wrong and its mend
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {}

const HELP: &str = "\
Examples:
  skep doctor
  skep doctor --output json

Exit status:
  0  no problem
  1  a problem
  2  something could not be checked";

/// A clock that is off by more makes certificates and tokens fail.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(30);
/// The event log alone may take half of this.
const DISK_FREE_MIN: u64 = 1 << 30;
/// A socket on this machine is opened at once, or its queue is full.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(5);
const REGISTRIES_AT_ONCE: usize = 8;

pub async fn run(ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    let mut checks = Vec::new();
    let read = specs::read_configured(&ctx.config, &Sealing::visitor(&ctx.config.state_dir));
    checks.push(check_specs(&read));
    checks.push(check_state(&ctx.config.state_dir));
    checks.extend(check_disk(&ctx.config.state_dir));
    let registries: Option<BTreeSet<&str>> = read.as_ref().ok().map(|read| {
        let services = read.customers.values().flat_map(|customer| customer.services.values());
        services.map(|service| service.image.repository().registry()).collect()
    });
    checks.extend(hooks::check_hooks(&ctx.config, registries.as_ref()));
    match Session::read_only(&ctx.config) {
        Ok(session) => {
            match session.swarm.info().await {
                Ok(info) => checks.extend(check_engine(&info)),
                Err(error) => {
                    let mend = "start dockerd, or name the engine with --docker-host or DOCKER_HOST";
                    checks.push(check("docker", CheckStatus::Problem, error.to_string(), Some(mend)));
                    let unknown =
                        |name| check(name, CheckStatus::Unknown, "the engine does not answer", None);
                    checks.extend([unknown("swarm"), unknown("clock")]);
                }
            }
            checks.extend(check_rights(&ctx.config.docker).await);
            let customers =
                read.as_ref().map(|read| read.customers.values().collect()).unwrap_or_else(|_| Vec::new());
            let services = customers.into_iter().flat_map(|customer| customer.services.values());
            let repositories: BTreeSet<Repository> =
                services.map(|service| service.image.repository().clone()).collect();
            let asked = repositories.iter().map(|repository| check_registry(&session, repository));
            let asked: Vec<Check> = futures::stream::iter(asked).buffered(REGISTRIES_AT_ONCE).collect().await;
            checks.extend(asked);
            checks.extend(check_allowances(&session, &repositories));
        }
        Err(error) => {
            checks.push(check(
                "configuration",
                CheckStatus::Problem,
                format!("{error:#}"),
                Some("mend skep.toml"),
            ));
        }
    }
    let report = DoctorReport { checks };
    ctx.print(&report, DoctorReport::render)?;
    Ok(report.exit_status())
}

fn check(name: &str, status: CheckStatus, message: impl Into<String>, mend: Option<&str>) -> Check {
    Check { name: name.to_owned(), status, message: message.into(), mend: mend.map(str::to_owned) }
}

fn check_specs(read: &Result<specs::Read, crate::source::SourceError>) -> Check {
    match read {
        Err(error) => check("specs", CheckStatus::Problem, error.to_string(), None),
        Ok(read) if !read.invalid.is_empty() => {
            let names: Vec<&str> = read.invalid.keys().map(String::as_str).take(8).collect();
            let message = format!("{} of the specs have errors: {}", read.invalid.len(), names.join(", "));
            check("specs", CheckStatus::Problem, message, Some("`skep lint` shows where"))
        }
        Ok(read) if read.customers.is_empty() => {
            check("specs", CheckStatus::Warning, "there are none yet", Some("write specs/CUSTOMER.toml"))
        }
        Ok(read) => check("specs", CheckStatus::Ok, format!("{} customers", read.customers.len()), None),
    }
}

fn check_state(dir: &Path) -> Check {
    match StateDir::existing(dir) {
        Err(crate::state_dir::StateDirError::Missing(_)) => check(
            "state",
            CheckStatus::Ok,
            format!("{} is made at the first `run` or `apply`", dir.display()),
            None,
        ),
        Err(error) => {
            check("state", CheckStatus::Problem, error.to_string(), Some("name another with --state-dir"))
        }
        Ok(_) => match rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
            Ok(()) => check("state", CheckStatus::Ok, dir.display().to_string(), None),
            Err(error) => {
                let message = format!("{} cannot be written: {error}", dir.display());
                check(
                    "state",
                    CheckStatus::Problem,
                    message,
                    Some("give its owner to the user that runs skep"),
                )
            }
        },
    }
}

fn check_disk(dir: &Path) -> Option<Check> {
    let existing =
        dir.ancestors().find(|dir| dir.exists() && !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(existing).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let message = format!("{} MiB free for the state directory", free >> 20);
    Some(if free < DISK_FREE_MIN {
        check("disk", CheckStatus::Warning, message, Some("free some, or lower events.max_bytes"))
    } else {
        check("disk", CheckStatus::Ok, message, None)
    })
}

fn check_engine(info: &Info) -> Vec<Check> {
    let engine = format!("Docker {} (API {})", info.engine_version, info.api_version);
    let mut checks = vec![check("docker", CheckStatus::Ok, engine, None)];
    checks.push(match (info.swarm_state.as_str(), info.is_manager) {
        ("active", true) => check("swarm", CheckStatus::Ok, "an active manager", None),
        ("active", false) => {
            let mend = "point --docker-host at a manager";
            check(
                "swarm",
                CheckStatus::Problem,
                "this node is a worker, and only managers know the services",
                Some(mend),
            )
        }
        (state, _) => {
            let error = Some(info.swarm_error.as_str()).filter(|error| !error.is_empty());
            let said = error.map(|error| format!(" ({error})")).unwrap_or_default();
            check(
                "swarm",
                CheckStatus::Problem,
                format!("the Swarm is {state}{said}"),
                Some("`docker swarm init` or `docker swarm join`"),
            )
        }
    });
    if let Some(time) = info.system_time {
        let skew = Timestamp::now().duration_since(time).unsigned_abs();
        let message = format!("{:.1} s from the engine's", skew.as_secs_f64());
        checks.push(if skew > CLOCK_SKEW_MAX {
            check("clock", CheckStatus::Problem, message, Some("let both machines follow NTP"))
        } else {
            check("clock", CheckStatus::Ok, message, None)
        });
    }
    checks
}

/// Whether this user may open the engine's socket; over TCP, certificates say who may.
async fn check_rights(docker: &Docker) -> Option<Check> {
    let Ok(Endpoint::Unix(path)) = docker.endpoint() else { return None };
    let connecting = tokio::time::timeout(SOCKET_TIMEOUT, tokio::net::UnixStream::connect(&path)).await;
    let opened = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(drop);
    Some(rights(&path, opened))
}

fn rights(path: &Path, opened: io::Result<()>) -> Check {
    let socket = path.display();
    match opened {
        Ok(()) => check("rights", CheckStatus::Ok, format!("{socket} may be used"), None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => check(
            "rights",
            CheckStatus::Problem,
            format!("this user may not open {socket}"),
            Some("add the user that runs skep to the socket's group (`docker`), or run skep as one that may"),
        ),
        Err(error) => check("rights", CheckStatus::Unknown, format!("{socket}: {error}"), None),
    }
}

async fn check_registry(session: &Session, repository: &Repository) -> Check {
    let name = format!("registry {repository}");
    match session.registry.tags(repository, Duration::ZERO).await {
        Ok(tags) => check(&name, CheckStatus::Ok, format!("{} tags", tags.len()), None),
        Err(error) => {
            let mend = match error.kind {
                RegistryErrorKind::Unauthorized | RegistryErrorKind::Credentials => {
                    Some("set [registries] in skep.toml, or `docker login`")
                }
                RegistryErrorKind::NotFound => Some("correct `image` in the spec, or push the first tag"),
                RegistryErrorKind::RateLimited => Some("log in, or raise poll.registry"),
                _ => Some("see that the registry is up and in reach of this machine"),
            };
            check(&name, CheckStatus::Problem, error.to_string(), mend)
        }
    }
}

/// What the registries that were just asked say of our allowance, if they say anything.
fn check_allowances(session: &Session, repositories: &BTreeSet<Repository>) -> Vec<Check> {
    let registries: BTreeSet<&str> = repositories.iter().map(Repository::registry).collect();
    let stated = registries.into_iter().filter_map(|name| Some((name, session.registry.rate_limit(name)?)));
    stated.map(|(name, limit)| allowance(name, &limit)).collect()
}

fn allowance(registry: &str, limit: &RateLimit) -> Check {
    let name = format!("rate limit {registry}");
    let minutes = limit.window.as_secs().div_ceil(60);
    let message = format!("{} of {} requests left for {minutes} min", limit.remaining, limit.limit);
    if limit.remaining >= limit.limit.div_ceil(2) {
        return check(&name, CheckStatus::Ok, message, None);
    }
    let message = format!("{message}; it is polled less often");
    check(
        &name,
        CheckStatus::Warning,
        message,
        Some(
            "log in for a larger allowance, use a mirror, or let a webhook wake skep and raise poll.registry",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_that_runs_out_is_a_warning() {
        let of = |remaining| {
            allowance("r.example.com", &RateLimit { limit: 100, remaining, window: Duration::from_secs(90) })
        };
        assert_eq!((of(50).status, of(50).mend), (CheckStatus::Ok, None));
        assert_eq!(of(49).status, CheckStatus::Warning);
        assert_eq!(of(50).message, "50 of 100 requests left for 2 min");
    }

    #[test]
    fn a_socket_that_may_not_be_opened_has_its_own_mend() {
        let of = |kind: io::ErrorKind| rights(Path::new("/d.sock"), Err(kind.into()));
        let denied = of(io::ErrorKind::PermissionDenied);
        assert_eq!(denied.status, CheckStatus::Problem);
        assert!(denied.mend.unwrap().contains("group"));
        assert_eq!(of(io::ErrorKind::NotFound).status, CheckStatus::Unknown);
        assert_eq!(rights(Path::new("/d.sock"), Ok(())).status, CheckStatus::Ok);
    }
}
