//! A registry that wants tokens: docker-registry with a token server of the tests' own.

use crate::bed::{Bed, Image, PASSWORD, SOON, Workspace, check, wait_until};
use crate::faults::never_written;
use crate::look::{summary, told};
use crate::running::Controller;

/// Requests of skep's to the registry behind the token server, that were answered so.
fn answered(bed: &Bed, status: &str) -> usize {
    let log = bed.registry.token.log();
    log.lines()
        .filter(|line| line.contains("\"skep/") && line.contains(&format!("HTTP/1.1\" {status} ")))
        .count()
}

fn given(server: &crate::bed::process::Running) -> usize {
    server.stdout().lines().filter(|line| line.starts_with("given skep/")).count()
}

fn workspace(bed: &Bed) -> Workspace<'_> {
    let ws = bed.workspace();
    let password = ws.dir.join("password");
    let entry = format!(
        "[registries.\"{}\"]\nplain_http = true\nusername = \"ci\"\npassword_file = \"{}\"\n",
        bed.registry.token.address,
        password.display()
    );
    ws.write("skep.toml", &format!("{}{entry}", ws.default_config()));
    ws
}

/// skep finds tags and digest with tokens, the nodes pull with tokens of their own, and a token serves until it dies.
pub fn a_private_image_by_tokens(bed: &Bed) {
    let ws = workspace(bed);
    let server = ws.token_server(300);
    bed.registry.token.start();
    bed.push("tokens/web", "1.0.0", &Image::says("tokens 1.0.0"));
    let image = format!("{}/tokens/web", bed.registry.token.address);
    ws.spec("tokens.toml", &format!("[services.web]\nimage = \"{image}\"\ndeploy.replicas = 1\n"));
    let controller = Controller::start(&ws);
    bed.wait_says("tokens_web", 1, "tokens 1.0.0");
    bed.push("tokens/web", "1.1.0", &Image::says("tokens 1.1.0"));
    bed.wait_says("tokens_web", 1, "tokens 1.1.0");
    // Asked every second.
    let before = answered(bed, "200");
    wait_until(SOON, "it is asked a few times more", || {
        let now = answered(bed, "200");
        check(now >= before + 5, || format!("{before} -> {now}\n{}", controller.run.stderr()))
    });
    assert_eq!(given(&server), 1, "one token for the repository:\n{}", server.stdout());
    assert_eq!(answered(bed, "401"), 1, "one challenge:\n{}", bed.registry.token.log());
    assert!(
        server.stdout().contains("given docker/"),
        "nodes have tokens of their own:\n{}",
        server.stdout()
    );
    assert!(!server.stdout().contains("refused skep/"), "{}", server.stdout());
    controller.stop().expect_status(0);
    assert!(told(&ws, "tokens", "RegistryUnavailable").is_empty(), "{}", summary(&ws));
    never_written(&ws, PASSWORD);
    drop(server);

    // Tokens that die long before they are said to: each refusal costs one new token, and nobody notices.
    let server = ws.token_server(3);
    let (refused, ended) = (answered(bed, "401"), answered(bed, "200"));
    let controller = Controller::start(&ws);
    wait_until(SOON, "tokens died", || {
        check(answered(bed, "401") >= refused + 3, || bed.registry.token.log())
    });
    bed.push("tokens/web", "1.2.0", &Image::says("tokens 1.2.0"));
    bed.wait_says("tokens_web", 1, "tokens 1.2.0");
    controller.stop().expect_status(0);
    let (given, refused) = (given(&server), answered(bed, "401") - refused);
    assert!(given <= refused, "{given} tokens for {refused} refusals: a storm");
    assert!(answered(bed, "200") > ended + given, "a token serves more than once");
    assert!(told(&ws, "tokens", "RegistryUnavailable").is_empty(), "{}", summary(&ws));
    bed.registry.token.stop();
}
