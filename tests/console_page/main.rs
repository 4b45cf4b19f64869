//! The console in a real browser: every view is opened, driven, and held against what a service did.
//!
//! Without Chromium the trials are ignored; with `TRACEWELL_REQUIRE_BROWSER=1` that is a failure. An own harness, because the
//! built-in one cannot ignore a test at run time. Pictures of every view are kept under the target folder.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed helper fails its trial; the harness reports"
)]

mod bounds;
#[path = "../common/browser.rs"]
mod browser;
mod looks;
mod operator;
mod service;
mod views;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let browser = browser::find();
    if browser.is_none() {
        assert!(
            std::env::var("TRACEWELL_REQUIRE_BROWSER").as_deref() != Ok("1"),
            "console_page needs Chromium: apt-get install chromium"
        );
        eprintln!("console_page: trials in a browser are ignored: there is no chromium in PATH");
    }
    let trials: [(&str, service::Test); 15] = [
        ("the_overview_leads_to_what_was_slow_and_what_failed", views::overview),
        ("a_trace_shows_where_its_time_went_and_its_logs_where_they_happened", views::trace),
        ("traces_are_found_by_what_is_known_of_them", views::traces),
        ("logs_are_filtered_followed_and_lead_to_their_traces", views::logs),
        ("an_exemplar_opens_its_trace", views::metrics),
        ("health_and_environment_say_what_the_service_says", views::health_and_environment),
        ("the_configuration_tells_its_sources_and_no_secret", views::configuration),
        ("a_request_is_cancelled_with_the_token_alone", operator::cancel),
        ("the_log_level_goes_back_by_itself", operator::log_level),
        ("keys_lead_everywhere", operator::keys),
        ("markup_in_what_a_service_says_stays_text", operator::markup),
        ("without_a_store_the_page_says_so_and_shows_the_rest", operator::store_off),
        ("long_traces_and_logs_have_few_rows_in_the_document", bounds::rows),
        ("every_view_fits_a_phone_by_day_and_by_night", looks::pictures),
        ("everything_has_a_name_for_a_screen_reader", looks::names),
    ];
    let is_missing = browser.is_none();
    let trials = trials.into_iter().map(|(name, test)| {
        let run = move || {
            service::run(test);
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(is_missing)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    service::stop();
    conclusion.exit_code()
}
