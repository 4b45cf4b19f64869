//! What happens when calls fail: deadline, retry, breaker, timeout and fallback, each seen in traces, metrics and logs.
//!
//! # One order
//!
//! ```text
//! Fallback ─► deadline ─► Retry ─► Breaker ─► timeout ─► ClientLayer ─► the call
//! ```
//!
//! The deadline bounds all attempts and the delays between them. The breaker is inside of the retry: it counts attempts,
//! and ends a series of them when it opens. The timeout is inside of the breaker, so that slowness is a failure. The
//! fallback is outside of all, so that it stands in whatever the reason.
//!
//! [`Policy`] is the chain around any future, [`Policy::layer`] for tower clients, [`Fallback`] what comes after it.
//!
//! # What is seen
//!
//! | metric | in Prometheus | attributes |
//! |---|---|---|
//! | `retry.attempts` | `retry_attempts_total` | `policy` |
//! | `breakers.state` | `breakers_state` | `breaker`, `state`; 1 for the state that it is in |
//! | `fallback.invocations` | `fallback_invocations_total` | `feature`, `fallback` |
//!
//! One log record per retry (WARN: the error, the attempt, the delay and the time so far in seconds), one with the final
//! result of what failed at least once (INFO, or WARN with the reason), one per change of a breaker and one per
//! fallback; target `tracewell::resilience`, in the span of whoever called. The current request remembers retries and
//! fallbacks: [`of_current`], and the annotations `retries` and `fallback` among the [active
//! requests](crate::requests). Instruments are made by the first call, which is to come after `init`.

mod breaker;
mod budget;
mod current;
mod fallback;
mod judge;
mod layer;
mod observe;
mod policy;
mod retry;
mod timeout;
mod window;

#[cfg(test)]
mod tests;

pub use self::{
    breaker::{Breaker, BreakerBuilder, BreakerOpen, Permit, State, breakers},
    budget::Budget,
    current::{Toll, of, of_current, set_response_headers},
    fallback::{Answer, Fallback, Substitute},
    judge::{HttpJudge, Judge, Verdict},
    layer::{PolicyLayer, PolicyService},
    policy::{Failure, Policy},
    retry::Retry,
    timeout::TimedOut,
};
