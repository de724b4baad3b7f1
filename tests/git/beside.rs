//! Files beside specs: secrets, configs and `env_file` out of the same commit.

use skep::controller::Specs;
use skep::controller::specs::Sealing;
use skep::events::Reason;
use skep::source::git::{Feed, Fetcher};
use skep::spec::ContentKey;

use crate::feed::{NEVER, at, fetched, read, reasons};
use crate::hostile::{blob, commit_tree};
use crate::origin::{CANARY, GOOD, Origin};

const NAMING: &str = "[services.web]\nimage = \"r.example.com/web\"\nsecrets = [\"key\"]\nenv_file = \"../web.env\"\n\
                      [secrets.key]\nfile = \"keys/key\"\n[configs.motd]\nfile = \"${customer}.motd\"\n";

fn start(origin: &Origin) -> (Feed, Specs) {
    let feed = Fetcher::start(origin.repository(&origin.url(), ""), || NEVER);
    let sealing = Sealing::controller(ContentKey::new([7; ContentKey::BYTES]));
    let specs = Specs::from_git(feed.clone(), &origin.state(), sealing);
    (feed, specs)
}

/// What the secret holds, and its name in the Swarm.
fn secret(specs: &Specs) -> (Vec<u8>, String) {
    let secret = &specs.get("acme").unwrap().secrets["key"];
    (secret.content.as_ref().unwrap().reveal().to_vec(), secret.swarm_name().unwrap())
}

#[tokio::test]
async fn a_file_that_changes_alone_is_another_secret() {
    let origin = Origin::new();
    origin.write("specs/web.env", b"COLOUR=blue\n");
    origin.write("specs/eu/keys/key", CANARY.as_bytes());
    origin.write("specs/eu/acme.motd", b"hello");
    origin.run(&["rm", "-q", "specs/acme.toml"]);
    let first = origin.push("specs/eu/acme.toml", NAMING, "with a secret");
    let (feed, mut specs) = start(&origin);
    let events = read(&feed, &mut specs, at(&first)).await;
    assert_eq!(reasons(&events), [Reason::SpecAdded]);
    let before = secret(&specs);
    assert_eq!(before.0, CANARY.as_bytes());
    let customer = specs.get("acme").unwrap();
    assert_eq!(customer.configs["motd"].content.as_ref().unwrap().reveal(), b"hello");
    assert!(format!("{customer:?}").contains("blue"), "env_file is read");

    // As long as before, so that only the content tells.
    let rotated = CANARY.to_uppercase();
    let second = origin.push("specs/eu/keys/key", &rotated, "rotate");
    feed.poke();
    let events = read(&feed, &mut specs, at(&second)).await;
    assert_eq!(reasons(&events), [Reason::SpecChanged]);
    assert_eq!(events[0].revision.as_deref(), Some(second.as_str()));
    let after = secret(&specs);
    assert_eq!(after.0, rotated.as_bytes());
    assert_ne!(after.1, before.1, "another name, so that services move to it");
    assert!(!format!("{events:?}{:?}", feed.state()).contains(&rotated));
    drop((feed, specs));

    // Gone again: the last good one stays in force, and a restart tells nothing new.
    origin.run(&["rm", "-q", "specs/eu/keys/key"]);
    let third = origin.commit("lose it");
    let (feed, mut specs) = start(&origin);
    let events = read(&feed, &mut specs, at(&third)).await;
    assert_eq!(reasons(&events), [Reason::SpecInvalid]);
    assert!(events[0].message.contains("there is no file `keys/key`"), "{}", events[0].message);
}

#[tokio::test]
async fn what_is_no_plain_file_of_the_commit_is_not_read() {
    let secret = |file: &str| format!("{GOOD}secrets = [\"key\"]\n[secrets.key]\nfile = \"{file}\"\n");
    let large = vec![b'x'; 600_000];
    for (name, file, entry, words) in [
        ("a symlink", "key", Some(("120000", &b"/etc/shadow"[..], &b"key"[..])), "is a symlink"),
        ("a symlink within", "key", Some(("120000", b"acme.toml", b"key")), "is a symlink"),
        ("a symlink to a folder", "up/key", Some(("120000", b"/etc", b"up")), "a symlink or submodule"),
        ("a submodule", "up/key", Some(("160000", b"", b"up")), "a symlink or submodule"),
        ("too large", "key", Some(("100644", &large, b"key")), "too large"),
        (
            "a pointer",
            "key",
            Some(("100644", b"version https://git-lfs.github.com/spec/v1\n", b"key")),
            "Git LFS",
        ),
        ("empty", "key", Some(("100644", b"", b"key")), "is empty"),
        ("missing", "key", None, "there is no file `key`"),
        ("above the specs", "../outside", None, "leads out"),
        ("absolute", "/etc/hostname", None, "leads out"),
        ("git's own", "../../.git/config", None, "leads out"),
    ] {
        let origin = Origin::new();
        origin.write("outside", b"x");
        origin.commit("a file above the specs");
        let (feed, mut specs) = start(&origin);
        read(&feed, &mut specs, fetched).await;
        let spec = blob(&origin, secret(file).as_bytes());
        let head = origin.head();
        let object = entry.map(|(mode, text, name)| {
            let id = if mode == "160000" { head.clone() } else { blob(&origin, text) };
            (mode, id, name)
        });
        let mut entries = vec![("100644", spec.as_str(), &b"acme.toml"[..])];
        entries.extend(object.as_ref().map(|(mode, id, name)| (*mode, id.as_str(), *name)));
        commit_tree(&origin, &entries);
        feed.poke();
        let events = read(&feed, &mut specs, |feed| {
            feed.state().tree.is_some_and(|tree| tree.revision.subject == "hostile")
        })
        .await;
        let told: Vec<&str> = events
            .iter()
            .filter(|event| event.customer.as_deref() == Some("acme"))
            .map(|event| event.message.as_str())
            .collect();
        assert!(told.len() == 1 && told[0].contains(words), "{name}: {told:?}");
        let held = specs.get("acme").unwrap();
        assert!(held.secrets.is_empty(), "{name}: the last good one stays in force");
    }
}
