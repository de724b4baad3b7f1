//! Tests on a real Docker Swarm with a real registry, started by the tests themselves: see `tests/bed/mod.rs`.
//!
//! They need root (for namespaces) and Debian's packages; `./test` sees to both. Without, they are skipped and say so.
//!
//! To add a test, write a function in a module here and list it in [`cases`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod adopt;
mod api;
#[path = "../bed/mod.rs"]
mod bed;
mod bed_itself;
mod deploy;
mod door;
mod equal;
mod fail;
mod faults;
mod fields;
mod follow;
mod guide;
mod hooks;
mod look;
mod many;
mod order;
mod postmortem;
mod prune;
mod renew;
mod runner;
mod running;
mod secrets;
mod token;

use std::time::Duration;

use bed::Options;
use runner::{Case, On};

/// A bed of several hosts, shared by the cases that only add services of their own to it.
const THREE: On = On::Shared(3);
const ONE: On = On::Shared(1);

fn own(hosts: usize, managers: usize) -> On {
    On::Own(Options { hosts, managers, ..Options::default() })
}

/// A lost host is down within 3 s or so, not 13.
fn quick_to_notice(hosts: usize, managers: usize) -> On {
    On::Own(Options { hosts, managers, heartbeat: Some(Duration::from_secs(1)), ..Options::default() })
}

fn cases() -> Vec<Case> {
    vec![
        Case::new("deploy::first_deploy", ONE, deploy::first_deploy),
        Case::new("fields::every_key_survives_the_engine", ONE, fields::every_key_survives_the_engine),
        Case::new("fields::the_docker_cli_makes_the_same", ONE, fields::the_docker_cli_makes_the_same),
        Case::new(
            "equal::docker_stack_deploy_makes_the_same",
            own(1, 1),
            equal::docker_stack_deploy_makes_the_same,
        ),
        Case::new("secrets::they_rotate_and_are_never_shown", ONE, secrets::they_rotate_and_are_never_shown),
        Case::new("fail::swarm_rolls_back", ONE, fail::swarm_rolls_back),
        Case::new("fail::skep_rolls_back_after_a_pause", ONE, fail::skep_rolls_back_after_a_pause),
        Case::new("fail::hold_leaves_it", ONE, fail::hold_leaves_it),
        Case::new("fail::apply_says_how_it_ended", ONE, fail::apply_says_how_it_ended),
        Case::new("fail::a_first_deploy_that_fails", ONE, fail::a_first_deploy_that_fails),
        Case::new("fail::no_node_fits", ONE, fail::no_node_fits),
        Case::new("fail::apply_says_that_no_node_fits", ONE, fail::apply_says_that_no_node_fits),
        Case::new("fail::a_job_runs_once", ONE, fail::a_job_runs_once),
        Case::new("fail::no_replicas", ONE, fail::no_replicas),
        Case::new("fail::a_setting_that_fails", ONE, fail::a_setting_that_fails),
        Case::new("faults::bad_credentials", THREE, faults::bad_credentials),
        Case::new(
            "faults::the_registry_goes_and_comes_back",
            own(1, 1),
            faults::the_registry_goes_and_comes_back,
        ),
        Case::new("faults::the_daemon_restarts_under_run", own(1, 1), faults::the_daemon_restarts_under_run),
        Case::new("faults::no_daemon", ONE, faults::no_daemon),
        Case::new("faults::two_on_one_state", ONE, faults::two_on_one_state),
        Case::new("faults::kill_9_in_mid_rollout", ONE, faults::kill_9_in_mid_rollout),
        Case::new("faults::a_failure_while_skep_is_dead", ONE, faults::a_failure_while_skep_is_dead),
        Case::new("faults::kill_9_again_and_again", ONE, faults::kill_9_again_and_again),
        Case::new(
            "faults::one_stuck_customer_holds_up_nobody",
            own(1, 1),
            faults::one_stuck_customer_holds_up_nobody,
        ),
        Case::new("many::a_hundred_services", own(1, 1), many::a_hundred_services),
        Case::new("bed::one_host_runs_a_service", ONE, bed_itself::one_host_runs_a_service),
        Case::new("bed::three_hosts_run_a_service", THREE, bed_itself::three_hosts_run_a_service),
        Case::new("bed::images_behave", ONE, bed_itself::images_behave),
        Case::new("bed::the_private_door_asks_a_password", ONE, bed_itself::the_private_door_asks_a_password),
        Case::new("bed::programs_are_run_and_ended", ONE, bed_itself::programs_are_run_and_ended),
        Case::new("bed::faults_of_hosts", quick_to_notice(3, 3), bed_itself::faults_of_hosts),
        Case::new("bed::faults_of_the_registry", own(1, 1), bed_itself::faults_of_the_registry),
        Case::alone("bed::nothing_is_left_behind", bed_itself::nothing_is_left_behind),
        Case::alone("bed::kill_9_leaves_nothing_behind", bed_itself::kill_9_leaves_nothing_behind),
        Case::new("postmortem::the_stale_frontend", own(3, 1), postmortem::the_stale_frontend),
        Case::new("follow::a_new_version", ONE, follow::a_new_version),
        Case::new("follow::spellings", ONE, follow::spellings),
        Case::new("follow::a_tag_that_moves", ONE, follow::a_tag_that_moves),
        Case::new("follow::a_tag_that_moves_is_held", ONE, follow::a_tag_that_moves_is_held),
        Case::new("follow::specs_on_disk", ONE, follow::specs_on_disk),
        Case::new("follow::drift", ONE, follow::drift),
        Case::new("follow::a_quiet_resync", ONE, follow::a_quiet_resync),
        Case::new("follow::no_calls_between_resyncs", own(1, 1), follow::no_calls_between_resyncs),
        Case::new("follow::http_and_signals", ONE, follow::http_and_signals),
        Case::new(
            "hooks::the_registrys_own_notifications",
            own(1, 1),
            hooks::the_registrys_own_notifications,
        ),
        Case::new("hooks::a_git_push", ONE, hooks::a_git_push),
        Case::new(
            "renew::a_task_is_made_after_the_first_token_died",
            own(2, 1),
            renew::a_task_is_made_after_the_first_token_died,
        ),
        Case::new("api::apply_is_handed_over", ONE, api::apply_is_handed_over),
        Case::new("api::commands_ask_the_controller", ONE, api::commands_ask_the_controller),
        Case::new("api::streams_of_events", ONE, api::streams_of_events),
        Case::new("api::a_registry_that_is_away_is_told", ONE, api::a_registry_that_is_away_is_told),
        Case::new("token::a_private_image_by_tokens", own(1, 1), token::a_private_image_by_tokens),
        Case::new("prune::what_a_spec_no_longer_names_goes", ONE, prune::what_a_spec_no_longer_names_goes),
        Case::new("prune::kept::what_is_in_use_stays", ONE, prune::kept::what_is_in_use_stays),
        Case::new("prune::a_stack_goes_after_its_file", own(1, 1), prune::a_stack_goes_after_its_file),
        Case::new(
            "prune::kept::unreadable_specs_remove_nothing",
            own(1, 1),
            prune::kept::unreadable_specs_remove_nothing,
        ),
        Case::new(
            "prune::too_much_at_once_waits_for_a_person",
            own(1, 1),
            prune::too_much_at_once_waits_for_a_person,
        ),
        Case::new(
            "prune::kept::an_owner_that_changed_meanwhile_keeps_it",
            ONE,
            prune::kept::an_owner_that_changed_meanwhile_keeps_it,
        ),
        Case::new("guide::from_docker_stack", own(1, 1), guide::from_docker_stack),
        Case::new("order::after_waits_for_convergence", ONE, order::after_waits_for_convergence),
        Case::new("order::drift_is_only_told_of", ONE, order::drift_is_only_told_of),
        Case::new("order::drift_is_named_field_by_field", ONE, order::drift_is_named_field_by_field),
        Case::new("prune::kept::prune_false_keeps_all", own(1, 1), prune::kept::prune_false_keeps_all),
        Case::new("adopt::every_field_is_kept", ONE, adopt::every_field_is_kept),
        Case::new("adopt::nothing_restarts_without_need", ONE, adopt::nothing_restarts_without_need),
        Case::new(
            "adopt::an_imported_stack_is_in_sync_at_once",
            ONE,
            adopt::an_imported_stack_is_in_sync_at_once,
        ),
        Case::new("adopt::foreign_services_are_left_alone", ONE, adopt::foreign_services_are_left_alone),
    ]
}

/// Cases at once.
const THREADS: usize = 3;

fn main() -> std::process::ExitCode {
    if let Some(bed) = std::env::var_os("SKEP_BED_HOLD") {
        return bed_itself::hold_a_bed(&bed);
    }
    if let Ok(life) = std::env::var(bed::token::LIFE_VARIABLE) {
        return bed::token::serve(&life);
    }
    runner::run(cases(), THREADS)
}
