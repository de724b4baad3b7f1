//! Where secrets come from.

use skep::config::Hook;

use crate::world::post::{Post, secret, signature, status};
use crate::world::{Specs, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_none_refuses_to_start() {
    let world = World::prepare(Specs::Directory).await;
    for (file, text, told) in [
        ("secret-git-github", Some(" \n"), "hooks.git.github.secret_file cannot be used"),
        ("secret-git-github", None, "hooks.git.github.secret_file cannot be used"),
        ("secret-git-gitlab", Some("whsec_%"), "no base64 follows"),
    ] {
        match text {
            Some(text) => world.write(file, text),
            None => std::fs::remove_file(world.path(file)).unwrap(),
        }
        let (status, said) = world.run_to_end().await;
        assert!(status == Some(2) && said.contains(told) && said.contains(file), "{status:?}: {said}");
        assert!(!said.contains("canary"), "{said}");
        world.write(file, "a-secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_changed_is_taken_up_at_sighup() {
    let world = World::start(Specs::Directory).await;
    let body = r#"{"repository": "shop/none"}"#;
    let old = Post::right(Hook::RegistryGeneric, body);
    let new = old
        .clone()
        .instead("X-Skep-Signature-256", format!("sha256={}", signature("another", body.as_bytes())));
    assert_eq!((status(&world.post(&old).await), status(&world.post(&new).await)), (202, 401));
    world.write("secret-registry-generic", "another");
    world.hang_up();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while status(&world.post(&new).await) != 202 {
        assert!(std::time::Instant::now() < deadline, "{}", world.log());
    }
    assert_eq!(status(&world.post(&old).await), 401);
    // One that cannot be used leaves the old one in force.
    world.write("secret-registry-generic", "");
    world.hang_up();
    world.wait("it says so", |world| world.log().contains("the secret is empty")).await;
    assert_eq!(status(&world.post(&new).await), 202);
    // Nor does skep end over it where the state directory moves besides.
    let config = std::fs::read_to_string(world.path("skep.toml")).unwrap();
    world.write("skep.toml", &format!("{config}[state]\ndir = \"elsewhere\"\n"));
    world.hang_up();
    let refused =
        |world: &World| world.log().matches("cannot be started; the old one stays in force").count();
    world.wait("it says so again", |world| refused(world) == 2).await;
    assert_eq!(status(&world.post(&new).await), 202);
    assert!(!world.log().contains(&secret(Hook::RegistryGeneric)));
}
