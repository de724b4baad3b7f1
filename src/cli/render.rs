//! `skep render`: the compose file of a customer, with pinned images.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{anyhow, bail};

use super::session::{self, Session};
use super::{Context, output};
use crate::plan::{object, service_name};
use crate::report::{compose, notes, yaml};

/// Print the equivalent compose file with pinned images, fit for `docker stack deploy`
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The customer, by the name of its spec
    #[arg(value_name = "CUSTOMER")]
    pub customer: String,
}

const HELP: &str = "\
Examples:
  skep render acme > acme.yml
  skep render acme | docker stack deploy --with-registry-auth -c - acme
  skep render acme --output json | jq '.services[].image'

Exit status:
  0  printed
  2  the spec has errors, or a version could not be found out";

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let chosen = session::choose(&ctx.config, std::slice::from_ref(&args.customer))?;
    if let Some((_, message)) = chosen.invalid.first() {
        bail!("the spec of {} has errors: {message}", args.customer);
    }
    let customer = chosen.customers.first().ok_or_else(|| anyhow!("no customer {}", args.customer))?;
    let session = Session::read_only(&ctx.config)?;
    let observed = session.observe_for(&chosen.customers).await?;
    let plan = session.plan(customer, &chosen.inventory, &observed).await;
    let mut customer = (**customer).clone();
    let names = customer.services.keys().map(|key| service_name(&customer.name, key));
    let remembered = names.map(|name| (name.clone(), session.memory.service(&name))).collect();
    object::keep(&mut customer, &observed, &remembered);
    let blobs = || customer.secrets.values().chain(customer.configs.values());
    if let Some(unknown) = blobs().find(|blob| blob.swarm_name().is_none()) {
        bail!(
            "the name of {} in the Swarm cannot be told here: it takes the key in skep's state directory, and \
             what the controller reads",
            unknown.name
        );
    }
    let mut images = BTreeMap::new();
    for (key, service) in &customer.services {
        let view = plan.services.get(key);
        let desired = view.and_then(|view| view.desired.as_ref());
        let Some(digest) = desired.and_then(|image| image.digest.as_deref()) else {
            let why = plan.waiting.iter().find(|waiting| waiting.service == *key);
            let why = why.map_or("no version is chosen", |waiting| waiting.message.as_str());
            bail!("{}/{key} has no image to pin: {why}", customer.name);
        };
        let tag = desired.and_then(|image| image.tag.as_deref());
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        images.insert(key.clone(), format!("{}{tag}@{digest}", service.image.repository()));
    }
    let file = compose(&customer, &images);
    if ctx.json {
        writeln!(ctx.out, "{}", output::escape_json(&serde_json::to_string_pretty(&file)?))?;
    } else {
        write!(ctx.out, "{}{}", notes(&customer), output::escape_json(&yaml(&file)))?;
    }
    ctx.out.flush()?;
    Ok(super::CLEAN)
}
