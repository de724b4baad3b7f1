//! What a registry may do to its clients.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use skep::sim::handler::{Request, Response, full};
use skep::sim::wire::reset;

use crate::world::Setting;

/// What is answered in place of the honest registry; `None`: its own answer.
pub type Answer = fn(&Request, &Setting) -> Option<Response>;

/// What must be true of the service in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// What ran runs: nobody can tell what is highest.
    Kept,
    /// The new version runs: what is wrong can be seen and passed over.
    Newest,
    /// One or the other.
    Sound,
}

#[derive(Clone, Copy)]
pub struct Deed {
    pub name: &'static str,
    pub answer: Answer,
    pub then: Then,
}

pub fn deeds() -> Vec<Deed> {
    [LISTS, PAGES, STATUSES, REDIRECTS, CHALLENGES, MANIFESTS].concat()
}

const fn deed(name: &'static str, then: Then, answer: Answer) -> Deed {
    Deed { name, answer, then }
}

const LIST: &str = "/v2/acme/web/tags/list";

/// Lists that are no lists, or too much of one.
const LISTS: &[Deed] = &[
    // These take longest, and so come first.
    deed("a byte a second", Then::Kept, |r, _| on_list(r, dripping)),
    deed("a manifest of a byte a second", Then::Kept, |r, _| match r.method() {
        &Method::HEAD => None,
        _ => on_manifest(r, dripping),
    }),
    deed("a million tags", Then::Kept, |r, _| list(r, &many(1_000_000))),
    deed("one tag of 10 MB", Then::Sound, |r, _| {
        list(r, &format!(r#"{{"tags":["{}","1.0.0"]}}"#, "9".repeat(10 << 20)))
    }),
    deed("HTML", Then::Kept, |r, _| list(r, "<html>\u{1b}[31mhello</html>")),
    deed("nothing", Then::Kept, |r, _| list(r, "")),
    deed("no tags key", Then::Kept, |r, _| list(r, r#"{"name":"acme/web"}"#)),
    deed("null", Then::Kept, |r, _| list(r, r#"{"tags":null}"#)),
    deed("empty", Then::Kept, |r, _| list(r, r#"{"tags":[]}"#)),
    deed("text for a list", Then::Kept, |r, _| list(r, r#"{"tags":"9.9.9"}"#)),
    deed("an object for a list", Then::Kept, |r, _| list(r, r#"{"tags":{"9.9.9":1}}"#)),
    deed("numbers for tags", Then::Kept, |r, _| list(r, r#"{"tags":[1,2,3]}"#)),
    deed("deep nesting", Then::Kept, |r, _| list(r, &format!(r#"{{"tags":{}"#, "[".repeat(100_000)))),
    deed("cut off", Then::Kept, |r, _| list(r, r#"{"tags":["1.0.0","1.1"#)),
    deed("more after the end", Then::Kept, |r, _| list(r, r#"{"tags":["1.0.0"]} {"tags":["9.9.9"]}"#)),
    deed("not UTF-8", Then::Kept, |r, _| {
        on_list(r, || answer(200, &[], Bytes::from_static(b"{\"tags\":[\"\xff\xfe\"]}")))
    }),
    deed("terminal escapes", Then::Newest, |r, _| {
        list(r, r#"{"tags":["1.0.0","1.1.0","\u001b]0;owned\u0007","9.9.9\u001b[2J","\u009b31m2.0.0"]}"#)
    }),
    deed("names that are paths", Then::Newest, |r, _| {
        list(
            r,
            r#"{"tags":["1.0.0","1.1.0","../../../etc/passwd","9.9.9/../x","9.9.9?x=y","9.9.9#","9.9.9\n"]}"#,
        )
    }),
    deed("right-to-left and look-alikes", Then::Newest, |r, _| {
        list(r, r#"{"tags":["1.0.0","1.1.0","\u202e9.9.9","９.９.９","1.1.0\u200b"]}"#)
    }),
    deed("numbers without end", Then::Newest, |r, _| {
        list(r, r#"{"tags":["1.0.0","1.1.0","99999999999999999999999999.0.0","1.1.18446744073709551616"]}"#)
    }),
    deed("a version that is not there", Then::Sound, |r, _| list(r, r#"{"tags":["1.0.0","1.1.0","9.9.9"]}"#)),
    deed("many versions that are not there", Then::Sound, |r, _| list(r, &many(2_000))),
    deed("the same tag often", Then::Newest, |r, _| {
        list(r, &format!(r#"{{"tags":[{}"1.0.0"]}}"#, r#""1.1.0","#.repeat(50_000)))
    }),
    deed("two spellings of one version", Then::Sound, |r, _| {
        list(r, r#"{"tags":["1.0.0","1.1.0","v1.1.0","1.1.0-0"]}"#)
    }),
    deed("a gap that closes", Then::Sound, |r, s| {
        list(
            r,
            if s.count.is_multiple_of(2) { r#"{"tags":["1.0.0"]}"# } else { r#"{"tags":["1.0.0","1.1.0"]}"# },
        )
    }),
];

/// Ways to the next page.
const PAGES: &[Deed] = &[
    deed("pages without end", Then::Kept, |r, s| {
        let link = format!("</v2/acme/web/tags/list?last=1.0.{}>; rel=\"next\"", s.count);
        page(r, &link)
    }),
    deed("pages in a circle", Then::Kept, |r, _| page(r, "</v2/acme/web/tags/list?n=1000>; rel=\"next\"")),
    deed("a page at the neighbour's", Then::Kept, |r, s| {
        page(r, &format!("<http://{}/v2/acme/web/tags/list>; rel=\"next\"", s.neighbour))
    }),
    deed("a page without a scheme", Then::Kept, |r, s| {
        page(r, &format!("<//{}/v2/acme/web/tags/list>; rel=\"next\"", s.neighbour))
    }),
    deed("a page in a file", Then::Kept, |r, _| page(r, "<file:///etc/passwd>; rel=\"next\"")),
    deed("a page with credentials", Then::Kept, |r, s| {
        page(r, &format!("<http://ci:x@{}/v2/>; rel=\"next\"", s.neighbour))
    }),
    deed("a link that is none", Then::Sound, |r, _| page(r, "<<<>>>;;;rel=next,\"")),
    deed("a link of 60 kB", Then::Sound, |r, _| page(r, &format!("<?{}>; rel=next", "x".repeat(60_000)))),
    deed("the second page is missing", Then::Kept, |r, _| match r.uri().query() {
        Some(query) if query.contains("last=") => on_list(r, || answer(404, &[], "")),
        _ => page(r, "</v2/acme/web/tags/list?last=1.0.0>; rel=\"next\""),
    }),
    deed("the second page is broken", Then::Kept, |r, _| match r.uri().query() {
        Some(query) if query.contains("last=") => list(r, "{"),
        _ => page(r, "</v2/acme/web/tags/list?last=1.0.0>; rel=\"next\""),
    }),
];

/// Refusals, kind and unkind, of everything.
const STATUSES: &[Deed] = &[
    deed("401 for ever", Then::Kept, |_, _| {
        Some(answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""))
    }),
    deed("401 without a challenge", Then::Kept, |_, _| Some(answer(401, &[], ""))),
    deed("403", Then::Kept, |_, _| Some(answer(403, &[], ""))),
    deed("404 for all", Then::Kept, |_, _| Some(answer(404, &[], ""))),
    deed("418", Then::Kept, |_, _| Some(answer(418, &[], ""))),
    deed("204", Then::Kept, |_, _| Some(answer(204, &[], ""))),
    deed("206", Then::Kept, |r, _| on_list(r, || answer(206, &[], r#"{"tags":["9.9.9"]}"#))),
    deed("304 that was not asked for", Then::Kept, |r, _| on_list(r, || answer(304, &[], ""))),
    deed("429 storm", Then::Kept, |_, _| Some(answer(429, &[], ""))),
    deed("429 for 300 years", Then::Kept, |_, _| Some(answer(429, &[("retry-after", "9999999999")], ""))),
    deed("429 until a date that is none", Then::Kept, |_, _| {
        Some(answer(429, &[("retry-after", "Thu, 99 Foo 9999 99:99:99 GMT")], ""))
    }),
    deed("500 storm", Then::Kept, |_, _| Some(answer(500, &[], "\u{1b}[2Jboom"))),
    deed("503 for a negative time", Then::Kept, |_, _| Some(answer(503, &[("retry-after", "-5")], ""))),
    deed("an error that repeats the credentials", Then::Kept, |r, _| {
        let shown = r.headers().get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
        let body = format!(r#"{{"errors":[{{"code":"{shown}","message":"{shown}","detail":"{shown}"}}]}}"#);
        Some(answer(500, &[], body))
    }),
    deed("an error of 100 MB", Then::Kept, |_, _| Some(answer(500, &[], Bytes::from(vec![b'x'; 100 << 20])))),
    deed("the connection is cut", Then::Kept, |_, _| Some(reset())),
    deed("the body is cut", Then::Kept, |r, _| on_list(r, cut_body)),
    deed("an allowance that runs out", Then::Newest, |r, _| {
        let headers = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "0;w=21600")];
        on_list(r, || answer(200, &headers, r#"{"tags":["1.0.0","1.1.0"]}"#))
    }),
];

/// Elsewhere.
const REDIRECTS: &[Deed] = &[
    deed("lists moved to the neighbour", Then::Kept, |r, s| {
        on_list(r, || answer(302, &[("location", &format!("http://{}/list", s.neighbour))], ""))
    }),
    deed("manifests moved to the neighbour", Then::Kept, |r, s| {
        on_manifest(r, || answer(307, &[("location", &format!("http://{}/m", s.neighbour))], ""))
    }),
    deed("round in a circle", Then::Kept, |_, _| {
        Some(answer(302, &[("location", "/v2/acme/web/tags/list")], ""))
    }),
    deed("to a file", Then::Kept, |_, _| Some(answer(302, &[("location", "file:///etc/passwd")], ""))),
    deed("to nowhere", Then::Kept, |_, _| Some(answer(302, &[], ""))),
    deed("to a URL with credentials", Then::Kept, |_, s| {
        Some(answer(302, &[("location", &format!("http://a:b@{}/", s.neighbour))], ""))
    }),
    deed("to what is no URL", Then::Kept, |_, _| Some(answer(308, &[("location", "http://[::1")], ""))),
];

/// Ways to ask who is there.
const CHALLENGES: &[Deed] = &[
    deed("a challenge that is none", Then::Kept, |_, _| challenge("\"\"\",,,=,= \t Bearer")),
    deed("a challenge of 60 kB", Then::Kept, |_, _| {
        challenge(&format!("Bearer realm=\"{}\"", "x".repeat(60_000)))
    }),
    deed("a realm that is a script", Then::Kept, |_, _| challenge("Bearer realm=\"javascript:alert(1)\"")),
    deed("a realm in a file", Then::Kept, |_, _| challenge("Bearer realm=\"file:///etc/passwd\"")),
    deed("a realm at the neighbour's", Then::Kept, |_, s| {
        let port = s.neighbour.rsplit(':').next().unwrap_or_default();
        challenge(&format!("Bearer realm=\"http://localhost:{port}/token\""))
    }),
    deed("a way of its own", Then::Kept, |_, _| challenge("Negotiate oRQwEqADCgEBoQsGCSqGSIb3EgECAg==")),
    deed("a token that is none", Then::Kept, |r, _| token(r, "<html>")),
    deed("a token with a header in it", Then::Kept, |r, _| token(r, r#"{"token":"x\r\nX-Evil: 1"}"#)),
    deed("a token of 1 MB", Then::Kept, |r, _| {
        token(r, &format!(r#"{{"token":"{}"}}"#, "t".repeat(1 << 20)))
    }),
    deed("a token that never serves", Then::Kept, |r, _| token(r, r#"{"token":"t","expires_in":-1}"#)),
];

/// What a tag leads to.
const MANIFESTS: &[Deed] = &[
    deed("no manifest", Then::Kept, |r, _| on_manifest(r, || answer(404, &[], ""))),
    deed("manifests are down", Then::Kept, |r, _| on_manifest(r, || answer(503, &[], ""))),
    deed("a digest that is none", Then::Kept, |r, _| stated(r, "sha256:zzzz")),
    deed("a digest with escapes", Then::Kept, |r, _| stated(r, "sha256:\t[31m")),
    deed("a digest by another way", Then::Kept, |r, _| stated(r, "md5:d41d8cd98f00b204e9800998ecf8427e")),
    deed("a digest in capitals", Then::Kept, |r, _| stated(r, &format!("sha256:{}", "A".repeat(64)))),
    deed("a digest of nothing there", Then::Kept, |r, _| stated(r, &digest_of(0))),
    deed("a digest that is another each time", Then::Kept, |r, s| stated(r, &digest_of(s.count))),
    deed("content that is not the digest's", Then::Kept, |r, _| match r.method() {
        &Method::HEAD => stated(r, &digest_of(7)),
        _ => on_manifest(r, || manifest(r#"{"schemaVersion":2,"config":{},"layers":[]}"#)),
    }),
    deed("a manifest of HTML", Then::Kept, |r, _| on_manifest(r, || manifest("<html>"))),
    deed("a manifest of 5 MB", Then::Kept, |r, _| on_manifest(r, || manifest(&" ".repeat(5 << 20)))),
    deed("a manifest of the first schema", Then::Kept, |r, _| {
        let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        on_manifest(r, || answer(200, &[("content-type", kind)], r#"{"schemaVersion":1}"#))
    }),
    deed("a content type with escapes", Then::Sound, |r, _| {
        on_manifest(r, || answer(200, &[("content-type", "text/\t[31m")], "{}"))
    }),
    deed("an index of 100,000", Then::Kept, |r, _| on_manifest(r, || manifest(&index(100_000)))),
    deed("no method but GET", Then::Newest, |r, _| {
        (r.method() == Method::HEAD).then(|| answer(405, &[], ""))
    }),
];

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        response.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    response
}

fn on_list(request: &Request, make: impl FnOnce() -> Response) -> Option<Response> {
    (request.uri().path() == LIST).then(make)
}

fn on_manifest(request: &Request, make: impl FnOnce() -> Response) -> Option<Response> {
    request.uri().path().starts_with("/v2/acme/web/manifests/").then(make)
}

fn list(request: &Request, body: &str) -> Option<Response> {
    on_list(request, || answer(200, &[("content-type", "application/json")], body.to_owned()))
}

fn page(request: &Request, link: &str) -> Option<Response> {
    on_list(request, || answer(200, &[("link", link)], r#"{"tags":["1.0.0","1.1.0"]}"#))
}

fn many(count: usize) -> String {
    let tags: Vec<String> = (0..count).map(|number| format!("\"9.0.{number}\"")).collect();
    format!(r#"{{"tags":["1.0.0",{}]}}"#, tags.join(","))
}

fn challenge(text: &str) -> Option<Response> {
    Some(answer(401, &[("www-authenticate", text)], ""))
}

/// The registry wants a token of its own token server, which answers this.
fn token(request: &Request, body: &str) -> Option<Response> {
    let host = request.headers().get("host").and_then(|it| it.to_str().ok()).unwrap_or_default();
    match request.uri().path() {
        "/token" => Some(answer(200, &[], body.to_owned())),
        _ => challenge(&format!("Bearer realm=\"http://{host}/token\"")),
    }
}

fn stated(request: &Request, digest: &str) -> Option<Response> {
    on_manifest(request, || answer(200, &[("docker-content-digest", digest)], ""))
}

fn digest_of(number: u64) -> String {
    format!("sha256:{number:064x}")
}

fn manifest(body: &str) -> Response {
    let kind = "application/vnd.oci.image.manifest.v1+json";
    answer(200, &[("content-type", kind)], body.to_owned())
}

fn index(count: u64) -> String {
    let entry = |number: u64| {
        let platform = r#"{"os":"linux","architecture":"amd64"}"#;
        format!(r#"{{"digest":"{}","size":1,"platform":{platform}}}"#, digest_of(number))
    };
    let all: Vec<String> = (0..count).map(entry).collect();
    let kind = "application/vnd.oci.image.index.v1+json";
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[{}]}}"#, all.join(","))
}

/// A byte a second, without end: each read ends in time, and the whole never.
fn dripping() -> Response {
    let drops = futures::stream::unfold(true, |first| async move {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let drop = Bytes::from_static(if first { b"{" } else { b" " });
        Some((Ok::<_, std::io::Error>(Frame::data(drop)), false))
    });
    Response::new(StreamBody::new(drops).boxed_unsync())
}

/// Says that more will come than does.
fn cut_body() -> Response {
    let pieces = [
        Ok(Frame::data(Bytes::from_static(b"{\"tags\":[\"1.0.0\","))),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ];
    Response::new(StreamBody::new(futures::stream::iter(pieces)).boxed_unsync())
}
