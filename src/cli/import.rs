//! `skep import`: a spec from a compose file or from a stack that runs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::Value;

use super::{Context, compose, output, session};
use crate::image::Digest;
use crate::import::{Draft, Imported, answer_key, compose as file, live};
use crate::registry::{self, Registry};
use crate::swarm::{self, Scope, Swarm as _};

/// Print a spec made from a compose file or a live stack
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// A compose file; ${VARIABLES} are filled in from the environment
    #[arg(value_name = "FILE.yml", required_unless_present = "stack")]
    pub file: Option<PathBuf>,
    /// A stack that runs in the Swarm
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub stack: Option<String>,
    /// What the customer is called [default: the stack's name, or the file's stem]
    #[arg(long, value_name = "CUSTOMER")]
    pub name: Option<String>,
}

const HELP: &str = "\
Examples:
  skep import --stack acme > specs/acme.toml && skep plan acme    # shows only the adoption
  skep import acme.yml > specs/acme.toml
  skep import --stack acme --output json | jq -r '.notes[]'       # what could not be carried

The spec has `adopt = true` on each service, so that skep takes over what runs. Comments say what
could not be carried over, and why.

Exit status:
  0  printed
  2  no such stack or file, or nothing of it makes a spec";

#[derive(Serialize)]
struct Report {
    customer: String,
    spec: String,
    notes: Vec<String>,
}

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let Imported { customer, spec, notes } = match (&args.stack, &args.file) {
        (Some(stack), _) => from_stack(ctx, stack, args.name.as_deref()).await?,
        (None, Some(path)) => from_file(ctx, path, args.name.as_deref()).await?,
        (None, None) => return Err(anyhow!("name a compose file, or a stack with --stack")),
    };
    if ctx.json {
        let report = Report { customer, spec, notes };
        writeln!(ctx.out, "{}", output::escape_json(&serde_json::to_string_pretty(&report)?))?;
    } else {
        ctx.out.write_all(spec.as_bytes())?;
    }
    ctx.out.flush()?;
    Ok(super::CLEAN)
}

async fn from_stack(ctx: &Context, stack: &str, name: Option<&str>) -> anyhow::Result<Imported> {
    let endpoint = swarm::Endpoint::new(&ctx.config.docker).map_err(|message| anyhow!(message))?;
    let client = swarm::Client::new(endpoint, std::sync::Arc::new(|_, _| {}));
    let look = client.look(Scope::Whole, Vec::new());
    let (look, networks, configs) = futures::try_join!(look, client.networks(), client.configs())?;
    let observed = look.whole()?;
    let stack = live::Stack {
        name: stack,
        customer: name.unwrap_or(stack),
        observed: &observed,
        networks: &networks,
        configs: &configs,
    };
    let draft = stack.draft().map_err(|message| anyhow!(message))?;
    let digests = ask(ctx, &draft).await;
    stack.finish(draft, &digests).map_err(|message| anyhow!(message))
}

async fn from_file(ctx: &Context, path: &Path, name: Option<&str>) -> anyhow::Result<Imported> {
    let value = compose::whole(path, &ctx.env)?;
    let absolute = std::path::absolute(path).with_context(|| format!("{}", path.display()))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let shown = path.display().to_string();
    let file = file::File {
        value: &value,
        shown: &shown,
        folder: absolute.parent().unwrap_or(Path::new("/")),
        customer: name.unwrap_or(&stem),
        env: &ctx.env,
    };
    let draft = file.draft().map_err(|message| anyhow!(message))?;
    let digests = ask(ctx, &draft).await;
    file::File::finish(draft, &digests).map_err(|message| anyhow!(message))
}

/// A registry that says nothing by then leaves a note.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Questions at once.
const CONCURRENCY: usize = 8;

/// What the registries have under the tags that matter, as far as they say it in time.
async fn ask(ctx: &Context, draft: &Draft) -> BTreeMap<String, Digest> {
    let questions = draft.questions();
    if questions.is_empty() {
        return BTreeMap::new();
    }
    let none: registry::Observer = std::sync::Arc::new(|_, _, _| {});
    let client: std::sync::Arc<dyn Registry> = session::registry_client(&ctx.config, none);
    let asked = questions.into_iter().map(|(repository, tag)| {
        let client = std::sync::Arc::clone(&client);
        async move {
            let answer =
                tokio::time::timeout(ANSWER_WITHIN, client.digest(&repository, &tag, Duration::MAX)).await;
            Some((answer_key(&repository, &tag), answer.ok()?.ok()?))
        }
    });
    let answers: Vec<Option<(String, Digest)>> =
        futures::stream::iter(asked).buffer_unordered(CONCURRENCY).collect().await;
    answers.into_iter().flatten().collect()
}

/// Every string of a compose file with its variables filled in.
///
/// # Errors
/// The first that cannot be, with the key it stands at.
pub(crate) fn fill_in(value: &mut Value, env: &BTreeMap<String, String>, at: &str) -> Result<(), String> {
    match value {
        Value::String(text) => {
            *text = compose::interpolate(text, env, 0).map_err(|why| format!("{at}: {why}"))?;
            Ok(())
        }
        Value::Array(list) => {
            list.iter_mut().enumerate().try_for_each(|(i, value)| fill_in(value, env, &format!("{at}[{i}]")))
        }
        Value::Object(map) => map.iter_mut().try_for_each(|(key, value)| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            fill_in(value, env, &at)
        }),
        _ => Ok(()),
    }
}
