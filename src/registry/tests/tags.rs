use std::time::Duration;

use rstest::rstest;

use super::fake::*;
use crate::registry::{Registry as _, RegistryErrorKind as Kind};

const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn follows_relative_and_absolute_links() {
    let fake = Fake::start(|host| {
        move |seen| {
            let (link, tags) = match seen.query.as_str() {
                "n=1000" => (Some("</v2/team/app/tags/list?last=b>; rel=\"next\"".to_owned()), ["b", "a"]),
                "last=b" => {
                    (Some(format!("<http://{host}/v2/team/app/tags/list?last=d>; rel=next")), ["c", "d"])
                }
                "last=d" => (None, ["d", "e"]),
                query => panic!("{query}"),
            };
            let mut response = listing(&tags);
            if let Some(link) = link {
                response.headers_mut().insert("link", link.parse().unwrap());
            }
            response
        }
    })
    .await;
    let tags = client(options()).tags(&fake.repository("team/app"), NOW).await.unwrap();
    assert_eq!(*tags, ["a", "b", "c", "d", "e"].map(String::from));
    assert_eq!(fake.seen().len(), 3);
    assert!(fake.seen().iter().all(|s| s.header("authorization").is_none()));
}

/// Every way in which a list can be cut off, and what it is called.
#[tokio::test]
async fn a_list_is_whole_or_an_error() {
    let table: &[(&str, Kind, &str)] = &[
        ("other-host", Kind::Untrusted, "another host"),
        ("loop", Kind::Untrusted, "circle"),
        ("endless", Kind::Truncated, "more than 5 pages"),
        ("page-gone", Kind::Untrusted, "page 2 of its tag list is missing"),
        ("page-fails", Kind::Unavailable, "500"),
        ("page-denied", Kind::Unauthorized, "401"),
        ("not-json", Kind::Untrusted, "is this a registry"),
        ("no-tags", Kind::Untrusted, "is this a registry"),
        ("numbers", Kind::Untrusted, "is this a registry"),
        ("too-many", Kind::Truncated, "more than 10 tags"),
        ("too-long", Kind::Truncated, "longer than"),
        ("too-long-in-pages", Kind::Truncated, "longer than 4000 bytes"),
        ("unasked-304", Kind::Untrusted, "304"),
        ("teapot", Kind::Untrusted, "418"),
        ("gone", Kind::NotFound, "NAME_UNKNOWN"),
        ("forbidden", Kind::Unauthorized, "403"),
        ("broken", Kind::Unavailable, "503"),
    ];
    let fake = Fake::start(|host| {
        let port = host.rsplit(':').next().unwrap().to_owned();
        move |seen| {
            let name = seen.path.split('/').nth(2).unwrap();
            let first = seen.query == "n=1000";
            let page = |link: String| {
                let mut response = listing(&["1.0.0"]);
                response.headers_mut().insert("link", link.parse().unwrap());
                response
            };
            match (name, first) {
                ("other-host", _) => page(format!("<http://localhost:{port}/v2/x>; rel=next")),
                ("loop", _) => page("<?n=1000>; rel=next".into()),
                ("endless", _) => page(format!("<{}?{}x>; rel=next", seen.path, seen.query)),
                ("page-gone" | "page-fails" | "page-denied", true) => page("<?last=x>; rel=next".into()),
                ("page-gone", _) => answer(404, &[], ""),
                ("page-fails", _) => answer(500, &[], ""),
                ("page-denied", _) => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
                ("not-json", _) => answer(200, &[], "<html>welcome</html>"),
                ("no-tags", _) => json("{}"),
                ("numbers", _) => json(r#"{"tags":[1,2]}"#),
                ("too-many", _) => listing(&["a"; 11]),
                ("too-long", _) => listing(&["a".repeat(4096).as_str()]),
                ("too-long-in-pages", _) => {
                    let mut response = listing(&["a".repeat(900).as_str()]);
                    let link = format!("<{}?{}x>; rel=next", seen.path, seen.query);
                    response.headers_mut().insert("link", link.parse().unwrap());
                    response
                }
                ("unasked-304", _) => answer(304, &[], ""),
                ("teapot", _) => answer(418, &[], ""),
                ("gone", _) => answer(404, &[], r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
                ("forbidden", _) => answer(403, &[], ""),
                ("broken", _) => answer(503, &[], ""),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    let client = client(limits(|l| {
        l.pages = 5;
        l.tags = 10;
        l.tags_bytes = 4000;
    }));
    for (name, kind, text) in table {
        let error = client.tags(&fake.repository(name), NOW).await.unwrap_err();
        assert_eq!(error.kind, *kind, "{name}: {error}");
        assert!(error.message.contains(text), "{name}: {error}");
        assert!(error.message.starts_with(&fake.host) && error.registry == fake.host, "{name}: {error}");
    }
}

#[tokio::test]
async fn odd_lists_are_read() {
    let fake = Fake::start(|_| {
        |seen| match seen.path.as_str() {
            "/v2/null/tags/list" => json(r#"{"name":"null","tags":null}"#),
            "/v2/other/tags/list" => json(r#"{"name":"mirrored/name","tags":["1.0.0"]}"#),
            _ => listing(&["1.0.0", "-x", "", "a b", "1.0.0+1", "\u{1b}[31m", "1.0.0", "v2"]),
        }
    })
    .await;
    let client = client(options());
    let tags = async |path| client.tags(&fake.repository(path), NOW).await.unwrap().to_vec();
    assert!(tags("null").await.is_empty());
    assert_eq!(tags("other").await, ["1.0.0"]);
    assert_eq!(tags("invalid").await, ["1.0.0", "v2"]);
}

#[tokio::test]
async fn the_bound_itself_is_allowed() {
    let fake = Fake::start(|_| |_| listing(&["a"; 10])).await;
    let client = client(limits(|l| l.tags = 10));
    assert_eq!(client.tags(&fake.repository("a"), NOW).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_empty_list_where_there_was_one_is_not_believed() {
    let fake = Fake::start(|_| {
        let count = std::sync::atomic::AtomicUsize::new(0);
        move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => listing(&["1.0.0"]),
            1 => listing(&[]),
            _ => listing(&["1.0.0", "1.1.0"]),
        }
    })
    .await;
    let (client, repository) = (client(options()), fake.repository("a"));
    client.tags(&repository, NOW).await.unwrap();
    let error = client.tags(&repository, NOW).await.unwrap_err();
    assert_eq!(error.kind, Kind::Untrusted);
    assert!(error.message.contains("empty where it was not before"), "{error}");
    let kept = client.tags(&repository, Duration::from_secs(60)).await.unwrap();
    assert_eq!(*kept, ["1.0.0".to_owned()]);
    skip(Duration::from_secs(3)).await;
    assert_eq!(client.tags(&repository, NOW).await.unwrap().len(), 2);
}

#[tokio::test]
async fn asks_conditionally() {
    let fake = Fake::start(|_| {
        |seen| match seen.header("if-none-match") {
            Some("\"v1\"") => answer(304, &[], ""),
            Some(other) => panic!("{other}"),
            None if seen.path.contains("paged") && seen.query == "n=1000" => {
                answer(200, &[("etag", "\"v1\""), ("link", "<?last=a>; rel=next")], r#"{"tags":["a"]}"#)
            }
            None => answer(200, &[("etag", "\"v1\"")], r#"{"tags":["1.0.0"]}"#),
        }
    })
    .await;
    let client = client(options());
    for _ in 0..3 {
        assert_eq!(*client.tags(&fake.repository("a"), NOW).await.unwrap(), ["1.0.0".to_owned()]);
    }
    let conditional = |s: &&Seen| s.header("if-none-match").is_some();
    assert_eq!(fake.seen().iter().filter(conditional).count(), 2);
    // One page's entity tag says nothing of the others.
    for _ in 0..2 {
        assert_eq!(client.tags(&fake.repository("paged"), NOW).await.unwrap().len(), 2);
    }
    assert_eq!(fake.seen().iter().filter(conditional).count(), 2);
}

/// The way to the second page, as the registries that people have write it.
#[rstest]
#[case::harbor(r#"</v2/team/app/tags/list?last=b&n=2>; rel="next""#)]
#[case::quay(r#"</v2/team/app/tags/list?n=50&next_page=gAAAAABk-_x%3D%3D>; rel="next""#)]
#[case::ecr(r#"<http://HOST/v2/team/app/tags/list?n=1000&last=Zm9v%2FYmFy%3D>; rel="next""#)]
#[case::gitlab(r#"<http://HOST/v2/team/app/tags/list?last=b&n=2>; rel="next""#)]
#[case::github(r#"</v2/team/app/tags/list?last=b&n=0>; rel="next""#)]
#[case::two_values(
    r#"</v2/team/app/tags/list?n=1>; rel="first", </v2/team/app/tags/list?last=b>; rel="next""#
)]
#[case::no_path(r#"<?last=b&n=2>; rel="next""#)]
#[tokio::test]
async fn next_pages_are_found_as_registries_name_them(#[case] link: &'static str) {
    let fake = Fake::start(|host| {
        let link = link.replace("HOST", &host);
        move |seen| match seen.query.as_str() {
            "n=1000" => answer(200, &[("link", &link)], r#"{"tags":["1.0.0"]}"#),
            _ => listing(&["1.1.0"]),
        }
    })
    .await;
    let tags = client(options()).tags(&fake.repository("team/app"), NOW).await.unwrap();
    assert_eq!(*tags, ["1.0.0", "1.1.0"].map(String::from), "{link}");
    // What the link says is asked for as it stands.
    let (_, query) = link.rsplit_once('?').unwrap();
    assert_eq!(fake.seen()[1].query, query.split('>').next().unwrap());
    assert_eq!(fake.seen()[1].path, "/v2/team/app/tags/list");
}
