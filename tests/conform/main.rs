//! Conformance: the same sequences of API calls on a real dockerd and docker-registry (`tests/bed`) and on the
//! embedded ones (`src/sim`); whatever differs in status, message, object, event or outcome is a failure, or stands
//! in `exceptions.toml` with its reason.
//!
//! - `SKEP_CONFORM_API`, `SKEP_CONFORM_TASKS`: how many random sequences, without and with tasks.
//! - `SKEP_CONFORM_SEED`: of the first one; the others follow. A difference prints the command that replays it.
//! - `SKEP_CONFORM_SELF=1`: the real engine against itself: what differs then is the suite's fault.
//!
//! To add a sequence, write a function in a module of `written` and list it in [`cases`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

#[expect(dead_code, unused_imports, reason = "the Swarm suite needs more of the bed")]
#[path = "../bed/mod.rs"]
mod bed;
mod differ;
mod exceptions;
mod normal;
mod op;
mod outcome;
mod play;
mod random;
#[expect(dead_code, reason = "no case here makes its own beds")]
#[path = "../swarm/runner.rs"]
mod runner;
mod sim;
mod suite;
mod target;
mod written;

use runner::{Case, On};
use suite::written_case as run;
use written::{contents, objects, outcomes, refusals, registry, services, system};

/// A manager and a worker; all sequences run there, under names of their own.
const BED: On = On::Shared(2);

/// Sequences at once: those with tasks wait nearly all the time.
const AT_ONCE: usize = 5;

macro_rules! cases {
    ($($module:ident: $($name:ident)*;)*) => {
        vec![$($(
            Case::new(
                concat!(stringify!($module), "::", stringify!($name)),
                BED,
                |bed| run(bed, stringify!($name), $module::$name()),
            ),
        )*)*]
    };
}

fn cases() -> Vec<Case> {
    // Those that wait most come first.
    let mut cases = vec![Case::new("random::tasks", BED, suite::random_tasks)];
    cases.extend(cases! {
        outcomes: a_rolling_update start_first all_at_once a_failure_pauses a_failure_rolls_back
            a_failure_is_passed_over an_unhealthy_update_rolls_back an_image_that_is_not_there a_pinned_image
            tasks_by_the_beginning_of_a_name
            an_update_to_an_image_that_is_not_there no_node_fits up_and_down a_global_service a_job restarts_that_end
            labels_do_not_touch_tasks labels_clear_the_update_status rolled_back_by_hand a_bare_tag_that_moves
            ports_and_secrets_of_tasks networks_of_tasks a_network_goes_while_tasks_stop
            a_service_goes_while_tasks_run;
        system: ping version_and_info api_version_prefixes unknown_paths nodes node_refusals events event_requests
            filters_of_lists filters_of_tasks bodies_that_are_not_json;
        services: create_inspect_remove stale_version label_only_updates an_update_that_changes_nothing
            rollback_to_the_previous_spec registry_auth_from names_that_conflict modes a_mode_cannot_change attached_networks
            networks_of_the_service_itself ports_of_hosts ingress_ports_that_conflict update_configs restart_policies
            resources_and_placement every_field_of_a_container fields_that_nobody_knows prefixes_of_ids scale_of_zero;
        refusals: names_that_are_not images_that_are_not jobs_that_are_not unknown_networks_secrets_configs
            ports_that_are_not mounts_that_are_not health_checks_and_signals_that_are_not templates_that_are_not;
        objects: configs secrets configs_that_are_not secrets_that_are_not lists_of_configs lists_of_secrets networks
            networks_with_options;
        contents: configs_in_use secrets_in_use configs_of_wrong_data secrets_of_wrong_data configs_from_templates
            secrets_from_templates configs_by_filter secrets_by_filter contents_that_just_fit networks_in_use;
        registry: the_base tags manifests a_tag_that_moves deletion uploads distribution;
    });
    cases.push(Case::new("random::api", BED, suite::random_api));
    // What others have on a node shows in the networks that every node has, and a node that drains moves it.
    let own = On::Own(bed::Options { hosts: 2, ..bed::Options::default() });
    cases.push(Case::new("alone::predefined_networks_and_a_drained_node", own, |bed| {
        run(bed, "predefined_networks", objects::predefined_networks());
        run(bed, "node_labels", system::node_labels());
        run(bed, "a_node_is_drained", outcomes::a_node_is_drained());
    }));
    cases
}

fn main() -> std::process::ExitCode {
    let passed = runner::run(cases(), AT_ONCE);
    suite::finish(passed)
}
