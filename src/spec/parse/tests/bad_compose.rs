//! Faulty Compose keys: the exact place and key of every error.

use super::bad::check_service;

#[test]
fn service() {
    check_service(
        r#"adopt = 'true'
on_failure = 'rolback'
onfailure = 1
replicas = 2
prerelease = true
secrets = []
build = '.'
restart = 'always'
env_file = []
verson = '1'
depends_on=[]
container_name='x'
links=[]"#,
        &[
            "3:9 services.web.adopt: expected true or false, found a string",
            r#"4:14 services.web.on_failure: "rolback" is not one of "rollback", "hold""#,
            "5:1 services.web.onfailure: unknown key",
            "6:1 services.web.replicas: unknown key",
            "7:1 services.web.prerelease: unknown key",
            "9:1 services.web.build: Swarm ignores this key",
            "10:1 services.web.restart: Swarm ignores this key",
            "12:1 services.web.verson: unknown key",
            "13:1 services.web.depends_on: Swarm ignores this key",
            "14:1 services.web.container_name: Swarm ignores this key",
            "15:1 services.web.links: Swarm ignores this key",
        ],
    );
    check_service(
        r#"environment = ['A=1', 'A=2', '=x', 5]
labels = {'skep.x' = 1, 'com.docker.stack.namespace' = 'x', '' = 'y', 'skepper' = 'fine'}
deploy.labels = ['skep.customer=x', 'a=b']"#,
        &[
            "3:23 services.web.environment[1]: `A` stands here twice",
            "3:30 services.web.environment[2]: not a variable name",
            "3:36 services.web.environment[3]: expected a string, found an integer",
            r#"4:11 services.web.labels."skep.x": labels beginning with `skep.` cannot be set"#,
            r#"4:25 services.web.labels."com.docker.stack.namespace": labels beginning with `com.docker.stack.` cannot be set"#,
            r#"4:61 services.web.labels."": the label has no name"#,
            "5:18 services.web.deploy.labels[0]: labels beginning with `skep.` cannot be set",
        ],
    );
    check_service(
        r#"environment = {'A=B' = 'x', '' = 'x', C = [], D = "\u0000", E = 2026-01-01}"#,
        &[
            r#"3:16 services.web.environment."A=B": not a variable name"#,
            r#"3:29 services.web.environment."": not a variable name"#,
            "3:43 services.web.environment.C: expected a string, number or boolean, found a list",
            "3:47 services.web.environment.D: the value has a NUL character",
            "3:65 services.web.environment.E: expected a string, number or boolean, found a date or time",
        ],
    );
    check_service(
        r#"environment = 'A=1'
labels = 5"#,
        &[
            r#"3:15 services.web.environment: expected a table or a list of "KEY=VALUE", found a string"#,
            r#"4:10 services.web.labels: expected a table or a list of "KEY=VALUE", found an integer"#,
        ],
    );
    check_service(
        r#"command = 'a && b'
entrypoint = "x 'y""#,
        &[
            "3:11 services.web.command: `&` needs a shell, and none runs this",
            "4:14 services.web.entrypoint: a single quote is not closed",
        ],
    );
    check_service(
        r#"command = 5
entrypoint = ['a', 5]"#,
        &[
            "3:11 services.web.command: expected a string or a list of strings, found an integer",
            "4:20 services.web.entrypoint[1]: expected a string, found an integer",
        ],
    );
    check_service(
        r#"[services.web.healthcheck]
test = []
interval = 10
timeout = '1d'
start_period = '1ns'
retries = -1
disable = 'yes'
start_interval = '1s'
tets = 1"#,
        &[
            "4:8 services.web.healthcheck.test: not a health check",
            "5:12 services.web.healthcheck.interval: expected a duration, found an integer",
            "6:11 services.web.healthcheck.timeout: `1d` is not a duration",
            "7:16 services.web.healthcheck.start_period: the time is too short",
            "8:11 services.web.healthcheck.retries: -1 is out of range",
            "9:11 services.web.healthcheck.disable: expected true or false, found a string",
            "10:1 services.web.healthcheck.start_interval: not yet: this key is promised but not built",
            "11:1 services.web.healthcheck.tets: unknown key",
        ],
    );
    check_service(
        "healthcheck = { test = 'x', disable = true }",
        &["3:39 services.web.healthcheck.disable: `disable` and `test` exclude each other"],
    );
    check_service(
        "healthcheck = { test = ['curl', 'x'] }",
        &["3:24 services.web.healthcheck.test: not a health check"],
    );
    check_service(
        "healthcheck = 'curl'",
        &["3:15 services.web.healthcheck: expected a table, found a string"],
    );
}

#[test]
fn networks() {
    check_service(
        r#"networks = ['trafik', 'default', 'x', 'traefik', 'traefik']
[networks.traefik]
external = true"#,
        &[
            "3:13 services.web.networks[0]: there is no network `trafik` under [networks]",
            "3:34 services.web.networks[2]: there is no network `x` under [networks]",
            "3:50 services.web.networks[4]: the network stands here twice",
        ],
    );
    check_service(
        r#"networks = { traefik = { alias = ['x'], aliases = ['a b'], ipv4_address = '1.2.3.4' }, x = 5 }
[networks.traefik]
external = true
name = '-x'"#,
        &[
            "3:26 services.web.networks.traefik.alias: unknown key",
            "3:52 services.web.networks.traefik.aliases[0]: not an alias",
            "3:60 services.web.networks.traefik.ipv4_address: Swarm ignores this key",
            "3:88 services.web.networks.x: there is no network `x` under [networks]",
            "3:92 services.web.networks.x: expected a table, found an integer",
            "6:8 networks.traefik.name: `-x` is not a network name",
        ],
    );
    check_service(
        r#"[networks.a]
[networks.b]
external = true
driver = 'overlay'
[networks.'c d']
external = true
[networks.e]
external='true'
[networks.f]
name = 'host'
ipam = { config = [{ subnet = '10.0.0.0' }, { gateway = '10.0.0.1' }], options = {} }
enable_ipv6 = true"#,
        &[
            "6:10 networks.b.driver: an external network is made by somebody else",
            "7:11 networks.\"c d\": not a network key",
            "10:10 networks.e.external: expected true or false, found a string",
            "12:8 networks.f.name: every engine has a network `host` of its own",
            "13:31 networks.f.ipam.config[0].subnet: `10.0.0.0` is not a subnet",
            "13:45 networks.f.ipam.config[1]: `subnet` is missing",
            "13:47 networks.f.ipam.config[1].gateway: this key does not belong here",
            "13:72 networks.f.ipam.options: this key does not belong here",
            "14:1 networks.f.enable_ipv6: this key does not belong here",
        ],
    );
}

#[test]
fn ports() {
    check_service(
        "ports = ['127.0.0.1:80:80', '70000', 0, -1, 1.5, true, 'x', '90-80', '80/icmp', '80:80', '80:81', {published = 5, host_ip = 'x'}, {target = 0, mode = 'hots', protocol='TCP', published = '1-2'}]",
        &[
            "3:10 services.web.ports[0]: `127.0.0.1:80:80` is not a port: Swarm ignores a host address",
            "3:29 services.web.ports[1]: `70000` is not a port: `70000` is not a number up to 65535",
            "3:38 services.web.ports[2]: 0 is out of range",
            "3:41 services.web.ports[3]: -1 is out of range",
            "3:45 services.web.ports[4]: expected a number, a string or a table, found a float",
            "3:50 services.web.ports[5]: expected a number, a string or a table, found a boolean",
            "3:56 services.web.ports[6]: `x` is not a port: `x` is not a number up to 65535",
            "3:61 services.web.ports[7]: `90-80` is not a port: the range runs backwards",
            "3:70 services.web.ports[8]: `80/icmp` is not a port: the protocol is not tcp, udp or sctp",
            "3:90 services.web.ports[10]: port 80 is published twice",
            "3:99 services.web.ports[11]: `target` is missing",
            "3:115 services.web.ports[11].host_ip: Swarm ignores this key",
            "3:141 services.web.ports[12].target: 0 is out of range",
            r#"3:151 services.web.ports[12].mode: "hots" is not one of "ingress", "host""#,
            r#"3:168 services.web.ports[12].protocol: "TCP" is not one of "tcp", "udp", "sctp""#,
            "3:187 services.web.ports[12].published: a range cannot stand here",
        ],
    );
    check_service("ports = '80'", &["3:9 services.web.ports: expected a list of ports, found a string"]);
    check_service("ports = ['1-65535:1-65535']", &["3:10 services.web.ports[0]: more than 1000 ports"]);
}

#[test]
fn deploy() {
    check_service(
        r#"[services.web.deploy]
mode = 'replicate'
replicas = '2'
endpoint_mode = 'dns'
update_config = { paralellism = 1, delay = '10', failure_action = 'stop', max_failure_ratio = 1.5, order = 'start_first' }
rollback_config = { failure_action = 'rollback', max_failure_ratio = 'x' }
restart_policy = { condition = 'always' }
placement = { constraints = ['node.role = x', 'role == manager', 'node.role == boss', 'node.id =='], preferences = [{}, { spread = 'x', by = 1 }] }
resources = { limits = { cpus = 'half', memory = '64X', cpu = 1 }, reservations = { cpus = 0.0001, memory = '1M', pids = 5, generic_resources = [{}, { discrete_resource_spec = { kind = 'gpu' } }] } }
replica = 1"#,
        &[
            r#"4:8 services.web.deploy.mode: "replicate" is not one of "replicated", "global", "replicated-job", "global-job""#,
            "5:12 services.web.deploy.replicas: expected a whole number, found a string",
            r#"6:17 services.web.deploy.endpoint_mode: "dns" is not one of "vip", "dnsrr""#,
            "7:19 services.web.deploy.update_config.paralellism: unknown key",
            "7:44 services.web.deploy.update_config.delay: `10` is not a duration",
            r#"7:67 services.web.deploy.update_config.failure_action: "stop" is not one of "pause", "continue", "rollback""#,
            "7:95 services.web.deploy.update_config.max_failure_ratio: 1.5 is out of range",
            r#"7:108 services.web.deploy.update_config.order: "start_first" is not one of "stop-first", "start-first""#,
            r#"8:38 services.web.deploy.rollback_config.failure_action: "rollback" is not one of "pause", "continue""#,
            "8:70 services.web.deploy.rollback_config.max_failure_ratio: expected a number, found a string",
            r#"9:32 services.web.deploy.restart_policy.condition: "always" is not one of "none", "on-failure", "any""#,
            "10:30 services.web.deploy.placement.constraints[0]: `node.role = x` is not a constraint: there is no `==` or `!=`",
            "10:47 services.web.deploy.placement.constraints[1]: `role == manager` is not a constraint: nodes have id, hostname, ip, role, platform.os, platform.arch and labels.…",
            "10:66 services.web.deploy.placement.constraints[2]: `node.role == boss` is not a constraint: the role is manager or worker",
            "10:87 services.web.deploy.placement.constraints[3]: `node.id ==` is not a constraint: there is nothing after the operator",
            "10:117 services.web.deploy.placement.preferences[0]: `spread` is missing",
            "10:137 services.web.deploy.placement.preferences[1].by: unknown key",
            "11:33 services.web.deploy.resources.limits.cpus: `half` is not CPUs",
            "11:50 services.web.deploy.resources.limits.memory: `64X` is not a size",
            "11:57 services.web.deploy.resources.limits.cpu: unknown key",
            "11:92 services.web.deploy.resources.reservations.cpus: `0.0001` is too small for Swarm",
            "11:109 services.web.deploy.resources.reservations.memory: `1M` is too small for Swarm",
            "11:115 services.web.deploy.resources.reservations.pids: this key does not belong here",
            "11:146 services.web.deploy.resources.reservations.generic_resources[0]: `discrete_resource_spec` is missing",
            "11:177 services.web.deploy.resources.reservations.generic_resources[1].discrete_resource_spec: `kind` and `value` belong together",
            "12:1 services.web.deploy.replica: unknown key",
        ],
    );
    check_service(
        "deploy = { mode = 'global', replicas = 2, placement.max_replicas_per_node = 1 }",
        &[
            "3:40 services.web.deploy.replicas: a global service has no replicas: it runs once a node",
            "3:77 services.web.deploy.placement.max_replicas_per_node: a global service runs once a node anyway",
        ],
    );
    check_service(
        "deploy = { mode = 'global-job', update_config = {}, rollback_config = {}, restart_policy.condition = 'any' }",
        &[
            "3:33 services.web.deploy.update_config: a job has no updates",
            "3:53 services.web.deploy.rollback_config: a job has no rollbacks",
            "3:102 services.web.deploy.restart_policy.condition: a job that is restarted whenever it ends never completes",
        ],
    );
    check_service(
        r#"deploy.endpoint_mode = 'dnsrr'
ports = [80]"#,
        &["3:24 services.web.deploy.endpoint_mode: ports in ingress mode need the endpoint mode vip"],
    );
}

#[test]
fn containers() {
    check_service(
        r#"stop_grace_period = 5
init = 'yes'
cap_add = ['NET ADMIN']
dns = ['ns.example.com']
extra_hosts = ['nohost', 'a:b']
sysctls = ['x']
ulimits = { nofile = { soft = 5, hard = 4 }, nproc = -2, core = { soft = 1 } }
logging = { drivr = 'x', options = ['a=b'] }
credential_spec = { file = 'a', registry = 'b' }
isolation = 'hyper'"#,
        &[
            "3:21 services.web.stop_grace_period: expected a duration, found an integer",
            "4:8 services.web.init: expected true or false, found a string",
            "5:12 services.web.cap_add[0]: `NET ADMIN` is not a capability",
            "6:8 services.web.dns[0]: `ns.example.com` is not an IP address",
            "7:16 services.web.extra_hosts[0]: `nohost` has no `:`",
            "7:26 services.web.extra_hosts[1]: `b` is not an IP address",
            "8:12 services.web.sysctls[0]: not a kernel parameter",
            "9:22 services.web.ulimits.nofile: `soft` is above `hard`",
            "9:54 services.web.ulimits.nproc: -2 is out of range",
            "9:65 services.web.ulimits.core: `soft` and `hard` belong together",
            "10:13 services.web.logging.drivr: unknown key",
            "10:36 services.web.logging.options: expected a table, found a list",
            "11:19 services.web.credential_spec: exactly one of `file`, `registry` and `config`",
            "12:13 services.web.isolation: \"hyper\" is not one of \"default\", \"process\", \"hyperv\"",
        ],
    );
}

#[test]
fn mounts() {
    check_service(
        r#"volumes = ['data:/data', './rel:/x', '/h:/h:rw,exec', 'a:b:c:d', '/:/', { type = 'bind', target = '/y' }, { type = 'tmpfs', source = 'x', target = '/z', bind = {} }, { target = 'rel' }, '/own', { type = 'volume', source = '/abs', target = '/own' }]
tmpfs = ['/run:mode=1777', '/own']"#,
        &[
            "3:12 services.web.volumes[0]: there is no volume `data` under [volumes]",
            "3:26 services.web.volumes[1]: `./rel` is a relative path",
            "3:38 services.web.volumes[2]: unknown option `exec`",
            "3:55 services.web.volumes[3]: `a:b:c:d` is not a mount",
            "3:66 services.web.volumes[4]: `/` cannot be mounted at",
            "3:73 services.web.volumes[5]: `source` is missing",
            "3:134 services.web.volumes[6].source: memory has no source",
            "3:161 services.web.volumes[6].bind: these options are of another `type`",
            "3:167 services.web.volumes[7]: `type` is missing",
            "3:195 services.web.volumes[9]: something else is mounted at `/own`",
            "3:223 services.web.volumes[9].source: there is no volume `/abs` under [volumes]",
            "4:10 services.web.tmpfs[0]: unknown option `mode=1777`",
            "4:28 services.web.tmpfs[1]: something else is mounted at `/own`",
        ],
    );
}

/// The keys of a service that the docker CLI knows and does not obey, by its own lists
/// (docker/cli's `cli/compose/types`): ignored, out of date, and forbidden; and `depends_on`,
/// which it reads in silence.
#[test]
fn what_the_docker_cli_does_not_obey_is_an_error() {
    const UNSUPPORTED: [&str; 16] = [
        "build",
        "cgroupns_mode",
        "cgroup_parent",
        "devices",
        "domainname",
        "external_links",
        "ipc",
        "links",
        "mac_address",
        "network_mode",
        "pid",
        "privileged",
        "restart",
        "security_opt",
        "shm_size",
        "userns_mode",
    ];
    const DEPRECATED: [&str; 2] = ["container_name", "expose"];
    const FORBIDDEN: [&str; 8] = [
        "extends",
        "volume_driver",
        "volumes_from",
        "cpu_quota",
        "cpu_shares",
        "cpuset",
        "mem_limit",
        "memswap_limit",
    ];
    for key in UNSUPPORTED.iter().chain(&DEPRECATED).chain(&FORBIDDEN).chain(&["depends_on", "profiles"]) {
        for value in ["'x'", "['x']", "{ x = 'y' }", "true", "1"] {
            let error = format!("3:1 services.web.{key}: Swarm ignores this key");
            check_service(&format!("{key} = {value}"), &[&error]);
        }
    }
}
