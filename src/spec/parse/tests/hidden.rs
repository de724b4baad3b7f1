//! What variables hold is in no message, whatever is wrong with it: it may be a secret, whatever the variable is called.

use super::*;

/// Words that no message may have, in shapes that end up in different errors.
const VALUES: &[&str] = &[
    "hunter2",
    "hunter2:x:y:z",
    "hunter2=1",
    "hunter2,hunter2",
    "../hunter2",
    "/x:hunter2",
    "9hunter2",
    "hunter2 x",
];

/// A value that comes from a variable, in every place where a reader wants more than a text.
const PLACES: &[&str] = &[
    "image = 'app:${v}'",
    "image = '${v}'",
    "image = 'app:${v}'\nversion = '^1'",
    "version = '${v}'",
    "version.require = '>=${v}'",
    "version.exclude = ['${v}']",
    "version.min_age = '${v}'",
    "version.prerelease = ['${v}']",
    "version.tags = '${v}'",
    "version.retag = '${v}'",
    "version.downgrade = '${v}'",
    "adopt = '${v}'",
    "on_failure = '${v}'",
    "after = ['${v}']",
    "env_file = '${v}'",
    "env_file = ['../../${v}']",
    "environment = ['A=1', '${v}', '${v}']",
    "command = '\"${v}'",
    "labels = ['skep.${v}', '${v}', '${v}']",
    "healthcheck = { test = ['${v}'], interval = '${v}', retries = '${v}' }",
    "networks = ['${v}']",
    "networks = { default = { aliases = ['a b${v}'] } }",
    "ports = ['${v}', '${v}:80']",
    "ports = [{ target = '${v}', published = '${v}', protocol = '${v}', mode = '${v}' }]",
    "secrets = ['${v}']",
    "configs = [{ source = '${v}', uid = '${v}', gid = '${v}', mode = '${v}' }]",
    "secrets = [{ source = 's', target = '${v}' }, { source = 's', target = '${v}' }]",
    "volumes = ['${v}', '${v}:/x', '/x:${v}', '/x:/y:${v}', './${v}:/z']",
    "volumes = [{ type = '${v}', source = '${v}', target = '${v}' }]",
    "volumes = [{ type = 'volume', source = '${v}', target = '${v}' }, { type = 'bind', source = '${v}', target = '/y' }]",
    "volumes = [{ type = 'tmpfs', target = '/${v}', tmpfs = { size = '${v}' } }, { type = 'tmpfs', target = '/${v}' }]",
    "tmpfs = ['${v}', '/run:${v}', '/tmp:size=${v}']",
    "isolation = '${v}'",
    "cap_add = ['${v}']",
    "dns = '${v}'",
    "extra_hosts = ['${v}', 'a:${v}']",
    "extra_hosts = { a = '${v}' }",
    "sysctls = ['${v}']",
    "ulimits = { nofile = '${v}' }",
    "stop_grace_period = '${v}'",
    "init = '${v}'",
    "credential_spec = { config = '${v}' }",
    "deploy = { replicas = '${v}', mode = '${v}', endpoint_mode = '${v}' }",
    "deploy.update_config = { parallelism = '${v}', order = '${v}', delay = '${v}', max_failure_ratio = '${v}' }",
    "deploy.restart_policy = { condition = '${v}', delay = '${v}', window = '${v}' }",
    "deploy.placement = { constraints = ['${v}', 'node.role == ${v}'], max_replicas_per_node = '${v}' }",
    "deploy.resources.limits = { cpus = '${v}', memory = '${v}', pids = '${v}' }",
    "[networks.n]\nname = '${v}'\nipam.config = [{ subnet = '${v}' }]",
    "[networks.n]\nexternal = '${v}'",
    "[volumes.n]\nname = '${v}'",
    "[secrets.n]\nexternal = true\nname = '${v}'",
    "[secrets.n]\nenvironment = '${v}'",
    "[secrets.n]\nfile = '${v}'",
    "[configs.n]\nfile = '../${v}'",
];

#[test]
fn what_variables_hold_is_in_no_message() {
    let mut faulty = 0;
    for value in VALUES {
        for place in PLACES {
            let image = if place.starts_with("image") { "" } else { "image = 'app'\n" };
            let text = format!(
                "[vars]\nv = '{value}'\n[secrets.s]\nexternal = true\n[services.web]\n{image}{place}\n"
            );
            // Nothing is there, so that files and variables are told of too.
            let loaded = load_with(&files(&[("acme.toml", &text)]), &super::secrets::Given(&[]));
            for line in lines(&loaded.diagnostics) {
                assert!(!line.contains("unter2"), "{place}: {line}");
            }
            faulty += usize::from(!loaded.diagnostics.is_empty());
        }
    }
    assert!(faulty > VALUES.len() * PLACES.len() / 2, "{faulty}: hardly anything was wrong");
}

#[test]
fn the_variable_is_named_and_what_was_expected() {
    let said = |line: &str| {
        let text = format!("[vars]\nv = 'hunter2'\n[services.web]\nimage = 'app'\n{line}\n");
        lines(&load(&files(&[("acme.toml", &text)])).diagnostics)
    };
    assert_eq!(
        said("dns = '${v}'"),
        ["acme.toml:5:7: services.web.dns: `${v}` is not an IP address; e.g. \"10.0.0.53\""]
    );
    assert_eq!(
        said("ports = ['8080:${v}']"),
        [
            "acme.toml:5:10: services.web.ports[0]: `8080:${v}` is not a port; write e.g. \"8080:80\", \"53:53/udp\", \"8000-8010:80-90\" or 80"
        ]
    );
    // The customer's name is no secret.
    let text = "[services.web]\nimage = 'app'\ndns = '${customer}'\n";
    let said = lines(&load(&files(&[("acme.toml", text)])).diagnostics);
    assert!(said[0].contains("`acme` is not an IP address"), "{said:?}");
}
