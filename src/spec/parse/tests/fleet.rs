//! The rules of `fleet.toml`.

use super::*;
use crate::spec::fleet::{Capabilities, Fleet, ImagePattern, Prune};

pub(super) const WEB: &str = "[services.web]\nimage = 'registry.example.com/saas/web'\n";

fn told(given: &[(&str, &str)]) -> Vec<String> {
    lines(&load(&files(given)).diagnostics)
}

/// What is told of a customer `acme` under these rules.
fn under(rules: &str, acme: &str) -> Vec<String> {
    told(&[("fleet.toml", rules), ("acme.toml", acme), ("globex.toml", WEB)])
}

#[test]
fn without_rules_all_is_allowed() {
    let acme = "[services.web]\nimage = 'web'\nvolumes = ['/var/run/docker.sock:/s']\ncap_add = ['ALL']\nports = ['80:80']\n";
    assert_eq!(told(&[("acme.toml", acme)]), Vec::<String>::new());
    assert_eq!(under("# none\n", acme), Vec::<String>::new());
    assert_eq!(load(&files(&[])).fleet, Some(Fleet::default()));
}

const RULES: &str = "\
allowed_images = ['registry.example.com/saas/*', 'postgres', 'mirror/*']
required_labels = ['team']
prune = { grace = '1h', share = 0.5 }

[forbid]
docker_socket = true
host_binds = true
host_network = true
host_ports = true
privileged_ports = true
cap_add = ['sys_admin']

[limits]
services = 2
replicas = 5
cpus = '2'
memory = '1G'

[defaults.version]
prerelease = ['rc']
min_age = '2h'
retag = 'hold'
downgrade = true
exclude = ['1.4.2']

[grants]
acme = ['globex_shared', 'initech_*']
";

#[test]
fn all_rules_are_read() {
    let fleet = load(&files(&[("fleet.toml", RULES)])).fleet.unwrap();
    let beneath = |prefix: &str| ImagePattern::Beneath(prefix.to_owned());
    let postgres = ImagePattern::One("docker.io/library/postgres".parse().unwrap());
    let images = vec![beneath("registry.example.com/saas/"), postgres, beneath("docker.io/mirror/")];
    assert_eq!(fleet.allowed_images, Some(images));
    assert_eq!(fleet.forbid.cap_add, Capabilities::These(vec!["CAP_SYS_ADMIN".to_owned()]));
    assert_eq!((fleet.limits.nano_cpus, fleet.limits.memory_bytes), (Some(2_000_000_000), Some(1 << 30)));
    assert_eq!(fleet.version_defaults.min_age, Duration::from_secs(7200));
    assert_eq!(fleet.prune, Prune { enabled: true, grace: Duration::from_secs(3600), share: 0.5 });
    let off = load(&files(&[("fleet.toml", "prune = false")])).fleet.unwrap();
    assert_eq!(off.prune, Prune { enabled: false, ..Prune::default() });
}

#[test]
fn what_keeps_the_rules_is_valid() {
    let acme = "[services.web]\nimage = 'registry.example.com/saas/web'\nvolumes = ['data:/data']\ntmpfs = '/run'\n\
                ports = ['8080:80']\ncap_add = ['NET_ADMIN']\n[services.web.deploy]\nlabels = { team = 'x' }\n\
                replicas = 5\nresources = { limits = { cpus = 2, memory = '1G' } }\n[volumes.data]\n";
    let loaded = load(&files(&[("fleet.toml", RULES), ("acme.toml", acme), ("globex.toml", WEB)]));
    assert_eq!(loaded.customers.keys().collect::<Vec<_>>(), ["acme"]);
    // The other keeps no rule about limits and labels.
    assert_eq!(
        lines(&loaded.diagnostics),
        [
            "globex.toml:1:11: services.web: `cpus` is not limited, and `limits.cpus` in fleet.toml allows \"2\"; write `deploy.resources.limits.cpus`, at most \"2\"",
            "globex.toml:1:11: services.web: `memory` is not limited, and `limits.memory` in fleet.toml allows \"1G\"; write `deploy.resources.limits.memory`, at most \"1G\"",
            "globex.toml:1:11: services.web: the label `team` is missing, which `required_labels` in fleet.toml requires; write it under `deploy.labels`",
        ]
    );
}

#[test]
fn every_breach_is_told_at_its_place_with_its_rule() {
    let acme = "\
[services.a]
image = 'registry.example.com/saas-evil/web'
volumes = ['data:/data', '/var//run/:/r:ro', '/srv:/srv', 'back:/back', 'door:/door']
ports = ['80:80', { target = 81, mode = 'host' }]
cap_add = ['all']
networks = ['host']
[services.a.deploy]
labels = { team = 'x' }
replicas = 6
resources.limits = { cpus = '2.5', memory = '0' }
[services.b]
image = 'postgres:16.3.0'
cap_add = ['sys_admin', 'net_raw']
deploy = { labels = { team = 'x' }, resources = { limits = { cpus = 1, memory = '2G' } } }
[services.c]
image = 'mirror/x'
deploy = { labels = { team = 'x' }, resources = { limits = { cpus = 1, memory = '1G' } } }
[networks.host]
external = true
[volumes.data]
[volumes.back]
driver_opts = { type = 'none', o = 'rw,bind', device = '/run' }
[volumes.door]
driver_opts = { o = 'bind', device = '/home' }
";
    let found: Vec<String> =
        under(RULES, acme).into_iter().filter(|line| line.starts_with("acme.toml")).collect();
    assert_eq!(
        found,
        [
            "acme.toml:1:2: services: 3 services, and `limits.services` in fleet.toml allows 2; split the customer, or have the limit raised",
            "acme.toml:2:9: services.a.image: `registry.example.com/saas-evil/web` is not among `allowed_images` in fleet.toml; use one of those, or have it added",
            "acme.toml:3:26: services.a.volumes[1]: `/var//run/` gives the service the engine's socket, which `forbid.docker_socket` in fleet.toml forbids; take the mount out",
            "acme.toml:3:46: services.a.volumes[2]: `/srv` is a path of the node, which `forbid.host_binds` in fleet.toml forbids; use a volume",
            "acme.toml:4:9: services.a.ports: port 80 is below 1024, which `forbid.privileged_ports` in fleet.toml forbids; publish another port",
            "acme.toml:4:9: services.a.ports: port 81 is published by the node itself, which `forbid.host_ports` in fleet.toml forbids; take `mode = \"host\"` out",
            "acme.toml:5:11: services.a.cap_add: the capability `ALL`, which `forbid.cap_add` in fleet.toml forbids; take it out",
            "acme.toml:9:12: services.a.deploy.replicas: 6 replicas, and `limits.replicas` in fleet.toml allows 5; make it less, or have the limit raised",
            "acme.toml:10:29: services.a.deploy.resources.limits.cpus: `cpus` is more than `limits.cpus` in fleet.toml allows \"2\"; write `deploy.resources.limits.cpus`, at most \"2\"",
            "acme.toml:10:45: services.a.deploy.resources.limits.memory: `memory` is not limited, and `limits.memory` in fleet.toml allows \"1G\"; write `deploy.resources.limits.memory`, at most \"1G\"",
            "acme.toml:13:11: services.b.cap_add: the capability `CAP_SYS_ADMIN`, which `forbid.cap_add` in fleet.toml forbids; take it out",
            "acme.toml:14:81: services.b.deploy.resources.limits.memory: `memory` is more than `limits.memory` in fleet.toml allows \"1G\"; write `deploy.resources.limits.memory`, at most \"1G\"",
            "acme.toml:18:11: networks.host: the nodes' own network, which `forbid.host_network` in fleet.toml forbids; join an overlay network",
            "acme.toml:22:56: volumes.back.driver_opts.device: `/run` gives the service the engine's socket, which `forbid.docker_socket` in fleet.toml forbids; take the mount out",
            "acme.toml:24:38: volumes.door.driver_opts.device: `/home` is a path of the node, which `forbid.host_binds` in fleet.toml forbids; use a volume",
        ]
    );
}

#[test]
fn a_template_that_breaks_a_rule_is_named_with_its_customer() {
    let found = told(&[
        ("fleet.toml", "[forbid]\nhost_ports = true\n"),
        ("acme.toml", "template = 'saas'\n"),
        ("templates/saas.toml", "[services.web]\nimage = 'web'\nports = [{ target = 80, mode = 'host' }]\n"),
    ]);
    let expected = "templates/saas.toml:3:9: services.web.ports: port 80 is published by the node itself, which \
                    `forbid.host_ports` in fleet.toml forbids (in the template of acme.toml); take `mode = \"host\"` out";
    assert_eq!(found, [expected]);
}

#[test]
fn nobody_names_what_is_anothers_unless_it_is_granted() {
    let acme = "\
[services.web]
image = 'web'
[networks.globex_default]
external = true
[networks.theirs]
external = true
name = 'globex_shared'
[networks.own]
name = 'globex_own'
[networks.nobodys]
name = 'unknown_own'
[volumes.data]
external = true
name = 'globex_data'
";
    let shared = "acme.toml:5:11: networks.theirs: `globex_shared` belongs to customer globex; have it granted in fleet.toml: `[grants]` with `acme = [\"globex_shared\"]`";
    let others = [
        "acme.toml:3:11: networks.globex_default: `globex_default` belongs to customer globex; have it granted in fleet.toml: `[grants]` with `acme = [\"globex_default\"]`",
        "acme.toml:8:11: networks.own: `globex_own` belongs to customer globex; have it granted in fleet.toml: `[grants]` with `acme = [\"globex_own\"]`",
        "acme.toml:12:10: volumes.data: `globex_data` belongs to customer globex; have it granted in fleet.toml: `[grants]` with `acme = [\"globex_data\"]`",
    ];
    assert_eq!(under("", acme), [others[0], shared, others[1], others[2]]);
    assert_eq!(under("grants.acme = ['globex_shared']\n", acme), others);
    assert_eq!(under("grants.acme = ['globex_*']\n", acme), Vec::<String>::new());
    assert_eq!(under("grants.initech = ['globex_*']\n", acme).len(), 4);
}

#[test]
fn the_fleets_defaults_stand_beneath_what_specs_say() {
    let given = [
        ("fleet.toml", RULES.split("[grants]").next().unwrap().split_once("[defaults").unwrap().1),
        (
            "acme.toml",
            "[services]\na.image = 'a'\nb = { image = 'b', version = '^2' }\nc = { image = 'c', version = { min_age = '0s', exclude = [] } }\nd.image = 'd:1.2.3'\n",
        ),
    ];
    let rules = format!("[defaults{}", given[0].1);
    let loaded = load(&files(&[("fleet.toml", rules.as_str()), given[1]]));
    assert_eq!(lines(&loaded.diagnostics), Vec::<String>::new());
    let policy = |key: &str| match &loaded.customers["acme"].services[key].image {
        ImagePolicy::Highest { policy, .. } => policy.clone(),
        other => panic!("{other:?}"),
    };
    let defaults = loaded.fleet.as_ref().unwrap().version_defaults.clone();
    assert_eq!(policy("a"), defaults);
    assert_eq!(policy("b"), VersionPolicy { require: "^2".parse().unwrap(), ..defaults.clone() });
    assert_eq!(policy("c"), VersionPolicy { min_age: Duration::ZERO, exclude: Vec::new(), ..defaults });
}

#[test]
fn broken_rules_make_every_customer_invalid() {
    for (rules, expected) in [
        ("[forbid", "fleet.toml:1:8: invalid TOML: unclosed table, expected `]`"),
        ("alowed_images = []", "fleet.toml:1:1: alowed_images: unknown key; did you mean `allowed_images`?"),
        (
            "forbid = { docker_sock = true }",
            "fleet.toml:1:12: forbid.docker_sock: unknown key; did you mean `docker_socket`?",
        ),
        (
            "forbid.host_binds = 'yes'",
            "fleet.toml:1:21: forbid.host_binds: expected true or false, found a string; leave out the quotes",
        ),
        (
            "forbid.cap_add = 'ALL'",
            "fleet.toml:1:18: forbid.cap_add: expected a list of strings, found a string; write it in brackets: `['ALL']`",
        ),
        (
            "allowed_images = ['registry.example*']",
            "fleet.toml:1:19: allowed_images[0]: `registry.example*` is neither a repository nor a prefix of some; write \"registry.example.com/team/app\", or \"registry.example.com/team/*\"",
        ),
        (
            "allowed_images = ['${customer}/*']",
            "fleet.toml:1:20: allowed_images[0]: undefined variable `customer`; write `customer = \"…\"` under [vars], or `$${` for the text itself",
        ),
        (
            "limits.memory = 'much'",
            "fleet.toml:1:17: limits.memory: `much` is not a size; write e.g. \"64M\", \"1gb\" or \"512k\" (units b, k, m, g, t; 1024-based)",
        ),
        (
            "limits.replicas = -1",
            "fleet.toml:1:19: limits.replicas: -1 is out of range; a whole number, at least 0",
        ),
        (
            "defaults.version.require = '1'",
            "fleet.toml:1:18: defaults.version.require: this key does not belong here; each service says itself which versions it wants",
        ),
        (
            "grants.Acme = []",
            "fleet.toml:1:8: grants.Acme: not a customer name; lower-case letters, digits and `-`",
        ),
        (
            "grants.acme = ['shared*']",
            "fleet.toml:1:16: grants.acme[0]: `shared*` names nothing of a customer, and no volume; write e.g. \"globex_shared\", \"globex_*\", or the name of a volume",
        ),
        ("prune = 'no'", "fleet.toml:1:9: prune: expected true, false or a table, found a string"),
        ("prune.share = 2", "fleet.toml:1:15: prune.share: 2 is out of range; a share, 0 to 1"),
        (
            "waves = 1",
            "fleet.toml:1:1: waves: not yet: this key is promised but not built; leave it out for now",
        ),
    ] {
        let loaded = load(&files(&[("fleet.toml", rules), ("acme.toml", WEB), ("globex.toml", WEB)]));
        assert_eq!(lines(&loaded.diagnostics), [expected]);
        assert!(loaded.customers.is_empty() && loaded.fleet.is_none(), "{rules}");
        for name in ["acme", "globex"] {
            assert_eq!(lines(&loaded.invalid[name]), [expected], "{rules}");
        }
    }
}

#[test]
fn anothers_secrets_and_configs_are_not_to_be_named() {
    let spec = format!(
        "{WEB}\n[secrets.key]\nexternal = true\nname = \"globex_key-0123\"\n[configs.c]\nexternal = true\nname = \"globex_c\"\n"
    );
    let loaded = load(&files(&[("acme.toml", &spec), ("globex.toml", WEB)]));
    let found = lines(&loaded.invalid["acme"]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|line| line.contains("belongs to customer globex")), "{found:?}");
    let grant = "grants.acme = ['globex_key-*', 'globex_c']";
    let granted = load(&files(&[("acme.toml", &spec), ("globex.toml", WEB), ("fleet.toml", grant)]));
    assert!(granted.invalid.is_empty(), "{:?}", granted.invalid);
}

#[test]
fn nobody_shares_a_volume_unasked() {
    let with =
        |volume: &str| format!("[services.web]\nimage = 'app'\nvolumes = ['x:/x']\n[volumes.x]\n{volume}\n");
    let both = |rules: &str, acme: &str, globex: &str| {
        told(&[("fleet.toml", rules), ("acme.toml", &with(acme)), ("globex.toml", &with(globex))])
    };
    let said = |own: &str, other: &str, column: &str| {
        format!(
            "{own}.toml:4:{column}: volumes.x: customer {other} names the volume `data`, too; take another name, or have it granted in fleet.toml: `[grants]` with `{own} = [\"data\"]`"
        )
    };
    let (acme, globex) = (said("acme", "globex", "10"), said("globex", "acme", "10"));
    for other in ["name = 'data'", "name = 'data'\nexternal = true"] {
        assert_eq!(both("", "name = 'data'", other), [acme.clone(), globex.clone()], "{other}");
    }
    let spelt = globex.replace("data", "${d}ata");
    assert_eq!(both("", "name = 'data'", "name = \"${d}ata\"\n[vars]\nd = 'd'"), [acme, spelt]);
    assert_eq!(both("grants.acme = ['data']", "name = 'data'", "name = 'data'"), [globex]);
    let rules = "[grants]\nacme = ['data']\nglobex = ['data']";
    assert_eq!(both(rules, "name = 'data'", "name = 'data'"), [""; 0]);
    // Names of their own: each its `x`, or one that bears its name.
    assert_eq!(both("", "", ""), [""; 0]);
    assert_eq!(both("", "name = 'acme_data'", "name = 'globex_data'"), [""; 0]);
    let theirs = both("", "", "name = 'acme_x'");
    assert!(theirs.len() == 1 && theirs[0].contains("`acme_x` belongs to customer acme"), "{theirs:?}");
}
