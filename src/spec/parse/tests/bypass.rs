//! Ways around the rules of `fleet.toml` that somebody might try, and what each is told.

use super::*;

/// What is told of a customer `acme` under these rules, beside a customer `globex` and a template `base`.
fn told(rules: &str, base: &str, acme: &str) -> Vec<String> {
    let globex = "[services.web]\nimage = 'web'\n";
    let given =
        [("fleet.toml", rules), ("templates/base.toml", base), ("acme.toml", acme), ("globex.toml", globex)];
    lines(&load(&files(&given)).diagnostics)
}

#[track_caller]
fn refused(rules: &str, acme: &str, why: &str) {
    let found = told(rules, "", acme);
    assert!(
        found.iter().any(|line| line.starts_with("acme.toml") && line.contains(why)),
        "{acme}\n{found:#?}"
    );
    assert_eq!(told("", "", acme), Vec::<String>::new(), "it is the rule that refuses it: {acme}");
}

#[track_caller]
fn allowed(rules: &str, acme: &str) {
    let mut found = told(rules, "", acme);
    found.retain(|line| line.starts_with("acme.toml"));
    assert_eq!(found, Vec::<String>::new(), "{acme}");
}

fn mounting(mount: &str) -> String {
    format!("[services.web]\nimage = 'web'\nvolumes = [{mount}]\n")
}

fn volume(options: &str) -> String {
    format!("[services.web]\nimage = 'web'\nvolumes = ['v:/v']\n[volumes.v]\n{options}\n")
}

const SOCKET: &str = "forbid.docker_socket = true\n";
const BINDS: &str = "forbid.host_binds = true\n";

#[test]
fn no_way_leads_to_the_engines_socket() {
    let why = "gives the service the engine's socket";
    for mount in [
        "'/var/run/docker.sock:/s'",
        "'/run/docker.sock:/s:ro'",
        "'/var/run:/r'",
        "'/:/host:ro'",
        "'/srv/../var//run/./docker.sock:/s'",
        "'/proc/1/root/run/docker.sock:/s'",
        "'/proc/self/root:/host'",
        "'/opt/engine/docker.sock:/s'",
        "'/run/containerd/containerd.sock:/s'",
        "{ type = 'bind', source = '/var/run/docker.sock', target = '/s', bind = { propagation = 'rslave' } }",
        "{ type = 'npipe', source = '\\\\.\\pipe\\docker_engine', target = '\\\\.\\pipe\\x' }",
    ] {
        refused(SOCKET, &mounting(mount), why);
    }
    for options in [
        "driver_opts = { type = 'none', o = 'bind', device = '/var/run/docker.sock' }",
        "driver_opts = { o = 'ro,rbind', device = '/run' }",
        "driver = ''\ndriver_opts = { type = 'none', o = 'bind', device = '/run' }",
        "driver = 'local'\nname = 'shared'\ndriver_opts = { type = 'bind', device = '/' }",
        "driver_opts = { type = 'overlay', device = 'overlay', o = 'lowerdir=/etc:/var/run,upperdir=/u,workdir=/w' }",
        "driver_opts = { type = 'nfs', o = 'bind', device = '/var/run' }",
        "driver = 'local-persist'\ndriver_opts = { mountpoint = '/var/run' }",
    ] {
        refused(SOCKET, &volume(options), why);
    }
    for good in ["'/srv:/srv'", "'/proc:/host/proc:ro'", "'/var/lib/x:/x'", "'/data'"] {
        allowed(SOCKET, &mounting(good));
    }
}

#[test]
fn no_way_leads_to_a_path_of_the_node() {
    for options in [
        "driver_opts = { type = 'ext4', device = '/dev/sda1' }",
        "driver_opts = { type = 'proc', device = 'proc' }",
        "driver_opts = { type = 'devtmpfs', device = 'devtmpfs' }",
        "driver_opts = { type = 'overlay', device = 'overlay', o = 'lowerdir=/etc' }",
        "driver_opts = { type = 'tmpfs', o = 'bind', device = '/etc' }",
        "driver = 'local-persist'\ndriver_opts = { mountpoint = '/etc' }",
    ] {
        refused(BINDS, &volume(options), "is a path of the node, which `forbid.host_binds`");
    }
    for options in [
        "",
        "driver_opts = { type = 'nfs', o = 'addr=10.0.0.1,rw', device = ':/exports' }",
        "driver_opts = { type = 'cifs', o = 'username=x', device = '//server/share' }",
        "driver_opts = { type = 'tmpfs', device = 'tmpfs', o = 'size=64m' }",
        "driver_opts = { size = '10G' }",
        "driver = 'netshare'\ndriver_opts = { share = '//server/share' }",
        "external = true\nname = 'ops_data'",
    ] {
        allowed(BINDS, &volume(options));
    }
}

#[test]
fn values_count_as_they_are_in_the_end() {
    let why = "gives the service the engine's socket";
    let by_vars = "vars = { a = '/var/run', b = 'docker.sock' }\n[services.web]\nimage = 'web'\nvolumes = ['${a}/${b}:/s']\n";
    refused(SOCKET, by_vars, why);
    let base = "[services.web]\nimage = 'web'\nvolumes = ['v:/v']\n[volumes.v]\ndriver_opts = { o = 'bind', device = '${where}' }\n[services.web.deploy.resources.limits]\nmemory = '64M'\ncpus = 1\n";
    let found = told(SOCKET, base, "template = 'base'\nvars.where = '/run'\n");
    assert!(found[0].contains(why) && found[0].contains("in the template of acme.toml"), "{found:?}");
    // What a customer takes out of, or lays over, a template counts as well.
    let rules = "limits = { memory = '128M' }\n";
    let over = |more: &str| told(rules, base, &format!("template = 'base'\nvars.where = ':/x'\n{more}"));
    assert!(!over("").iter().any(|line| line.starts_with("acme")), "{:?}", over(""));
    for more in [
        "services.web.deploy.resources.limits.memory = 0",
        "services.web.deploy.resources.limits.memory = '1G'",
    ] {
        assert!(over(more).iter().any(|line| line.contains("limits.memory")), "{more}: {:?}", over(more));
    }
}

#[test]
fn other_rules_have_no_way_around_either() {
    let service = |more: &str| format!("[services.web]\nimage = 'web'\n{more}\n");
    for (rules, acme, why) in [
        (
            "required_labels = ['team']",
            service("deploy.labels = { team = ' ' }"),
            "the label `team` is missing",
        ),
        ("required_labels = ['team']", service("labels = { team = 'x' }"), "the label `team` is missing"),
        (
            "forbid.host_network = true",
            service("networks = ['x']\n[networks.x]\nexternal = true\nname = 'host'"),
            "own network",
        ),
        (
            "forbid.host_network = true",
            service("networks = ['x']\n[networks.x]\ndriver = 'host'"),
            "own network",
        ),
        ("forbid.host_network = true", service("[networks.default]\ndriver = 'macvlan'"), "own network"),
        ("forbid.privileged_ports = true", service("ports = ['1020-1030:80-90']"), "port 1020 is below 1024"),
        ("forbid.privileged_ports = true", service("ports = ['443:443/udp']"), "port 443 is below 1024"),
        (
            "forbid.privileged_ports = true",
            service("ports = [{ target = 80, published = '80' }]"),
            "port 80 is below 1024",
        ),
        (
            "forbid.host_ports = true",
            service("ports = [{ target = 80, mode = 'host' }]"),
            "by the node itself",
        ),
        ("forbid.cap_add = ['SYS_ADMIN']", service("cap_add = ['cap_sys_admin']"), "CAP_SYS_ADMIN"),
        ("forbid.cap_add = ['SYS_ADMIN']", service("cap_add = ['All']"), "`ALL`"),
        (
            "limits.replicas = 2",
            format!("vars.n = 3\n{}", service("deploy.replicas = '${n}'")),
            "${n} replicas",
        ),
        ("limits.replicas = 2", service("deploy = { mode = 'replicated-job', replicas = 3 }"), "3 replicas"),
        (
            "limits.replicas = 0",
            service("environment = ['A=${customer}', 'B=${C}']\n[vars]\nC = 'c'"),
            "1 replicas",
        ),
        ("limits.cpus = 1", service("deploy.resources.reservations.cpus = 1"), "`cpus` is not limited"),
        ("allowed_images = ['registry.example.com/saas/*']", service(""), "not among `allowed_images`"),
        (
            "allowed_images = ['registry.example.com/saas/*']",
            service("").replace("'web'", "'registry.example.com/saas-x/web'"),
            "not among `allowed_images`",
        ),
        (
            "allowed_images = ['registry.example.com/saas/*']",
            service("").replace("'web'", "'registry.example.com:443/saas/web'"),
            "not among `allowed_images`",
        ),
        (
            "allowed_images = ['saas/web']",
            service("").replace("'web'", "'evil.example.com/saas/web:1.2.3'"),
            "not among `allowed_images`",
        ),
    ] {
        refused(rules, &acme, why);
    }
    for image in ["index.docker.io/saas/web", "docker.io/saas/web", "saas/web:1.2.3"] {
        allowed("allowed_images = ['saas/web']", &service("").replace("'web'", &format!("'{image}'")));
    }
}

#[test]
fn nothing_of_anothers_can_be_named() {
    let service = |more: &str| format!("[services.web]\nimage = 'web'\n{more}\n");
    for (acme, why) in [
        (
            service("[networks.globex_default]\nexternal = true"),
            "`globex_default` belongs to customer globex",
        ),
        (service("[networks.n]\nname = 'globex_n'"), "`globex_n` belongs to customer globex"),
        (service("[volumes.globex_data]\nexternal = true"), "`globex_data` belongs to customer globex"),
        (service("[volumes.v]\nname = 'globex_${customer}'"), "`globex_acme` belongs"),
        (service("[secrets.globex_key]\nexternal = true"), "`globex_key` belongs to customer globex"),
        (
            service("[secrets.k]\nenvironment = 'X'\nname = 'globex_k'"),
            "`globex_k` belongs to customer globex",
        ),
        (service("[configs.c]\ncontent = 'x'\nname = 'globex_c'"), "`globex_c` belongs to customer globex"),
        (
            service(
                "networks = { traefik = { aliases = ['globex_web'] } }\n[networks.traefik]\nexternal = true",
            ),
            "the alias `globex_web` is a service's of customer globex",
        ),
    ] {
        let found = told("", "", &acme);
        assert!(found.iter().any(|line| line.contains(why)), "{acme}\n{found:#?}");
        let name = why.split('`').nth(1).unwrap();
        allowed(&format!("grants.acme = ['{name}']"), &acme);
    }
    // A service's key with a `_` in it is of its own customer all the same.
    allowed("", &service("").replace("services.web", "services.globex_web"));
}
