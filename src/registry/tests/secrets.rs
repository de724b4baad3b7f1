use std::time::Duration;

use base64::prelude::*;

use super::fake::*;
use crate::registry::{Options, Registry as _};

/// Whatever a registry does with what it was shown, no error and no `Debug` shows it.
#[tokio::test]
async fn credentials_are_never_in_errors() {
    let fake = Fake::start(|host| {
        move |seen| {
            let shown = seen.header("authorization").unwrap_or_default().to_owned();
            let decoded = shown.strip_prefix("Basic ").and_then(|t| BASE64_STANDARD.decode(t).ok());
            let echo = format!("{shown} {CANARY} {}", String::from_utf8_lossy(&decoded.unwrap_or_default()));
            if seen.path == "/token" {
                return answer(500, &[], echo);
            }
            if seen.path.contains("bearer") {
                return answer(
                    401,
                    &[("www-authenticate", &format!("Bearer realm=\"http://{host}/token\""))],
                    echo,
                );
            }
            if shown.is_empty() {
                return answer(401, &[("www-authenticate", "Basic realm=x")], echo);
            }
            let error = serde_json::json!({"errors": [{"code": echo, "message": echo}]}).to_string();
            match seen.path.split('/').nth(2).unwrap() {
                "redirect" => answer(302, &[("location", &format!("http://u:{shown}@{host}/x"))], echo),
                "link" => answer(200, &[("link", &format!("<http://{shown}/>; rel=next"))], r#"{"tags":[]}"#),
                "digest" => answer(200, &[("docker-content-digest", &shown)], echo),
                "body" => answer(200, &[], echo),
                status => answer(status.trim_start_matches('s').parse().unwrap(), &[], error),
            }
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let options = Options { docker_config: Some(dir.path().into()), ..options() };
    let client = configured(&fake.host, login(dir.path()), options.clone());
    let encoded = BASE64_STANDARD.encode(format!("ci:{CANARY}"));
    let clean = |text: String| {
        assert!(!text.contains("CANARY") && !text.contains(&encoded[..20]), "{text}");
    };
    for path in
        ["redirect", "link", "digest", "body", "bearer", "s400", "s401", "s403", "s404", "s429x", "s500"]
    {
        let path = path.trim_end_matches('x');
        let repository = fake.repository(path);
        let tags = client.tags(&repository, Duration::ZERO).await;
        let resolved = client.resolve(&repository, "1", Duration::ZERO).await;
        for error in [tags.err(), resolved.err()].into_iter().flatten() {
            clean(format!("{error} {error:?}"));
        }
        if path == "s429" {
            skip(Duration::from_secs(60)).await;
        }
    }
    assert!(fake.seen().iter().any(|s| s.header("authorization").is_some_and(|h| h.contains(&encoded))));
    clean(format!("{client:?} {options:?}"));
}

#[test]
fn secrets_do_not_show() {
    use crate::registry::secret::{Credential, Found, Secret};
    let credential =
        Credential::Password { username: Secret::new("CANARY"), password: Secret::new("CANARY") };
    let found = Found { credential, source: "here".into() };
    assert!(!format!("{found:?} {:?}", Credential::IdentityToken(Secret::new("CANARY"))).contains("CANARY"));
}
