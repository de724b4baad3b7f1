use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn reads_as_docker_reads() {
    // text, normalised repository, familiar repository, tag
    let table: &[(&str, &str, &str, Option<&str>)] = &[
        ("nginx", "docker.io/library/nginx", "nginx", None),
        ("nginx:1.2", "docker.io/library/nginx", "nginx", Some("1.2")),
        ("library/nginx", "docker.io/library/nginx", "nginx", None),
        ("docker.io/nginx", "docker.io/library/nginx", "nginx", None),
        ("docker.io/library/nginx", "docker.io/library/nginx", "nginx", None),
        ("index.docker.io/nginx", "docker.io/library/nginx", "nginx", None),
        ("index.docker.io/a/b:v1", "docker.io/a/b", "a/b", Some("v1")),
        ("library/a/b", "docker.io/library/a/b", "library/a/b", None),
        ("lighttag/frontend", "docker.io/lighttag/frontend", "lighttag/frontend", None),
        ("localhost/a", "localhost/a", "localhost/a", None),
        ("localhost:5000", "docker.io/library/localhost", "localhost", Some("5000")),
        ("localhost:5000/a:1", "localhost:5000/a", "localhost:5000/a", Some("1")),
        ("localhost", "docker.io/library/localhost", "localhost", None),
        ("127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c", Some("1")),
        ("[::1]:5000/a:1", "[::1]:5000/a", "[::1]:5000/a", Some("1")),
        ("[fe80::1]/a", "[fe80::1]/a", "[fe80::1]/a", None),
        ("Registry/a", "Registry/a", "Registry/a", None),
        ("registry/a", "docker.io/registry/a", "registry/a", None),
        ("a-b.example.com/x", "a-b.example.com/x", "a-b.example.com/x", None),
        ("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c", None),
        ("docker.io/localhost/c", "docker.io/localhost/c", "docker.io/localhost/c", None),
        ("a/b__c--d.e_f/g---h", "docker.io/a/b__c--d.e_f/g---h", "a/b__c--d.e_f/g---h", None),
        ("a:_x.Y-z", "docker.io/library/a", "a", Some("_x.Y-z")),
    ];
    for (text, normalized, familiar, tag) in table {
        let image: ImageRef = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(image.repository.normalized(), *normalized, "{text}");
        assert_eq!(image.repository.to_string(), *familiar, "{text}");
        assert_eq!(image.tag.as_deref(), *tag, "{text}");
        assert_eq!(image.digest, None, "{text}");
    }
}

#[test]
fn reads_digests() {
    let image: ImageRef = format!("nginx:1.2@sha256:{HEX}").parse().unwrap();
    assert_eq!(image.tag.as_deref(), Some("1.2"));
    assert_eq!(image.digest.as_ref().map(Digest::as_str), Some(format!("sha256:{HEX}").as_str()));
    assert_eq!(image.to_string(), format!("nginx:1.2@sha256:{HEX}"));
    let untagged: ImageRef = format!("localhost:5000/a@sha256:{HEX}").parse().unwrap();
    assert_eq!((untagged.tag, untagged.digest), (None, image.digest));
    assert_eq!(Digest::of(b"").as_str(), format!("sha256:{HEX}"));
}

#[test]
fn a_64_digit_name_keeps_its_registry() {
    let image: ImageRef = format!("docker.io/{HEX}").parse().unwrap();
    assert_eq!(image.to_string(), format!("docker.io/library/{HEX}"));
    assert_eq!(image.to_string().parse(), Ok(image));
}

#[test]
fn refuses_with_the_mend() {
    let long_name = format!("example.com/{}", "a".repeat(244));
    let long_tag = format!("a:{}", "1".repeat(129));
    let table: &[(&str, &str)] = &[
        ("", "is empty"),
        (" nginx", "white space"),
        ("nginx\n", "white space"),
        ("https://example.com/a", "leave out the scheme"),
        (HEX, "image ID"),
        ("nginx:", "tag after the colon is missing"),
        ("nginx:-1", "is not a tag"),
        ("nginx:1:2", "is not a tag"),
        ("nginx:1+2", "is not a tag"),
        (&long_tag, "longer than 128"),
        (&long_name, "longer than 255"),
        ("Nginx", "lower case: write `nginx` for `Nginx`"),
        ("example.com/Team/a", "write `team` for `Team`"),
        ("a//b", "is empty"),
        ("a/", "is empty"),
        ("example.com/", "name is missing"),
        ("/a", "is empty"),
        (":1", "name is missing"),
        ("a..b", "is not a path component"),
        ("a___b", "is not a path component"),
        ("a-", "is not a path component"),
        ("_a", "is not a path component"),
        ("a._b", "is not a path component"),
        ("a b", "is not a path component"),
        ("a/\u{1b}[31m", "\\u{1b}"),
        ("über/a", "is not a path component"),
        ("-a.example/x", "is not a registry's host"),
        ("a..example/x", "is not a registry's host"),
        ("example.com:/x", "no number after the colon"),
        ("example.com:x/x", "no number after the colon"),
        ("example.com:99999/x", "above 65535"),
        ("[::1/x", "is not a registry's host"),
        ("[zz::1]/x", "is not a registry's host"),
        ("[::1]5000/x", "no number after the colon"),
        ("nginx@", "a digest is `sha256:`"),
        ("nginx@sha256:abc", "64 lower-case"),
        ("nginx@sha512:abc", "only sha256"),
    ];
    for (text, expected) in table {
        match text.parse::<ImageRef>() {
            Ok(image) => panic!("{text:?} was taken as {image:?}"),
            Err(ImageError(message)) => {
                assert!(message.contains(expected), "{text:?}: {message}");
                assert!(!message.chars().any(char::is_control), "{text:?}: {message:?}");
            }
        }
    }
    let upper = format!("nginx@sha256:{}", HEX.to_uppercase());
    assert!(upper.parse::<ImageRef>().is_err());
    assert!(format!("nginx@sha256:{HEX}@sha256:{HEX}").parse::<ImageRef>().is_err());
    assert!(format!("example.com/{}", "a".repeat(243)).parse::<ImageRef>().is_ok());
    assert!(format!("a:{}", "1".repeat(128)).parse::<ImageRef>().is_ok());
}

#[test]
fn a_repository_has_neither_tag_nor_digest() {
    assert_eq!("nginx".parse::<Repository>().unwrap().normalized(), "docker.io/library/nginx");
    let tagged = "nginx:1.2".parse::<Repository>().unwrap_err().0;
    assert!(tagged.contains("leave out the tag `:1.2`"), "{tagged}");
    let digested = format!("nginx@sha256:{HEX}").parse::<Repository>().unwrap_err().0;
    assert!(digested.contains("leave out the digest"), "{digested}");
}

#[test]
fn is_text_in_json() {
    let image: ImageRef = "nginx:1.2".parse().unwrap();
    let json = serde_json::to_string(&image).unwrap();
    assert_eq!(json, "\"nginx:1.2\"");
    assert_eq!(serde_json::from_str::<ImageRef>(&json).unwrap(), image);
    assert!(serde_json::from_str::<Digest>("\"sha256:x\"").is_err());
}

fn component() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}",
        Just("localhost".to_owned()),
        Just("library".to_owned()),
        Just("docker.io".to_owned()),
        "[0-9a-f]{64}",
    ]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("docker.io/".to_owned()),
        Just("index.docker.io/".to_owned()),
        Just("localhost/".to_owned()),
        "[A-Za-z0-9]{1,5}(\\.[a-z]{1,3}){0,2}(:[1-9][0-9]{0,3})?/",
        "\\[[0-9a-f:]{1,4}:[0-9a-f]{0,3}\\](:[1-9][0-9]{0,3})?/",
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        host in host(),
        path in prop::collection::vec(component(), 1..4),
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"),
        digest in prop::option::of("[0-9a-f]{64}"),
    ) {
        let mut text = format!("{host}{}", path.join("/"));
        if let Some(tag) = &tag {
            text.push_str(&format!(":{tag}"));
        }
        if let Some(digest) = &digest {
            text.push_str(&format!("@sha256:{digest}"));
        }
        // Some of these texts are rightly refused (a 64-digit name, a path that is too long).
        if let Ok(image) = text.parse::<ImageRef>() {
            prop_assert_eq!(&image.tag, &tag);
            prop_assert_eq!(image.to_string().parse::<ImageRef>(), Ok(image.clone()));
            let normalized = image.repository.normalized();
            prop_assert_eq!(normalized.parse::<Repository>(), Ok(image.repository.clone()));
            prop_assert_eq!(image.repository.to_string().parse::<Repository>(), Ok(image.repository.clone()));
        } else {
            prop_assert!(text.contains(|c: char| c.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn simple_names_are_always_read(
        path in prop::collection::vec("[a-z0-9]{1,6}", 1..4), tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
    ) {
        let text = format!("registry.example.com:5000/{}:{tag}", path.join("/"));
        prop_assert_eq!(text.parse::<ImageRef>().unwrap().to_string(), text);
    }

    #[test]
    fn no_text_panics(text in "(?s).{0,80}") {
        let _ = text.parse::<ImageRef>().map_err(|e| assert!(e.0.chars().count() < 500));
        let _ = text.parse::<Repository>();
        let _ = text.parse::<Digest>();
    }

    #[test]
    fn near_misses_do_not_panic(text in "[a-zA-Z0-9:/@.\\[\\]_-]{0,80}") {
        if let Ok(image) = text.parse::<ImageRef>() {
            prop_assert_eq!(image.to_string().parse::<ImageRef>(), Ok(image));
        }
    }
}
