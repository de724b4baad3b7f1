//! The fields of a service's spec, in the engine's order.

use super::typed::Type::{Bool, Float, List, Struct as One, Text, TextMap, Texts};
use super::typed::{DURATION, Field, INT64, Struct, Type, UINT32, UINT64, always, given, opt, or_null};

const fn shape(name: &'static str, fields: &'static [Field]) -> Struct {
    Struct { name, fields }
}

pub static SERVICE_SPEC: Struct = shape(
    "ServiceSpec",
    &[
        always("Name", Text),
        always("Labels", TextMap),
        always("TaskTemplate", One(&TASK_SPEC)),
        always("Mode", One(&MODE)),
        given("UpdateConfig", One(&UPDATE_CONFIG)),
        given("RollbackConfig", One(&UPDATE_CONFIG)),
        opt("Networks", List(&ATTACHMENT)),
        given("EndpointSpec", One(&ENDPOINT_SPEC)),
    ],
);

static TASK_SPEC: Struct = shape(
    "TaskSpec",
    &[
        given("ContainerSpec", One(&CONTAINER_SPEC)),
        given("PluginSpec", TextMap),
        given("Resources", One(&RESOURCES)),
        given("RestartPolicy", One(&RESTART_POLICY)),
        given("Placement", One(&PLACEMENT)),
        opt("Networks", List(&ATTACHMENT)),
        given("LogDriver", One(&DRIVER)),
        always("ForceUpdate", UINT64),
        opt("Runtime", Text),
    ],
);

static CONTAINER_SPEC: Struct = shape(
    "ContainerSpec",
    &[
        opt("Image", Text),
        opt("Labels", TextMap),
        opt("Command", Texts),
        opt("Args", Texts),
        opt("Hostname", Text),
        opt("Env", Texts),
        opt("Dir", Text),
        opt("User", Text),
        opt("Groups", Texts),
        given("Privileges", One(&PRIVILEGES)),
        given("Init", Bool),
        opt("StopSignal", Text),
        opt("TTY", Bool),
        opt("OpenStdin", Bool),
        opt("ReadOnly", Bool),
        opt("Mounts", List(&MOUNT)),
        given("StopGracePeriod", DURATION),
        given("Healthcheck", One(&HEALTHCHECK)),
        opt("Hosts", Texts),
        given("DNSConfig", One(&DNS_CONFIG)),
        opt("Secrets", List(&SECRET)),
        opt("Configs", List(&CONFIG)),
        opt("Isolation", Text),
        opt("Sysctls", TextMap),
        opt("CapabilityAdd", Texts),
        opt("CapabilityDrop", Texts),
        opt("Ulimits", List(&ULIMIT)),
    ],
);

static PRIVILEGES: Struct = shape(
    "Privileges",
    &[or_null("CredentialSpec", One(&CREDENTIAL)), or_null("SELinuxContext", One(&SELINUX))],
);
static CREDENTIAL: Struct =
    shape("CredentialSpec", &[always("Config", Text), always("File", Text), always("Registry", Text)]);
static SELINUX: Struct = shape(
    "SELinuxContext",
    &[
        always("Disable", Bool),
        always("User", Text),
        always("Role", Text),
        always("Type", Text),
        always("Level", Text),
    ],
);

static MOUNT: Struct = shape(
    "Mount",
    &[
        opt("Type", Text),
        opt("Source", Text),
        opt("Target", Text),
        opt("ReadOnly", Bool),
        given("BindOptions", One(&BIND)),
        given("VolumeOptions", One(&VOLUME)),
        given("TmpfsOptions", One(&TMPFS)),
    ],
);
static BIND: Struct = shape("BindOptions", &[opt("Propagation", Text), opt("NonRecursive", Bool)]);
static VOLUME: Struct = shape(
    "VolumeOptions",
    &[opt("NoCopy", Bool), opt("Labels", TextMap), given("DriverConfig", One(&DRIVER))],
);
static TMPFS: Struct = shape("TmpfsOptions", &[opt("SizeBytes", INT64), opt("Mode", FILE_MODE)]);

static HEALTHCHECK: Struct = shape(
    "HealthConfig",
    &[
        opt("Test", Texts),
        opt("Interval", DURATION),
        opt("Timeout", DURATION),
        opt("StartPeriod", DURATION),
        opt("Retries", Type::Int("int")),
    ],
);
static DNS_CONFIG: Struct =
    shape("DNSConfig", &[opt("Nameservers", Texts), opt("Search", Texts), opt("Options", Texts)]);

const FILE_MODE: Type = Type::Uint("os.FileMode", u32::MAX as u64);
static TARGET: Struct = shape(
    "FileTarget",
    &[always("Name", Text), always("UID", Text), always("GID", Text), always("Mode", FILE_MODE)],
);
static SECRET: Struct = shape(
    "SecretReference",
    &[or_null("File", One(&TARGET)), always("SecretID", Text), always("SecretName", Text)],
);
static CONFIG: Struct = shape(
    "ConfigReference",
    &[
        given("File", One(&TARGET)),
        given("Runtime", One(&NOTHING)),
        always("ConfigID", Text),
        always("ConfigName", Text),
    ],
);
static NOTHING: Struct = shape("ConfigReferenceRuntimeTarget", &[]);
static ULIMIT: Struct =
    shape("Ulimit", &[always("Name", Text), always("Hard", INT64), always("Soft", INT64)]);

static RESOURCES: Struct =
    shape("ResourceRequirements", &[given("Limits", One(&LIMIT)), given("Reservations", One(&RESERVATION))]);
static LIMIT: Struct =
    shape("Limit", &[opt("NanoCPUs", INT64), opt("MemoryBytes", INT64), opt("Pids", INT64)]);
static RESERVATION: Struct = shape(
    "Resources",
    &[opt("NanoCPUs", INT64), opt("MemoryBytes", INT64), opt("GenericResources", List(&GENERIC))],
);
static GENERIC: Struct = shape(
    "GenericResource",
    &[given("NamedResourceSpec", One(&NAMED)), given("DiscreteResourceSpec", One(&DISCRETE))],
);
static NAMED: Struct = shape("NamedGenericResource", &[opt("Kind", Text), opt("Value", Text)]);
static DISCRETE: Struct = shape("DiscreteGenericResource", &[opt("Kind", Text), opt("Value", INT64)]);

static RESTART_POLICY: Struct = shape(
    "RestartPolicy",
    &[
        opt("Condition", Text),
        given("Delay", DURATION),
        always("MaxAttempts", UINT64),
        given("Window", DURATION),
    ],
);

static PLACEMENT: Struct = shape(
    "Placement",
    &[
        opt("Constraints", Texts),
        opt("Preferences", List(&PREFERENCE)),
        opt("MaxReplicas", UINT64),
        opt("Platforms", List(&PLATFORM)),
    ],
);
static PREFERENCE: Struct = shape("PlacementPreference", &[or_null("Spread", One(&SPREAD))]);
static SPREAD: Struct = shape("SpreadOver", &[always("SpreadDescriptor", Text)]);
static PLATFORM: Struct = shape("Platform", &[opt("Architecture", Text), opt("OS", Text)]);

static ATTACHMENT: Struct = shape(
    "NetworkAttachmentConfig",
    &[opt("Target", Text), opt("Aliases", Texts), opt("DriverOpts", TextMap)],
);
static DRIVER: Struct = shape("Driver", &[opt("Name", Text), opt("Options", TextMap)]);

static MODE: Struct = shape(
    "ServiceMode",
    &[
        given("Replicated", One(&REPLICATED)),
        given("Global", One(&GLOBAL)),
        given("ReplicatedJob", One(&REPLICATED_JOB)),
        given("GlobalJob", One(&GLOBAL_JOB)),
    ],
);
static REPLICATED: Struct = shape("ReplicatedService", &[given("Replicas", UINT64)]);
static GLOBAL: Struct = shape("GlobalService", &[]);
static REPLICATED_JOB: Struct =
    shape("ReplicatedJob", &[given("MaxConcurrent", UINT64), given("TotalCompletions", UINT64)]);
static GLOBAL_JOB: Struct = shape("GlobalJob", &[]);

static UPDATE_CONFIG: Struct = shape(
    "UpdateConfig",
    &[
        always("Parallelism", UINT64),
        opt("Delay", DURATION),
        opt("FailureAction", Text),
        opt("Monitor", DURATION),
        always("MaxFailureRatio", Float),
        opt("Order", Text),
    ],
);

static ENDPOINT_SPEC: Struct = shape("EndpointSpec", &[opt("Mode", Text), opt("Ports", List(&PORT))]);
static PORT: Struct = shape(
    "PortConfig",
    &[
        opt("Name", Text),
        opt("Protocol", Text),
        opt("TargetPort", UINT32),
        opt("PublishedPort", UINT32),
        opt("PublishMode", Text),
    ],
);
