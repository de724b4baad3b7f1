//! Who may do what: everybody, whoever knows the password, or whoever holds a token.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use http::{Method, header};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::form_urlencoded;

use super::answer::{entry, json_answer, text};
use super::route::{Route, pair, parameter};
use crate::sim::handler::{Request, Response};

/// How a registry wants to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    #[default]
    None,
    /// The password with each request.
    Basic { user: String, password: String },
    /// A token, from the token endpoint at `realm`; `/token` of the registry is one.
    Token {
        user: String,
        password: String,
        realm: String,
        service: String,
        /// How long a token serves.
        expires: Duration,
        /// Whether who shows no password may pull.
        anonymous: bool,
    },
}

impl Auth {
    /// Whether a node with these credentials (`X-Registry-Auth`) may pull.
    pub(super) fn may_pull(&self, registry_auth: Option<&str>) -> bool {
        let shown = registry_auth.and_then(registry_password);
        match self {
            Self::None => true,
            Self::Basic { user, password } => {
                shown.is_some_and(|shown| shown == (user.clone(), password.clone()))
            }
            Self::Token { user, password, anonymous, .. } => match shown {
                Some(shown) => shown == (user.clone(), password.clone()),
                None => *anonymous,
            },
        }
    }
}

/// User and password in an `X-Registry-Auth`.
fn registry_password(text: &str) -> Option<(String, String)> {
    let json = BASE64_URL_SAFE.decode(text).or_else(|_| BASE64_STANDARD.decode(text)).ok()?;
    let value: Value = serde_json::from_slice(&json).ok()?;
    let field = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    Some((field("username")?, field("password")?)).filter(|(user, _)| !user.is_empty())
}

/// One right: `repository`, its name, and `pull`, `push`, `delete` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Access {
    kind: &'static str,
    name: String,
    actions: Vec<&'static str>,
}

/// What a request needs, in the order in which the challenge lists it.
fn needed(method: &Method, route: &Route, from: Option<String>) -> Vec<Access> {
    if *route == Route::Catalog {
        return vec![Access { kind: "registry", name: "catalog".to_owned(), actions: vec!["*"] }];
    }
    let Some(name) = route.name() else { return Vec::new() };
    let actions = match *method {
        Method::GET | Method::HEAD => vec!["pull"],
        Method::DELETE => vec!["delete"],
        _ => vec!["pull", "push"],
    };
    let mut all = vec![Access { kind: "repository", name: name.to_owned(), actions }];
    all.extend(from.map(|name| Access { kind: "repository", name, actions: vec!["pull"] }));
    all
}

/// The tokens that were given out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    given: HashMap<String, Token>,
    count: u64,
}

#[derive(Debug)]
struct Token {
    user: String,
    /// `repository:name:actions`, as they were granted.
    scopes: Vec<String>,
    until: Instant,
}

/// Checks a request; who asks, if that is known, or the refusal.
pub(super) fn check(
    auth: &Auth,
    tokens: &Tokens,
    request: &Request,
    route: &Route,
) -> Result<Option<String>, Box<Response>> {
    let from = parameter(request, "from");
    let mounts = matches!(route, Route::Uploads { .. });
    let needed = needed(request.method(), route, from.filter(|_| mounts));
    match auth {
        Auth::None => Ok(None),
        Auth::Basic { user, password } => match basic(request) {
            Some(shown) if shown == (user.clone(), password.clone()) => Ok(Some(user.clone())),
            _ => Err(Box::new(refusal("Basic realm=\"skep\"", &needed))),
        },
        Auth::Token { realm, service, .. } => {
            let shown = bearer(request);
            let token = shown
                .as_ref()
                .map(|shown| tokens.given.get(shown).filter(|token| Instant::now() < token.until));
            let problem = match token {
                None => "",
                Some(None) => ",error=\"invalid_token\"",
                Some(Some(token)) if needed.iter().all(|access| token.covers(access)) => {
                    return Ok(Some(token.user.clone()).filter(|user| !user.is_empty()));
                }
                Some(Some(_)) => ",error=\"insufficient_scope\"",
            };
            let scopes: Vec<String> = needed.iter().map(Access::scope).collect();
            let scope =
                if scopes.is_empty() { String::new() } else { format!(",scope=\"{}\"", scopes.join(" ")) };
            let challenge = format!("Bearer realm=\"{realm}\",service=\"{service}\"{scope}{problem}");
            Err(Box::new(refusal(&challenge, &needed)))
        }
    }
}

impl Access {
    fn scope(&self) -> String {
        format!("{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

impl Token {
    fn covers(&self, access: &Access) -> bool {
        let granted = |action: &str| self.scopes.iter().any(|scope| gives(scope, access, action));
        access.actions.iter().all(|action| granted(action))
    }
}

/// Whether a scope as text, `repository:name:pull,push`, gives the right.
fn gives(scope: &str, access: &Access, action: &str) -> bool {
    let Some((place, actions)) = scope.rsplit_once(':') else { return false };
    place.split_once(':') == Some((access.kind, &access.name))
        && actions.split(',').any(|given| given == action)
}

fn refusal(challenge: &str, needed: &[Access]) -> Response {
    let detail: Vec<Value> = needed
        .iter()
        .flat_map(|access| access.actions.iter().map(move |action| (access, action)))
        .map(|(access, action)| {
            json!({"Type": access.kind, "Class": "", "Name": access.name, "Action": action})
        })
        .collect();
    let mut error = entry("UNAUTHORIZED", "authentication required", Value::Null);
    error["detail"] = if detail.is_empty() { Value::Null } else { Value::Array(detail) };
    json_answer(401, &[("www-authenticate", challenge)], &json!({"errors": [error]}))
}

fn authorization<'a>(request: &'a Request, scheme: &str) -> Option<&'a str> {
    let (given, value) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(value.trim())
}

fn basic(request: &Request) -> Option<(String, String)> {
    let text = BASE64_STANDARD.decode(authorization(request, "Basic")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

fn bearer(request: &Request) -> Option<String> {
    authorization(request, "Bearer").map(str::to_owned)
}

/// The token endpoint: by GET with the password as Basic, or by POST of a form (OAuth 2).
pub(super) fn give_token(auth: &Auth, tokens: &mut Tokens, request: &Request) -> Response {
    let Auth::Token { user, password, service, expires, anonymous, .. } = auth else {
        return text(404, &[], "404 page not found");
    };
    let form = String::from_utf8_lossy(request.body()).into_owned();
    let posted = request.method() == Method::POST;
    let query = if posted { form.as_str() } else { request.uri().query().unwrap_or_default() };
    let parameter = |name: &str| pair(query, name);
    let shown = if posted {
        let secret = parameter("password").or_else(|| parameter("refresh_token"));
        Some((parameter("username").unwrap_or_else(|| user.clone()), secret.unwrap_or_default()))
    } else {
        basic(request)
    };
    let wrong = shown.as_ref().is_some_and(|shown| *shown != (user.clone(), password.clone()));
    if wrong || parameter("service").is_some_and(|asked| asked != *service) {
        let error = entry("UNAUTHORIZED", "authentication required", Value::Null);
        return json_answer(401, &[], &json!({"errors": [error]}));
    }
    let asked = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "scope");
    let scopes = asked.flat_map(|(_, value)| value.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let scopes: Vec<String> = match &shown {
        Some(_) => scopes.collect(),
        None if *anonymous => scopes.filter_map(pull_only).collect(),
        None => Vec::new(),
    };
    tokens.count += 1;
    let text = format!("token-{}", tokens.count);
    let until = Instant::now() + *expires;
    let user = shown.map(|(user, _)| user).unwrap_or_default();
    tokens.given.retain(|_, token| Instant::now() < token.until);
    tokens.given.insert(text.clone(), Token { user, scopes, until });
    let body = json!({"token": text, "access_token": text, "expires_in": expires.as_secs()});
    json_answer(200, &[], &body)
}

/// What of a scope is given to everybody.
fn pull_only(scope: String) -> Option<String> {
    let (place, actions) = scope.rsplit_once(':')?;
    actions.split(',').any(|action| action == "pull").then(|| format!("{place}:pull"))
}
