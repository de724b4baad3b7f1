//! A token server as docker-registry wants one: who knows [`USER`] and [`PASSWORD`] gets a signed token to pull.
//!
//! It is this test program, started anew in the registry's network; each question is a line of its output.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::Signer;
use serde_json::json;

use super::process::Running;
use super::registry::{PASSWORD, USER};
use super::{SOON, Workspace};

pub const SERVICE: &str = "skep-bed";
pub const ISSUER: &str = "skep-bed-tokens";
pub const ADDRESS: &str = "192.168.77.2:5004";
/// Seconds for which tokens are good; the registry grants a minute more for clocks that differ.
pub const LIFE_VARIABLE: &str = "SKEP_BED_TOKEN_LIFE";
const LEEWAY: i64 = 60;
/// What skep is told of their life, true or not.
const TOLD_LIFE: i64 = 300;

/// The authority that the registry trusts, and a key of its: they protect nothing but tests.
pub const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/registry/tests/tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../src/registry/tests/tls/server.pem");
const KEY: &[u8] = include_bytes!("../../src/registry/tests/tls/server.key");

impl Workspace<'_> {
    /// Starts the server. Its tokens are good for so many seconds, whatever it says.
    pub fn token_server(&self, life: i64) -> Running {
        let program = std::env::current_exe().expect("this program has a file");
        let mut command = self.bed.enter("registry", Path::new(&program));
        command.env(LIFE_VARIABLE, life.to_string());
        let mut server = self.spawn(&mut command);
        server.wait_for("tokens are given", SOON);
        server
    }
}

/// A line that whoever started this program reads.
fn tell(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Never returns but by an error.
pub fn serve(life: &str) -> ExitCode {
    let life = life.parse().expect("a number of seconds");
    let listener = TcpListener::bind(ADDRESS).expect("the registry's address is this namespace's");
    tell("tokens are given");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || answer(stream, life).ok());
    }
    ExitCode::FAILURE
}

fn answer(mut stream: TcpStream, life: i64) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut head = Vec::new();
    for line in lines {
        match line?.as_str() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let line = head.iter().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
        line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
    };
    let query = first.split([' ', '?']).nth(2).unwrap_or_default();
    let asked = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let known = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let is_known = header("authorization") == known;
    let scope = asked("scope");
    let outcome = if is_known { "given" } else { "refused" };
    tell(&format!("{outcome} {} {scope}", header("user-agent")));
    let (status, body) = match is_known {
        true => ("200 OK", json!({"access_token": token(&scope, life), "expires_in": TOLD_LIFE}).to_string()),
        false => ("401 Unauthorized", "{}".to_owned()),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A JSON web token, with the certificate of its key.
fn token(scope: &str, life: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate of ours");
    let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"typ": "JWT", "alg": "ES256", "x5c": [BASE64_STANDARD.encode(&certificate)]}));
    let access: Vec<_> = match scope.split(':').collect::<Vec<_>>()[..] {
        ["repository", name, _] => vec![json!({"type": "repository", "name": name, "actions": ["pull"]})],
        _ => Vec::new(),
    };
    let claims = part(json!({
        "iss": ISSUER, "sub": USER, "aud": SERVICE, "jti": format!("{now}"), "access": access,
        "iat": now - 600, "nbf": now - 600, "exp": now + life - LEEWAY,
    }));
    let signed = format!("{head}.{claims}");
    let signature = raw(&signer().sign(signed.as_bytes()).expect("P-256 signs anything"));
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn signer() -> Box<dyn Signer> {
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key of ours");
    let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("a key that ring knows");
    key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).expect("it is a P-256 key")
}

/// The two numbers of a signature, 32 bytes each, out of their ASN.1 form: 30 LENGTH (02 LENGTH NUMBER) x 2.
fn raw(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut out = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[length.saturating_sub(32)..];
        out.extend(std::iter::repeat_n(0, 32 - number.len()).chain(number.iter().copied()));
        rest = &rest[2 + length..];
    }
    out
}
