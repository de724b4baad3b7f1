//! Where customers may take the content of secrets, configs and env files from.

use std::collections::BTreeSet;

use super::{Fleet, VALUE, Violations, is_match};
use crate::spec::{ContentSource, Customer};

/// Sources of content that customers may name; `None`: all but what is another customer's.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ContentRules {
    /// Variables, with `${customer}` or `${CUSTOMER}` and a `*` at the end.
    pub environment: Option<Vec<String>>,
    /// Folders of the specs directory, with `${customer}`, and `*` for any one folder.
    pub files: Option<Vec<String>>,
}

/// The customer's name in a rule.
pub const NAME: &str = "${customer}";
/// The same as variables are written: in upper case, with `_` for `-`.
pub const UPPER_NAME: &str = "${CUSTOMER}";

/// Beginnings of variables that are skep's own settings and credentials, or those of what it calls.
const RESERVED_PREFIXES: &[&str] = &["SKEP_", "DOCKER_", "AWS_", "GIT_", "SSH_", "CI_"];
/// Further ones that hold credentials where skep runs, proxies' included.
const RESERVED: &[&str] = &[
    "ALL_PROXY",
    "AZURE_CLIENT_SECRET",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
];

/// Whether a variable is for skep alone, whatever a fleet allows.
pub fn is_reserved(variable: &str) -> bool {
    let upper = variable.to_ascii_uppercase();
    RESERVED.contains(&upper.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

/// A customer's name as variables are written.
fn upper(customer: &str) -> String {
    customer.to_ascii_uppercase().replace('-', "_")
}

/// A variable that the customer may name. What begins with the name of one called `git` or `ci-tools` is skep's own.
fn example(customer: &str) -> String {
    let own = format!("{}_TOKEN", upper(customer));
    if is_reserved(&own) { format!("SECRET_{own}") } else { own }
}

pub(super) fn check(fleet: &Fleet, customer: &Customer, customers: &BTreeSet<&str>, found: &mut Violations) {
    for named in &customer.contents {
        let path: Vec<&str> = named.key.iter().map(String::as_str).collect();
        match &named.source {
            ContentSource::Variable(name) => check_variable(fleet, customer, customers, name, &path, found),
            ContentSource::File { path: file, led_to } => {
                check_file(fleet, customer, customers, file, &path, found);
                // A link in one's own folder is no way into another's.
                for file in led_to.iter().filter(|led_to| *led_to != file) {
                    check_file(fleet, customer, customers, file, &path, found);
                }
            }
        }
    }
}

fn check_variable(
    fleet: &Fleet,
    customer: &Customer,
    customers: &BTreeSet<&str>,
    name: &str,
    path: &[&str],
    found: &mut Violations,
) {
    let example = example(&customer.name);
    if is_reserved(name) {
        let message = format!("`{VALUE}` is among the settings and credentials of skep itself");
        let help = format!("give skep the content in another variable, e.g. `{example}`, and name that one");
        return found.add_value(path, name, message, &help);
    }
    let Some(allowed) = &fleet.contents.environment else {
        if let Some(owner) = owner_of_variable(name, &customer.name, customers) {
            let message = format!("the variable `{VALUE}` belongs to customer {owner}");
            let help = format!(
                "name one of your own, e.g. `{example}`, or have it allowed in fleet.toml: `contents.environment`"
            );
            found.add_value(path, name, message, &help);
        }
        return;
    };
    if !allowed.iter().any(|pattern| allows_variable(pattern, name, &customer.name, customers)) {
        let message = format!("the variable `{VALUE}` is not among `contents.environment` in fleet.toml");
        found.add_value(path, name, message, "use one of those, or have it added");
    }
}

fn check_file(
    fleet: &Fleet,
    customer: &Customer,
    customers: &BTreeSet<&str>,
    file: &str,
    path: &[&str],
    found: &mut Violations,
) {
    let Some(allowed) = &fleet.contents.files else {
        if let Some(owner) = owner_of_file(file, &customer.name, customers) {
            let message = format!("`{VALUE}` belongs to {owner}");
            let help = "name a file of your own, or have its folder allowed in fleet.toml: `contents.files`";
            found.add_value(path, file, message, help);
        }
        return;
    };
    if !allowed.iter().any(|folder| lies_in(file, folder, &customer.name)) {
        let message = format!("`{VALUE}` is in none of the folders of `contents.files` in fleet.toml");
        found.add_value(path, file, message, "put it into one of those, or have its folder added");
    }
}

/// The other customer whose name a variable begins with. Of several, the longest name decides: `A_B_TOKEN` is `a-b`'s
/// and not `a`'s.
fn owner_of_variable<'a>(name: &str, own: &str, customers: &BTreeSet<&'a str>) -> Option<&'a str> {
    let has = |customer: &str| name.strip_prefix(&upper(customer)).is_some_and(|rest| rest.starts_with('_'));
    let longest = customers.iter().filter(|customer| has(customer)).max_by_key(|customer| customer.len())?;
    (*longest != own && !(has(own) && own.len() > longest.len())).then_some(*longest)
}

fn expanded(pattern: &str, customer: &str) -> String {
    pattern.replace(NAME, customer).replace(UPPER_NAME, &upper(customer))
}

/// Whether a pattern lets the customer name a variable. One that fits a longer customer's name too is that one's.
fn allows_variable(pattern: &str, name: &str, customer: &str, customers: &BTreeSet<&str>) -> bool {
    let fits = |customer: &str| is_match(&expanded(pattern, customer), name);
    let hangs_on_name = pattern.contains(NAME) || pattern.contains(UPPER_NAME);
    let is_longer = |other: &&&str| other.len() > customer.len() && other.starts_with(customer);
    fits(customer) && !(hangs_on_name && customers.iter().filter(is_longer).any(|other| fits(other)))
}

/// Whose a file is without a rule: who has its name on one of the folders above it, or is described by it.
fn owner_of_file(file: &str, own: &str, customers: &BTreeSet<&str>) -> Option<String> {
    let (folders, name) = file.rsplit_once('/').unwrap_or(("", file));
    if let Some(owner) = folders.split('/').find(|folder| *folder != own && customers.contains(folder)) {
        return Some(format!("customer {owner}"));
    }
    if file == super::super::parse::FLEET_FILE {
        return Some("the fleet".to_owned());
    }
    let owner = name.strip_suffix(".toml").filter(|stem| *stem != own && customers.contains(stem));
    owner.map(|owner| format!("customer {owner}"))
}

/// Whether a file lies in a folder, at whatever depth.
fn lies_in(file: &str, folder: &str, customer: &str) -> bool {
    if folder == "." {
        return true;
    }
    let folder = expanded(folder, customer);
    let (mut parts, wanted) = (file.split('/'), folder.split('/'));
    let all =
        wanted.into_iter().all(|wanted| parts.next().is_some_and(|part| wanted == "*" || wanted == part));
    all && parts.next().is_some()
}

/// Whether what the customer names may be one of these customers' by its name.
pub(super) fn names_of_any(customer: &Customer, owners: &BTreeSet<&str>) -> bool {
    let variables = customer.contents.iter().filter_map(|named| match &named.source {
        ContentSource::Variable(name) => Some(name),
        ContentSource::File { .. } => None,
    });
    let has = |name: &String, owner: &str| name.contains(&upper(owner)) || name.contains(owner);
    variables.into_iter().any(|name| owners.iter().any(|owner| has(name, owner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUSTOMERS: [&str; 4] = ["a", "a-b", "globex", "web"];

    #[test]
    fn what_skep_uses_itself_is_nobodys() {
        for name in ["SKEP_SERVER", "DOCKER_HOST", "AWS_SECRET_ACCESS_KEY", "https_proxy", "Ci_Job_Token"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["ACME_TOKEN", "SKEPTIC", "PATH", "ACME_AWS_KEY", "DOCKERHOST"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn an_example_is_never_what_is_refused() {
        assert_eq!(example("acme"), "ACME_TOKEN");
        for name in ["ci-tools", "git", "aws", "docker", "ssh", "skep", "gh", "github", "gitlab"] {
            assert_eq!(example(name), format!("SECRET_{}_TOKEN", upper(name)));
            assert!(!is_reserved(&example(name)), "{name}");
        }
    }

    #[test]
    fn without_a_rule_a_variable_is_whose_name_it_begins_with() {
        let customers = BTreeSet::from(CUSTOMERS);
        for (name, own, expected) in [
            ("GLOBEX_TOKEN", "a", Some("globex")),
            ("GLOBEX_TOKEN", "globex", None),
            ("GLOBEXTOKEN", "a", None),
            ("globex_TOKEN", "a", None),
            ("A_TOKEN", "a", None),
            ("A_B_TOKEN", "a", Some("a-b")),
            ("A_B_TOKEN", "a-b", None),
            ("A_TOKEN", "a-b", Some("a")),
            ("SHARED", "a", None),
        ] {
            assert_eq!(owner_of_variable(name, own, &customers), expected, "{name} of {own}");
        }
    }

    #[test]
    fn a_pattern_is_for_the_one_whose_name_it_fits_best() {
        let customers = BTreeSet::from(CUSTOMERS);
        for (pattern, name, customer, expected) in [
            ("${CUSTOMER}_*", "A_TOKEN", "a", true),
            ("${CUSTOMER}_*", "A_B_TOKEN", "a", false),
            ("${CUSTOMER}_*", "A_B_TOKEN", "a-b", true),
            ("${CUSTOMER}_*", "GLOBEX_TOKEN", "a", false),
            ("X_${CUSTOMER}_*", "X_A_B_TOKEN", "a", false),
            ("TOKEN_${customer}", "TOKEN_a", "a", true),
            ("TOKEN_${customer}", "TOKEN_a-b", "a", false),
            ("SHARED_*", "SHARED_A_B", "a", true),
            ("SHARED", "SHARED_X", "a", false),
            ("*", "ANY", "a", true),
        ] {
            let allowed = allows_variable(pattern, name, customer, &customers);
            assert_eq!(allowed, expected, "{pattern} {name} {customer}");
        }
    }

    #[test]
    fn without_a_rule_a_file_is_whose_folder_it_lies_in() {
        let customers = BTreeSet::from(CUSTOMERS);
        for (file, own, expected) in [
            ("secrets/globex/token", "a", Some("customer globex")),
            ("secrets/globex/token", "globex", None),
            ("eu/globex.toml", "a", Some("customer globex")),
            ("eu/globex.toml", "globex", None),
            ("fleet.toml", "a", Some("the fleet")),
            ("web.env", "a", None),
            ("secrets/web", "a", None),
            ("secrets/web/x", "a", Some("customer web")),
        ] {
            assert_eq!(owner_of_file(file, own, &customers).as_deref(), expected, "{file} of {own}");
        }
    }

    #[test]
    fn a_file_lies_in_a_folder_at_whatever_depth() {
        for (file, folder, expected) in [
            ("acme/token", "${customer}", true),
            ("acme/deep/token", "${customer}", true),
            ("acme", "${customer}", false),
            ("acme2/token", "${customer}", false),
            ("eu/acme/token", "${customer}", false),
            ("eu/acme/token", "*/${customer}", true),
            ("eu/globex/token", "*/${customer}", false),
            ("keys-acme/token", "keys-${customer}", true),
            ("shared/token", "shared", true),
            ("token", ".", true),
        ] {
            assert_eq!(lies_in(file, folder, "acme"), expected, "{file} in {folder}");
        }
    }
}
