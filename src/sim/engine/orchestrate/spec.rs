//! Reads what matters here from raw specs, with Swarm's defaults.

use std::time::Duration;

use serde_json::Value;

use crate::sim::engine::state::Service;

/// Of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Replicated { replicas: u64 },
    Global,
    ReplicatedJob { concurrent: u64, completions: u64 },
    GlobalJob,
}

impl Mode {
    pub(super) fn of(service: &Service) -> Self {
        let mode = service.object.spec.get("Mode");
        let part = |name: &str| mode.and_then(|mode| mode.get(name)).filter(|part| !part.is_null());
        if part("Global").is_some() {
            return Mode::Global;
        }
        if part("GlobalJob").is_some() {
            return Mode::GlobalJob;
        }
        if let Some(job) = part("ReplicatedJob") {
            let concurrent = number(job, "MaxConcurrent").unwrap_or(1);
            return Mode::ReplicatedJob {
                concurrent,
                completions: number(job, "TotalCompletions").unwrap_or(concurrent),
            };
        }
        let replicas = part("Replicated").and_then(|replicated| number(replicated, "Replicas"));
        Mode::Replicated { replicas: replicas.unwrap_or(1) }
    }

    /// One task a node, not so many tasks.
    pub(super) fn per_node(self) -> bool {
        matches!(self, Mode::Global | Mode::GlobalJob)
    }

    pub(super) fn job(self) -> bool {
        matches!(self, Mode::ReplicatedJob { .. } | Mode::GlobalJob)
    }
}

pub(super) fn template(service: &Service) -> Value {
    service.object.spec.get("TaskTemplate").cloned().unwrap_or_default()
}

/// Null if there is none.
pub(super) fn endpoint(service: &Service) -> Value {
    service.object.spec.get("EndpointSpec").cloned().unwrap_or_default()
}

/// `ContainerSpec.Image` of a task's template.
pub(super) fn image(template: &Value) -> &str {
    template.pointer("/ContainerSpec/Image").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn constraints(template: &Value) -> Vec<String> {
    let list = template.pointer("/Placement/Constraints").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

/// Nanoseconds.
pub(super) fn duration(value: &Value, key: &str) -> Option<Duration> {
    number(value, key).map(Duration::from_nanos)
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `RestartPolicy` of a task's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RestartPolicy {
    pub condition: Condition,
    pub delay: Duration,
    /// 0: without end.
    pub attempts: u64,
    /// In which attempts are counted; `None`: since ever.
    pub window: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Any,
    OnFailure,
    None,
}

impl RestartPolicy {
    pub(super) fn of(template: &Value) -> Self {
        let policy = template.get("RestartPolicy").unwrap_or(&Value::Null);
        RestartPolicy {
            condition: match text(policy, "Condition") {
                "none" => Condition::None,
                "on-failure" => Condition::OnFailure,
                _ => Condition::Any,
            },
            delay: duration(policy, "Delay").unwrap_or(Duration::from_secs(5)),
            attempts: number(policy, "MaxAttempts").unwrap_or(0),
            window: duration(policy, "Window").filter(|window| !window.is_zero()),
        }
    }
}

/// `UpdateConfig` or `RollbackConfig`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UpdateConfig {
    /// 0: all at once.
    pub parallelism: usize,
    pub delay: Duration,
    pub monitor: Duration,
    pub max_failure_ratio: f64,
    pub on_failure: FailureAction,
    pub start_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureAction {
    Pause,
    Continue,
    Rollback,
}

impl UpdateConfig {
    /// `key` is `UpdateConfig` or `RollbackConfig`.
    pub(super) fn of(service: &Service, key: &str) -> Self {
        let config = service.object.spec.get(key).filter(|config| !config.is_null());
        let parallelism = match config {
            Some(config) => number(config, "Parallelism").unwrap_or(0),
            None => 1,
        };
        let config = config.unwrap_or(&Value::Null);
        UpdateConfig {
            parallelism: usize::try_from(parallelism).unwrap_or(usize::MAX),
            delay: duration(config, "Delay").unwrap_or_default(),
            monitor: duration(config, "Monitor")
                .filter(|monitor| !monitor.is_zero())
                .unwrap_or(Duration::from_secs(5)),
            max_failure_ratio: config.get("MaxFailureRatio").and_then(Value::as_f64).unwrap_or(0.0),
            on_failure: match text(config, "FailureAction") {
                "continue" => FailureAction::Continue,
                "rollback" => FailureAction::Rollback,
                _ => FailureAction::Pause,
            },
            start_first: text(config, "Order") == "start-first",
        }
    }
}
