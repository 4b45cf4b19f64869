//! `collector-config/` in the real programs: every file is accepted, and what each README promises happens.
//!
//! `tests/backends/build` makes the programs. Without them the trials are ignored; with `TRACEWELL_REQUIRE_BACKENDS=1` that
//! is a failure. An own harness, because the built-in one cannot ignore a test at run time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed helper fails its trial; the harness reports"
)]

mod direct;
mod files;
mod load;
mod panels;
mod service;
mod stack;
mod tiers;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // most of their time they wait for the programs to do something
    arguments.test_threads.get_or_insert(3);
    let missing = stack::binaries().err();
    if let Some(missing) = &missing {
        assert!(
            std::env::var("TRACEWELL_REQUIRE_BACKENDS").as_deref() != Ok("1"),
            "collector_config needs its backends: {missing}"
        );
        eprintln!("collector_config: trials with real backends are ignored: {missing}");
    }
    // the long ones first
    let trials: [(&str, fn()); 8] = [
        ("the_stream_holds_what_no_gateway_takes", tiers::stream),
        ("a_gateway_keeps_errors_and_slow_traces_and_a_share_of_the_rest", tiers::tail_sampling),
        ("killed_agents_and_gateways_lose_nothing", tiers::killed),
        ("the_queries_of_every_panel_and_alert_find_real_data", panels::all),
        ("signals_go_to_the_backends_without_a_collector", direct::all),
        ("every_collector_file_is_valid", files::collectors),
        ("every_alert_fires_when_it_should", files::rules),
        ("compose_and_kubernetes_read_their_files", files::compose_and_kubernetes),
    ];
    let trials = trials.into_iter().map(|(name, test)| {
        let trial = Trial::test(name, move || {
            test();
            Ok(())
        });
        trial.with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
