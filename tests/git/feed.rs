//! What the controller makes of it: events with the commit, and trouble that is told once.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use skep::controller::Specs;
use skep::controller::specs::Sealing;
use skep::events::{NewEvent, Reason, Trigger};
use skep::source::git::{Feed, Fetcher};

use crate::origin::{GOOD, Origin};

/// Far away: all that comes, comes by a poke.
pub const NEVER: Duration = Duration::from_secs(3600);
const LONG: Duration = Duration::from_secs(30);

fn start(origin: &Origin) -> (Feed, Specs) {
    let feed = Fetcher::start(origin.repository(&origin.url(), ""), || NEVER);
    let specs = Specs::from_git(feed.clone(), &origin.state(), Sealing::visitor(&origin.state()));
    (feed, specs)
}

/// Waits for the end of a fetch that changed something, and reads.
pub async fn read(feed: &Feed, specs: &mut Specs, until: impl Fn(&Feed) -> bool) -> Vec<NewEvent> {
    let mut changes = Box::pin(feed.changes());
    let looked = async {
        while !until(feed) {
            changes.next().await.unwrap();
        }
    };
    tokio::time::timeout(LONG, looked).await.expect("the fetch ends");
    let events = specs.read(Trigger::Spec, jiff::Timestamp::now()).unwrap().events;
    specs.note_told();
    events
}

pub fn fetched(feed: &Feed) -> bool {
    feed.state().fetched
}

pub fn at(commit: &str) -> impl Fn(&Feed) -> bool {
    move |feed| feed.state().tree.is_some_and(|tree| tree.revision.commit == commit)
}

pub fn reasons(events: &[NewEvent]) -> Vec<Reason> {
    events.iter().map(|event| event.reason).collect()
}

#[tokio::test]
async fn events_name_the_commit_and_trouble_is_told_once() {
    let origin = Origin::new();
    let first = origin.head();
    let (feed, mut specs) = start(&origin);
    let events = read(&feed, &mut specs, fetched).await;
    assert_eq!(reasons(&events), [Reason::SpecAdded]);
    assert_eq!(events[0].revision.as_deref(), Some(first.as_str()));
    let second = origin.push("specs/acme.toml", &GOOD.replace("web\"", "site\""), "rename it");
    feed.poke();
    let events = read(&feed, &mut specs, at(&second)).await;
    assert_eq!(reasons(&events), [Reason::SpecChanged]);
    assert_eq!(events[0].revision.as_deref(), Some(second.as_str()));
    assert!(events[0].message.contains("<ada@example.com>: rename it"), "{}", events[0].message);
    assert!(!events[0].message.chars().any(char::is_control));
    assert_eq!(specs.revision(), Some(second.as_str()));

    let away = origin.path("away");
    std::fs::rename(origin.bare(), &away).unwrap();
    feed.poke();
    let events = read(&feed, &mut specs, |feed| feed.state().error.is_some()).await;
    assert_eq!(reasons(&events), [Reason::SpecInvalid]);
    assert!(events[0].message.contains("stays in force"), "{}", events[0].message);
    assert_eq!(specs.read(Trigger::Spec, jiff::Timestamp::now()).unwrap().events.len(), 0);

    // A restart with a dead server has the specs, and tells nothing that was told.
    drop((feed, specs));
    let (feed, mut specs) = start(&origin);
    assert_eq!(read(&feed, &mut specs, fetched).await.len(), 0);
    assert_eq!(specs.customers().count(), 1);
    assert_eq!(specs.revision(), Some(second.as_str()));

    std::fs::rename(away, origin.bare()).unwrap();
    feed.poke();
    let events = read(&feed, &mut specs, |feed| feed.state().error.is_none()).await;
    assert_eq!(reasons(&events), [Reason::Recovered]);
}

/// A server that never answers: `timeout` ends it, and what it started is gone.
#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let origin = Origin::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.git", silent.local_addr().unwrap());
    let mut config = origin.config(&url, "");
    config.timeout = Duration::from_secs(1);
    let repository = skep::source::git::Repository::new(&config, &origin.state());
    let error = tokio::task::spawn_blocking(move || repository.fetch().unwrap_err()).await.unwrap();
    assert!(error.message.contains("not done within 1s"), "{error}");
    // They are killed already; the system takes a moment to be done with them.
    let until = std::time::Instant::now() + LONG;
    while running_with(&url) > 0 {
        assert!(std::time::Instant::now() < until, "something still runs");
        tokio::task::yield_now().await;
    }
    drop(silent);
}

/// Processes whose arguments hold a text.
fn running_with(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let holds =
        |path: &Path| std::fs::read(path).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text));
    processes.filter(|process| holds(&process.path().join("cmdline"))).count()
}
