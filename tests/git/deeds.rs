//! What a repository, or whoever serves it, may do to its readers: each deed against the commands of
//! skep, as processes, with an embedded Swarm behind. Whatever it does, nothing crashes or hangs,
//! nothing of it is deployed or run, and no secret is shown.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use skep::sim::registry::ImageSpec;

use crate::fleet::{Fleet, Ran};
use crate::hostile::{blob, commit_tree, feed, push_commit, raw_tree};
use crate::http::{Bridge, Mood};
use crate::origin::CANARY;
use crate::signatures;

/// Deeds at once: each is mostly waiting.
const AT_ONCE: usize = 4;
/// Each command ends by itself within its own bounds.
const COMMAND_MAX: Duration = Duration::from_secs(60);
const PRINTED_BYTES_MAX: usize = 64 << 10;
const COMMANDS: [&str; 4] = ["plan -vv", "apply --no-wait -vv", "lint", "status"];
/// Of the server, as the deeds that wait for it have it.
const HASTY: &str = "timeout = \"3s\"";
const TOKEN: &str = "token_file = \"token\"";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The commit is not accepted: the last good one stays in force.
    Refused,
    /// It is accepted, and what is wrong in it is passed over.
    Harmless,
}

#[derive(Clone, Copy)]
enum Act {
    /// Something is pushed.
    Push(fn(&Fleet)),
    /// The server turns.
    Serve(fn() -> Mood),
    /// Something is pushed where signatures are asked for.
    Sign(fn(&Fleet)),
}

#[derive(Clone, Copy)]
struct Deed {
    name: &'static str,
    then: Then,
    act: Act,
}

const fn push(name: &'static str, then: Then, act: fn(&Fleet)) -> Deed {
    Deed { name, then, act: Act::Push(act) }
}

const fn serve(name: &'static str, act: fn() -> Mood) -> Deed {
    Deed { name, then: Then::Refused, act: Act::Serve(act) }
}

const fn sign(name: &'static str, act: fn(&Fleet)) -> Deed {
    Deed { name, then: Then::Refused, act: Act::Sign(act) }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_repository_breaks_skep() {
    let all = [NAMES, CONTENTS, HISTORY, SERVERS, SIGNED].concat();
    assert!(all.len() >= 50, "{} deeds", all.len());
    let count = all.len();
    let tried = futures::stream::iter(all).map(|deed| async move {
        let tried = tokio::spawn(attempt(deed)).await.unwrap_or_else(|panic| Err(panic.to_string()));
        tried.err().map(|why| format!("{}: {why}", deed.name))
    });
    let wrong: Vec<String> = tried.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The world itself: an honest commit is deployed, and a deed that is none is seen to be none.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_repository_is_followed() {
    let evil = |fleet: &Fleet| drop(fleet.origin.push("specs/acme.toml", &evil(fleet), "an honest push"));
    for (then, words) in [(Then::Refused, "is in force"), (Then::Harmless, "acme/evil")] {
        let why = attempt(push("honest", then, evil)).await.unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}

/// An honest start, the deed, every command; then all that must hold.
async fn attempt(deed: Deed) -> Result<(), String> {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    fleet.registry.push("acme/evil", "6.6.6", &ImageSpec::new("6.6.6")).unwrap();
    origin.file("token", CANARY);
    origin.write("specs/key", CANARY.as_bytes());
    if matches!(deed.act, Act::Sign(_)) {
        signatures::prepare(origin);
    }
    let lines = "secrets = [\"key\"]\n[secrets.key]\nfile = \"key\"\n";
    let first = origin.push("specs/acme.toml", &fleet.spec(lines), "honest");
    let mut bridge = None;
    match deed.act {
        Act::Push(_) => {}
        Act::Serve(_) => {
            let served = Bridge::new(origin);
            let url = served.serve().await;
            fleet.configure(&url, TOKEN);
            bridge = Some((served, url));
        }
        Act::Sign(_) => fleet.configure(&origin.url(), signatures::LINES),
    }
    let ran = fleet.skep("apply --no-wait").await;
    if ran.status != Some(0) {
        return Err(format!("the start failed: {}", ran.all()));
    }
    let before = fleet.service().ok_or("the start made no service")?;
    match (deed.act, &bridge) {
        (Act::Serve(mood), Some((served, url))) => {
            served.mood(mood());
            fleet.configure(url, &format!("{TOKEN}\n{HASTY}"));
        }
        (Act::Push(act) | Act::Sign(act), _) => act(&fleet),
        (Act::Serve(_), None) => return Err("nobody serves".into()),
    }
    let bridge = bridge.map(|(served, _)| served);
    for line in COMMANDS {
        let begun = Instant::now();
        let ran = fleet.skep(line).await;
        if begun.elapsed() > COMMAND_MAX {
            return Err(format!("`{line}` took {:?}", begun.elapsed()));
        }
        check(&ran, line, bridge.as_ref())?;
    }
    let revision = fleet.in_force();
    if (revision == first) != (deed.then == Then::Refused) {
        return Err(format!("{:?}, but {revision} is in force, after {first}", deed.then));
    }
    let after = fleet.service().ok_or("the service is gone")?;
    let image = |spec: &serde_json::Value| spec["TaskTemplate"]["ContainerSpec"]["Image"].clone();
    if image(&after) != image(&before) || fleet.services() != 1 {
        return Err(format!("{} services, with {}", fleet.services(), image(&after)));
    }
    if origin.path("touched").exists() {
        return Err("something of it was run".into());
    }
    unseen(&fleet, bridge.as_ref())
}

/// It ended in its own way, and said nothing that harms a terminal or tells a secret.
fn check(ran: &Ran, line: &str, bridge: Option<&Bridge>) -> Result<(), String> {
    let all = ran.all();
    let said = || all.chars().take(2_000).collect::<String>();
    if !matches!(ran.status, Some(0..=2)) || all.contains("panicked") {
        return Err(format!("`{line}` ended with {:?}:\n{}", ran.status, said()));
    }
    if let Some(control) =
        all.chars().find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}'))
    {
        return Err(format!("`{line}` printed {control:?}:\n{}", said().escape_debug()));
    }
    if all.len() > PRINTED_BYTES_MAX {
        return Err(format!("`{line}` printed {} bytes", all.len()));
    }
    leaks(&all, bridge).map_or(Ok(()), |leak| Err(format!("`{line}` printed {leak}:\n{}", said())))
}

/// The canary in any of its spellings.
fn leaks(text: &str, bridge: Option<&Bridge>) -> Option<String> {
    let spelt = [Some(CANARY.to_owned()), bridge.map(Bridge::pair)];
    spelt.into_iter().flatten().find(|spelt| text.contains(spelt.as_str()))
}

/// No file of the state directory shows it either; what git keeps is packed.
fn unseen(fleet: &Fleet, bridge: Option<&Bridge>) -> Result<(), String> {
    let mut files = vec![fleet.origin.state()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Some(leak) = leaks(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()), bridge) {
            return Err(format!("{leak} stands in {}", path.display()));
        }
    }
    let specs = fleet.service().unwrap_or_default().to_string();
    leaks(&specs, bridge).map_or(Ok(()), |leak| Err(format!("{leak} stands in a service's spec")))
}

/// A spec that would be deployed if it were taken.
fn evil(fleet: &Fleet) -> String {
    format!("[services.web]\nimage = \"{}\"\n", fleet.image.replace("acme/web", "acme/evil"))
}

fn honest(fleet: &Fleet) -> String {
    std::fs::read_to_string(fleet.origin.work().join("specs/acme.toml")).unwrap()
}

/// A commit whose specs are the honest ones and these entries.
fn beside(fleet: &Fleet, entries: &[(&str, &[u8], &[u8])]) {
    let origin = &fleet.origin;
    let (spec, key) = (blob(origin, honest(fleet).as_bytes()), blob(origin, CANARY.as_bytes()));
    let made: Vec<String> = entries.iter().map(|(_, content, _)| blob(origin, content)).collect();
    let mut all = vec![("100644", spec.as_str(), &b"acme.toml"[..]), ("100644", key.as_str(), b"key")];
    all.extend(entries.iter().zip(&made).map(|((mode, _, name), id)| (*mode, id.as_str(), *name)));
    commit_tree(origin, &all);
}

/// A commit in whose specs this stands in place of the honest one.
fn instead(fleet: &Fleet, mode: &str, content: &[u8]) {
    let id = blob(&fleet.origin, content);
    commit_tree(&fleet.origin, &[(mode, &id, b"acme.toml")]);
}

/// A commit whose `specs` hold one entry under a name that no tree may hold.
fn unheard_of(fleet: &Fleet, name: &[u8]) {
    let origin = &fleet.origin;
    let spec = blob(origin, evil(fleet).as_bytes());
    let inner = feed(origin, &["mktree"], format!("100644 blob {spec}\tevil.toml\n").as_bytes());
    let specs = raw_tree(origin, &[("40000", name, &inner)]);
    push_commit(origin, &specs, "unheard of");
}

use Then::{Harmless, Refused};

/// Names and kinds of entries.
const NAMES: &[Deed] = &[
    push("a symlink to a spec", Harmless, |f| {
        f.origin.write("evil.txt", evil(f).as_bytes());
        instead(f, "120000", b"../evil.txt");
    }),
    push("a symlink out of it", Harmless, |f| instead(f, "120000", b"/etc/passwd")),
    push("a symlink for a folder", Harmless, |f| beside(f, &[("120000", b"../evil", b"eu")])),
    push("a submodule for a spec", Harmless, |f| {
        let head = f.origin.head();
        commit_tree(&f.origin, &[("160000", &head, b"acme.toml")]);
    }),
    push("a submodule that would run something", Refused, |f| {
        let touched = f.origin.path("touched");
        let modules = format!(
            "[submodule \"x\"]\npath = specs/x\nurl = ext::touch {}\nupdate = !touch\n",
            touched.display()
        );
        f.origin.write(".gitmodules", modules.as_bytes());
        f.origin.write("specs/.gitmodules", modules.as_bytes());
        f.origin.commit("modules");
    }),
    push("a folder named ..", Refused, |f| unheard_of(f, b"..")),
    push("a folder named .", Refused, |f| unheard_of(f, b".")),
    push("a folder named .git", Refused, |f| unheard_of(f, b".git")),
    push("a folder named .GIT", Refused, |f| unheard_of(f, b".GIT")),
    push("a folder named git~1", Refused, |f| unheard_of(f, b"git~1")),
    push("a folder with a slash in its name", Refused, |f| unheard_of(f, b"../evil")),
    push("an absolute name", Refused, |f| unheard_of(f, b"/etc")),
    push("a folder without a name", Refused, |f| unheard_of(f, b"")),
    push("two entries of one name", Refused, |f| {
        let origin = &f.origin;
        let (good, bad) = (blob(origin, honest(f).as_bytes()), blob(origin, evil(f).as_bytes()));
        let specs = raw_tree(origin, &[("100644", b"acme.toml", &good), ("100644", b"acme.toml", &bad)]);
        push_commit(origin, &specs, "twice");
    }),
    push("terminal escapes in a name", Harmless, |f| {
        beside(f, &[("100644", evil(f).as_bytes(), b"\x1b[2J\x1b]0;x\x07.toml")]);
    }),
    push("a line break in a name", Harmless, |f| beside(f, &[("100644", evil(f).as_bytes(), b"a\nb.toml")])),
    push("a name that reads backwards", Harmless, |f| {
        beside(f, &[("100644", evil(f).as_bytes(), "\u{202e}lmot.toml".as_bytes())]);
    }),
    push("a name that is not UTF-8", Harmless, |f| {
        beside(f, &[("100644", evil(f).as_bytes(), b"\xff\xfe.toml")])
    }),
    push("a name of 4,000 characters", Harmless, |f| {
        beside(f, &[("100644", evil(f).as_bytes(), format!("{}.toml", "x".repeat(4_000)).as_bytes())]);
    }),
    push("names that differ in case", Harmless, |f| {
        beside(f, &[("100644", evil(f).as_bytes(), b"ACME.toml")])
    }),
    push("the customer once more in a folder", Harmless, |f| {
        f.origin.push("specs/eu/acme.toml", &evil(f), "two of one name");
    }),
    push("a name like an option", Harmless, |f| {
        beside(f, &[("100644", evil(f).as_bytes(), b"--upload-pack=touch.toml")])
    }),
    push("a spec that is hidden", Harmless, |f| {
        f.origin.push("specs/.evil.toml", &evil(f), "hidden");
    }),
];

/// What stands in the files.
const CONTENTS: &[Deed] = &[
    push("a spec of 2 MiB", Harmless, |f| instead(f, "100644", &vec![b'#'; 2 << 20])),
    push("a secret of 20 MiB", Harmless, |f| {
        f.origin.write("specs/key", &vec![b'k'; 20 << 20]);
        f.origin.commit("large");
    }),
    push("a secret that is a symlink", Harmless, |f| {
        let origin = &f.origin;
        let (spec, link) = (blob(origin, honest(f).as_bytes()), blob(origin, b"/etc/shadow"));
        commit_tree(origin, &[("100644", &spec, b"acme.toml"), ("120000", &link, b"key")]);
    }),
    push("a secret out of git's own files", Harmless, |f| {
        let spec = format!("{}\nenv_file = \"../../../state/git/config\"\n", f.spec(""));
        f.origin.push("specs/acme.toml", &spec, "reach out");
    }),
    push("20,001 files", Refused, |f| {
        let spec = blob(&f.origin, evil(f).as_bytes());
        let names: Vec<String> = (0..20_001).map(|number| format!("c{number}.toml")).collect();
        let entries: Vec<_> = names.iter().map(|name| ("100644", spec.as_str(), name.as_bytes())).collect();
        commit_tree(&f.origin, &entries);
    }),
    push("a few trees that are a million files", Refused, |f| {
        let origin = &f.origin;
        let spec = blob(origin, evil(f).as_bytes());
        let mut tree = feed(origin, &["mktree"], format!("100644 blob {spec}\tx.toml\n").as_bytes());
        for _ in 0..6 {
            let ten: String = (0..10).map(|number| format!("040000 tree {tree}\td{number}\n")).collect();
            tree = feed(origin, &["mktree"], ten.as_bytes());
        }
        push_commit(origin, &tree, "bomb");
    }),
    push("a thousand folders deep", Harmless, |f| {
        let origin = &f.origin;
        let (spec, key) = (blob(origin, honest(f).as_bytes()), blob(origin, CANARY.as_bytes()));
        let bad = blob(origin, evil(f).as_bytes());
        let mut tree = feed(origin, &["mktree"], format!("100644 blob {bad}\tevil.toml\n").as_bytes());
        for _ in 0..1_000 {
            tree = raw_tree(origin, &[("40000", b"d", &tree)]);
        }
        let specs =
            [("100644", &b"acme.toml"[..], spec.as_str()), ("40000", b"d", &tree), ("100644", b"key", &key)];
        push_commit(origin, &raw_tree(origin, &specs), "deep");
    }),
    push("filters and encodings", Harmless, |f| {
        let touched = f.origin.path("touched");
        let attributes = b"* filter=evil ident text eol=crlf export-subst merge=evil diff=evil\n";
        f.origin.write(".gitattributes", attributes);
        let config = format!("[filter \"evil\"]\nsmudge = touch {0}\nclean = touch {0}\n", touched.display());
        f.origin.write(".gitconfig", config.as_bytes());
        f.origin.commit("filters");
        let spec = format!("{}# $Id$\r\n", honest(f));
        let (spec, key) = (blob(&f.origin, spec.as_bytes()), blob(&f.origin, CANARY.as_bytes()));
        let attributes = blob(&f.origin, b"* filter=evil ident working-tree-encoding=UTF-16\n");
        let entries: [(&str, &str, &[u8]); 3] = [
            ("100644", &attributes, b".gitattributes"),
            ("100644", &spec, b"acme.toml"),
            ("100644", &key, b"key"),
        ];
        commit_tree(&f.origin, &entries);
    }),
    push("a repository within the repository", Harmless, |f| {
        let touched = f.origin.path("touched");
        let config = format!(
            "[core]\nrepositoryformatversion = 0\nbare = true\nfsmonitor = touch {0}\nsshCommand = touch {0}\nhooksPath = hooks\npager = touch {0}\n",
            touched.display()
        );
        for (file, text) in
            [("HEAD", "ref: refs/heads/main\n"), ("config", &config), ("refs/x", ""), ("objects/x", "")]
        {
            f.origin.write(&format!("specs/{file}"), text.as_bytes());
        }
        let hook = format!("#!/bin/sh\ntouch {}\n", touched.display());
        f.origin.write("specs/hooks/post-checkout", hook.as_bytes());
        f.origin.commit("nested");
    }),
    push("bytes that are no text", Harmless, |f| {
        instead(f, "100644", b"[services.web]\nimage = \"\xff\xfe\"\n")
    }),
    push("escapes and NULs in a spec", Harmless, |f| {
        instead(f, "100644", b"\x1b[31m\0 = \x07\n[services.\"\x1b]0;x\x07\"]\n");
    }),
    push("conflict markers", Harmless, |f| {
        instead(
            f,
            "100644",
            format!("<<<<<<< HEAD\n{}=======\n{}>>>>>>> x\n", honest(f), evil(f)).as_bytes(),
        );
    }),
    push("a pointer for a secret", Harmless, |f| {
        f.origin.push(
            "specs/key",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "lfs",
        );
    }),
];

/// Commits and names of them.
const HISTORY: &[Deed] = &[
    push("a message full of escapes", Harmless, |f| {
        let message = format!("\u{1b}[2J\u{1b}]8;;http://evil\u{7}\u{202e}{}", "x".repeat(1 << 20));
        f.origin.file("message", &message);
        f.origin.run(&["commit", "-q", "--allow-empty", "-F", f.origin.path("message").to_str().unwrap()]);
        f.origin.run(&["push", "-q", "origin", "HEAD:main"]);
    }),
    push("a date beyond all dates", Refused, |f| {
        let tree = f.origin.run(&["rev-parse", "HEAD^{tree}"]);
        let head = f.origin.head();
        let line = "x <x@example.com> 99999999999999999999 +0000";
        let text = format!("tree {tree}\nparent {head}\nauthor {line}\ncommitter {line}\n\nlate\n");
        let id = feed(
            &f.origin,
            &["hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
            text.as_bytes(),
        );
        f.origin.run(&["push", "-q", "origin", &format!("{id}:refs/heads/main")]);
    }),
    push("a rewritten branch", Refused, |f| {
        f.origin.run(&["reset", "-q", "--hard", "HEAD^"]);
        f.origin.push("specs/acme.toml", &evil(f), "rewritten");
    }),
    push("a branch that points at another", Refused, |f| {
        f.origin.run(&["checkout", "-q", "--orphan", "other"]);
        f.origin.write("specs/acme.toml", evil(f).as_bytes());
        f.origin.run(&["add", "-A"]);
        f.origin.run(&["commit", "-q", "-m", "unrelated"]);
        f.origin.run(&["push", "-q", "origin", "HEAD:refs/heads/other"]);
        f.origin.run_in(&f.origin.bare(), &["symbolic-ref", "refs/heads/main", "refs/heads/other"]);
    }),
    push("a deleted branch", Refused, |f| {
        f.origin.run_in(&f.origin.bare(), &["update-ref", "-d", "refs/heads/main"]);
    }),
    push("a branch that is a file's content", Refused, |f| {
        let id = blob(&f.origin, b"no commit");
        f.origin.run(&["push", "-q", "origin", &format!("{id}:refs/tags/x")]);
        std::fs::write(f.origin.bare().join("refs/heads/main"), format!("{id}\n")).unwrap();
    }),
    push("refs named like options", Harmless, |f| {
        let touched = f.origin.path("touched");
        let refs = f.origin.bare().join("refs/heads");
        let head = f.origin.push("specs/acme.toml", &format!("{}# 2\n", honest(f)), "second");
        std::fs::write(
            refs.join(format!("--upload-pack=touch${{IFS}}{}", touched.display()).replace('/', "_")),
            format!("{head}\n"),
        )
        .unwrap();
        std::fs::write(refs.join("-o"), format!("{head}\n")).unwrap();
    }),
    push("a commit that lacks its objects", Refused, |f| {
        let id = f.origin.push("specs/acme.toml", &evil(f), "soon gone");
        let tree = f.origin.run(&["rev-parse", &format!("{id}:specs")]);
        std::fs::remove_file(f.origin.bare().join(format!("objects/{}/{}", &tree[..2], &tree[2..]))).unwrap();
    }),
    push("an object that is another", Refused, |f| {
        f.origin.push("specs/acme.toml", &evil(f), "soon damaged");
        let id = f.origin.run(&["rev-parse", "HEAD:specs/acme.toml"]);
        let file = f.origin.bare().join(format!("objects/{}/{}", &id[..2], &id[2..]));
        std::fs::remove_file(&file).unwrap();
        std::fs::write(file, b"x\x9cK\xca\xc9OR0e\xc8\0\0").unwrap();
    }),
    push("somebody's hooks on the server", Harmless, |f| {
        let hook = format!("#!/bin/sh\ntouch {}\n", f.origin.path("touched").display());
        f.origin.push("specs/acme.toml", &format!("{}# 2\n", honest(f)), "second");
        for name in ["post-update", "pre-receive", "upload-pack", "post-checkout"] {
            let path = f.origin.bare().join("hooks").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &hook).unwrap();
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
    }),
];

fn text(status: StatusCode, kind: &'static str, text: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], text.into()).into_response()
}

const REFS: &str = "application/x-git-upload-pack-advertisement";

/// Bytes without end.
fn endless(chunk: &'static [u8], pause: Duration) -> Body {
    let chunks = futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(chunk)), ()))
    });
    Body::from_stream(chunks)
}

/// What may answer in place of a git server.
const SERVERS: &[Deed] = &[
    serve("a page with escapes", || {
        Mood::Says(|| text(StatusCode::OK, "text/html", "<html>\u{1b}[31mhello\u{7}</html>"))
    }),
    serve("nothing", || Mood::Says(|| text(StatusCode::OK, REFS, ""))),
    serve("rubbish for refs", || Mood::Says(|| text(StatusCode::OK, REFS, "zzzz\x1b[2J"))),
    serve("an error full of escapes", || {
        Mood::Says(|| {
            text(
                StatusCode::OK,
                REFS,
                "001e# service=git-upload-pack\n0000001cERR \x1b[2J\x1b]0;gone\x07!!!!",
            )
        })
    }),
    serve("an error that asks for the secret", || {
        Mood::Says(|| {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"type it here\"")])
                .into_response()
        })
    }),
    serve("forbidden", || Mood::Says(|| text(StatusCode::FORBIDDEN, "text/plain", "\x1b[31mno"))),
    serve("too many requests", || {
        Mood::Says(|| (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "99999999")]).into_response())
    }),
    serve("a server error", || Mood::Says(|| text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "x"))),
    serve("a redirect to a file", || Mood::Elsewhere("file:///etc".into())),
    serve("a redirect to a command", || Mood::Elsewhere("ext::touch".into())),
    serve("a redirect to nowhere", || Mood::Elsewhere("http://127.0.0.1:1/x".into())),
    serve("half a pack", || Mood::Half),
    serve("silence", || Mood::Silent),
    serve("a byte now and then", || {
        Mood::Says(|| text(StatusCode::OK, REFS, endless(b"0", Duration::from_millis(300))))
    }),
    serve("refs without end", || {
        Mood::Says(|| {
            text(
                StatusCode::OK,
                REFS,
                endless(b"003d0123456789012345678901234567890123456789 refs/heads/x\n\n\n", Duration::ZERO),
            )
        })
    }),
    serve("another repository's files", || {
        Mood::Says(|| text(StatusCode::OK, "text/plain", "http://127.0.0.1:1/objects\n../../../../etc\n"))
    }),
];

/// Signatures that are none, or somebody's else.
const SIGNED: &[Deed] = &[
    sign("unsigned", |f| {
        f.origin.run(&["config", "commit.gpgSign", "false"]);
        f.origin.push("specs/acme.toml", &evil(f), "unsigned");
    }),
    sign("signed by a foreign key", |f| {
        signatures::sign_with_ssh(&f.origin, "mallory");
        f.origin.push("specs/acme.toml", &evil(f), "foreign");
    }),
    sign("a signature of something else", |f| {
        let raw = f.origin.run(&["cat-file", "commit", "HEAD"]);
        f.origin.run(&["config", "commit.gpgSign", "false"]);
        f.origin.write("specs/acme.toml", evil(f).as_bytes());
        f.origin.run(&["add", "-A"]);
        let (tree, parent) = (f.origin.run(&["write-tree"]), f.origin.head());
        let signed = raw.find("author ").unwrap();
        let forged = format!("tree {tree}\nparent {parent}\n{}\n", &raw[signed..]);
        let id = feed(&f.origin, &["hash-object", "-t", "commit", "-w", "--stdin"], forged.as_bytes());
        f.origin.run(&["push", "-q", "origin", &format!("{id}:refs/heads/main")]);
    }),
    sign("a signed tag on an unsigned commit of a branch", |f| {
        f.origin.run(&["config", "commit.gpgSign", "false"]);
        f.origin.push("specs/acme.toml", &evil(f), "unsigned");
        f.origin.run(&["tag", "-s", "-m", "signed", "v1"]);
        f.origin.run(&["push", "-q", "origin", "v1"]);
    }),
    sign("signed after the key's time", |f| {
        let public = std::fs::read_to_string(f.origin.path("ada.pub")).unwrap();
        f.origin.file("signers", &format!("ada@example.com valid-before=\"20200101\" {public}"));
        f.origin.push("specs/acme.toml", &evil(f), "late");
    }),
    sign("a key for other things than git", |f| {
        let public = std::fs::read_to_string(f.origin.path("ada.pub")).unwrap();
        f.origin.file("signers", &format!("ada@example.com namespaces=\"file\" {public}"));
        f.origin.push("specs/acme.toml", &evil(f), "another namespace");
    }),
    sign("signed, then a merge that is not", |f| {
        f.origin.push("specs/acme.toml", &format!("{}# 2\n", honest(f)), "signed");
        f.origin.run(&["config", "commit.gpgSign", "false"]);
        f.origin.run(&["checkout", "-q", "-b", "side", "HEAD^"]);
        f.origin.write("specs/acme.toml", evil(f).as_bytes());
        f.origin.run(&["add", "-A"]);
        f.origin.run(&["commit", "-q", "-m", "unsigned"]);
        f.origin.run(&["checkout", "-q", "main"]);
        f.origin.run(&["merge", "-q", "--no-ff", "-X", "theirs", "-m", "merged", "side"]);
        f.origin.run(&["push", "-q", "origin", "HEAD:main"]);
    }),
];
