//! The reader of specs: a whole set of files at once.

use crate::plan;
use crate::plan::fields;
use crate::spec::Customer;
use crate::spec::diagnostics::{position, render};
use crate::spec::parse::{Loaded, SpecFiles, load};

/// Begins a file in the input; its path follows.
const HEAD: &str = "=== ";

/// Files, each after a line `=== PATH`; what stands before the first is `acme.toml`. The
/// reader answers for each customer, and what it says has its place.
pub fn spec(data: &[u8]) {
    let files = files(&String::from_utf8_lossy(data));
    let loaded = load(&files);
    check_places(&loaded, &files);
    for (name, diagnostics) in &loaded.invalid {
        assert!(!diagnostics.is_empty() && !loaded.customers.contains_key(name), "{name}");
    }
    for (name, customer) in &loaded.customers {
        assert_eq!(*name, customer.name);
        check_customer(customer);
    }
}

fn files(text: &str) -> SpecFiles {
    let mut files = SpecFiles::default();
    let mut path = "acme.toml".to_owned();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix(HEAD) {
            Some(rest) => path = rest.trim_end_matches(['\n', '\r']).to_owned(),
            None => files.files.entry(path.clone()).or_default().push_str(line),
        }
    }
    files
}

fn check_places(loaded: &Loaded, files: &SpecFiles) {
    for diagnostic in loaded.invalid.values().flatten().chain(&loaded.diagnostics) {
        assert!(!diagnostic.message.is_empty() && !diagnostic.one_line().chars().any(char::is_control));
        let text = files.files.get(&diagnostic.file);
        match (&diagnostic.span, text) {
            (None, _) => assert_eq!((diagnostic.line, diagnostic.column), (0, 0)),
            (Some(span), Some(text)) => {
                assert!(text.get(span.clone()).is_some(), "{diagnostic:?}");
                assert_eq!(position(text, span.start), (diagnostic.line, diagnostic.column));
            }
            (Some(_), None) => panic!("a place in a file that is not there: {diagnostic:?}"),
        }
    }
    let shown = render(&loaded.diagnostics, files, false);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
}

/// A valid spec can be made a service of, which then has all that the spec sets.
fn check_customer(customer: &Customer) {
    let id = |name: &str| Some(name.to_owned());
    for (key, service) in &customer.services {
        assert_eq!(*key, service.key);
        assert!(plan::service_name(&customer.name, key).len() <= 63, "{key}");
        assert_eq!(plan::desired_hash(customer, service), plan::desired_hash(customer, service));
        let image = service.image.repository().to_string();
        let (Ok(desired), Ok(made)) =
            (fields::desired(customer, service, &id), fields::create(customer, service, &image, &id))
        else {
            panic!("every network has an ID")
        };
        for field in desired {
            let read = fields::read(&made, &field.name);
            assert!(
                fields::same(&field.name, &read, &field.value),
                "{}: {read} for {}",
                field.name,
                field.value
            );
        }
    }
}
