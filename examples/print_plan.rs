//! Prints what skep would do, from a specs directory and recorded answers of an engine and a
//! registry. Nothing is asked and nothing is touched: `cargo run --example print_plan`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, ready};
use serde_json::{Value, json};
use skep::cli::convert;
use skep::controller::resolve::Resolver;
use skep::controller::specs::{Owners, Sealing, read_dir};
use skep::controller::{Request, plan_only};
use skep::events::Trigger;
use skep::image::{Digest, Repository};
use skep::memory::InMemory;
use skep::registry::{Registry, RegistryError, RegistryErrorKind};
use skep::report::{PlanReport, Style};
use skep::version::Platform;

/// Digests by repository and tag.
struct Recorded(BTreeMap<String, BTreeMap<String, String>>);

impl Recorded {
    fn missing(repository: &Repository) -> RegistryError {
        RegistryError {
            kind: RegistryErrorKind::NotFound,
            registry: repository.registry().to_owned(),
            message: format!("{repository} was not recorded"),
            retry_after: None,
        }
    }
}

impl Registry for Recorded {
    fn tags(
        &self,
        repository: &Repository,
        _: Duration,
    ) -> BoxFuture<'_, Result<Arc<[String]>, RegistryError>> {
        let tags = self.0.get(&repository.normalized()).map(|tags| tags.keys().cloned().collect());
        ready(tags.ok_or_else(|| Self::missing(repository))).boxed()
    }

    fn digest(
        &self,
        repository: &Repository,
        tag: &str,
        _: Duration,
    ) -> BoxFuture<'_, Result<Digest, RegistryError>> {
        let digest = self.0.get(&repository.normalized()).and_then(|tags| tags.get(tag)?.parse().ok());
        ready(digest.ok_or_else(|| Self::missing(repository))).boxed()
    }

    fn platforms(
        &self,
        _: &Repository,
        _: &Digest,
    ) -> BoxFuture<'_, Result<std::collections::BTreeSet<Platform>, RegistryError>> {
        ready(Ok(Default::default())).boxed()
    }

    fn pull_auth(&self, _: &Repository) -> BoxFuture<'_, Result<Option<String>, RegistryError>> {
        ready(Ok(None)).boxed()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let services: Value = serde_json::from_str(&fs::read_to_string(data.join("services.json"))?)?;
    let tags = serde_json::from_str(&fs::read_to_string(data.join("tags.json"))?)?;
    let observed = skep::swarm::convert_snapshot(services, [json!([]), json!([])], &json!([]), &json!([]));
    let resolver = Resolver::new(Arc::new(Recorded(tags)), Arc::new(InMemory::default()));

    let mut report = PlanReport { customers: Vec::new() };
    let read = read_dir(&data.join("specs"), &Sealing::visitor(&data), &Owners::default())?;
    for customer in read.customers.into_values() {
        let request = Request {
            inventory: Arc::default(),
            customer: Arc::new(customer),
            revision: None,
            trigger: Trigger::Manual,
            since: tokio::time::Instant::now(),
            max_age: Duration::MAX,
            alone: false,
        };
        let timeout = Duration::from_secs(600);
        let plan = plan_only(&resolver, timeout, &request, &observed, jiff::Timestamp::now()).await;
        report.customers.push(convert::customer(&plan));
    }
    report.render(&mut std::io::stdout().lock(), &Style::default())?;
    Ok(())
}
