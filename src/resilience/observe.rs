//! What is seen of all this: three metrics, and log records in the span of the request.

use std::{fmt, sync::OnceLock, time::Duration};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{Counter, ObservableGauge},
};

use super::breaker::{State, breakers};

const POLICY: &str = "policy";
const FEATURE: &str = "feature";
const FALLBACK: &str = "fallback";
const BULKHEAD: &str = "bulkhead";

pub(super) struct Instruments {
    retries: Counter<u64>,
    fallbacks: Counter<u64>,
    rejections: Counter<u64>,
    _breakers: ObservableGauge<u64>,
}

/// Made by the first call, after `init`: instruments that are made before it go nowhere.
pub(super) fn instruments() -> &'static Instruments {
    static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();
    INSTRUMENTS.get_or_init(|| {
        let scope =
            InstrumentationScope::builder("tracewell.resilience").with_version(env!("CARGO_PKG_VERSION"));
        let meter = opentelemetry::global::meter_provider().meter_with_scope(scope.build());
        Instruments {
            retries: meter
                .u64_counter("retry.attempts")
                .with_unit("{attempt}")
                .with_description("Attempts after the first one.")
                .build(),
            fallbacks: meter
                .u64_counter("fallback.invocations")
                .with_unit("{invocation}")
                .with_description("Values that stood in for what could not be had.")
                .build(),
            rejections: meter
                .u64_counter("bulkhead.rejections")
                .with_unit("{call}")
                .with_description("Calls that were not made, because all places were taken.")
                .build(),
            _breakers: meter
                .u64_observable_gauge("breakers.state")
                .with_description("1 for the state that a breaker is in, 0 for the others.")
                .with_callback(|observer| {
                    for breaker in breakers() {
                        let now = breaker.state();
                        for state in State::ALL {
                            let target = KeyValue::new("breaker", breaker.target().to_owned());
                            let attributes = [target, KeyValue::new("state", state.as_str())];
                            observer.observe(u64::from(state == now), &attributes);
                        }
                    }
                })
                .build(),
        }
    })
}

/// A series that exists from the first call on: rates of a counter that appears with its first increment miss that one.
pub(super) fn policy_in_use(policy: &str) {
    instruments().retries.add(0, &[KeyValue::new(POLICY, policy.to_owned())]);
}

pub(super) fn rejected(bulkhead: &str) {
    instruments().rejections.add(1, &[KeyValue::new(BULKHEAD, bulkhead.to_owned())]);
}

pub(super) fn fallback_in_use(feature: &'static str, name: &'static str) {
    let attributes = [KeyValue::new(FEATURE, feature), KeyValue::new(FALLBACK, name)];
    instruments().fallbacks.add(0, &attributes);
}

pub(super) fn retrying(
    policy: &str,
    error: &dyn fmt::Display,
    (attempt, attempts): (u32, u32),
    delay: Duration,
    elapsed: Duration,
) {
    if let Some(entry) = crate::requests::current() {
        entry.note_retry();
    }
    instruments().retries.add(1, &[KeyValue::new(POLICY, policy.to_owned())]);
    tracing::event!(
        name: "tracewell.retry",
        target: "tracewell::resilience",
        tracing::Level::WARN,
        policy,
        error = %error,
        attempt,
        delay = delay.as_secs_f64(),
        elapsed = elapsed.as_secs_f64(),
        "{policy}: attempt {attempt} of {attempts} failed, the next one is made in {:.3} s",
        delay.as_secs_f64()
    );
}

/// The last word on a call that was tried again, or that could have been: `why` it was not is told.
pub(super) fn result(
    policy: &str,
    error: Option<&dyn fmt::Display>,
    attempts: u32,
    elapsed: Duration,
    why: &'static str,
) {
    let elapsed = elapsed.as_secs_f64();
    match error {
        None => tracing::event!(
            name: "tracewell.retry.result",
            target: "tracewell::resilience",
            tracing::Level::INFO,
            policy,
            result = "success",
            attempts,
            elapsed,
            "{policy}: attempt {attempts} succeeded"
        ),
        Some(error) => tracing::event!(
            name: "tracewell.retry.result",
            target: "tracewell::resilience",
            tracing::Level::WARN,
            policy,
            result = "failure",
            reason = why,
            error = %error,
            attempts,
            elapsed,
            "{policy}: given up after attempt {attempts}: {why}"
        ),
    }
}

pub(super) fn breaker_changed(target: &str, old: State, new: State) {
    if new == State::Open {
        tracing::event!(
            name: "tracewell.breaker",
            target: "tracewell::resilience",
            tracing::Level::WARN,
            breaker = target,
            from = old.as_str(),
            to = new.as_str(),
            "the breaker of {target} is open"
        );
    } else {
        tracing::event!(
            name: "tracewell.breaker",
            target: "tracewell::resilience",
            tracing::Level::INFO,
            breaker = target,
            from = old.as_str(),
            to = new.as_str(),
            "the breaker of {target} is {new}"
        );
    }
}

pub(super) fn fell_back(
    feature: &'static str,
    name: &'static str,
    error: &dyn fmt::Display,
    age: Option<Duration>,
) {
    if let Some(entry) = crate::requests::current() {
        entry.note_fallback(name);
    }
    let attributes = [KeyValue::new(FEATURE, feature), KeyValue::new(FALLBACK, name)];
    instruments().fallbacks.add(1, &attributes);
    tracing::event!(
        name: "tracewell.fallback",
        target: "tracewell::resilience",
        tracing::Level::WARN,
        feature,
        fallback = name,
        error = %error,
        age = age.map(|age| age.as_secs_f64()),
        "{feature}: {name} stands in"
    );
}
