//! What happens when calls fail: deadline, retry, breaker, bulkhead, timeout and fallback, each seen in traces, metrics and
//! logs.
//!
//! # One order
//!
//! ```text
//! Fallback ─► deadline ─► Retry ─► Breaker ─► Bulkhead ─► timeout ─► ClientLayer ─► the call
//! ```
//!
//! - The deadline bounds all attempts, the delays between them and the wait for a place.
//! - The breaker is inside of the retry: it counts attempts, and ends a series of them when it opens.
//! - The bulkhead is inside of both: a call that waits for its next attempt holds no place, and nobody waits for a place
//!   while the breaker is open. That it is full says nothing about the target, so the breaker does not count it.
//! - The timeout is inside of the breaker, so that slowness is a failure, and inside of the bulkhead, so that the wait for
//!   a place is not.
//! - The fallback is outside of all, so that it stands in whatever the reason.
//!
//! [`Policy`] is the chain around any future, [`Policy::layer`] for tower clients, `Policy::middleware` for `reqwest` (with
//! that feature), [`Fallback`] what comes after it. Each part is usable alone: [`Breaker::acquire`], [`Bulkhead::acquire`].
//!
//! # What is seen
//!
//! | metric | in Prometheus | attributes |
//! |---|---|---|
//! | `retry.attempts` | `retry_attempts_total` | `policy` |
//! | `breakers.state` | `breakers_state` | `breaker`, `state`; 1 for the state that it is in |
//! | `bulkhead.rejections` | `bulkhead_rejections_total` | `bulkhead` |
//! | `fallback.invocations` | `fallback_invocations_total` | `feature`, `fallback` |
//!
//! One log record per retry (WARN: the error, the attempt, the delay and the time so far in seconds), one with the final
//! result of what failed at least once (INFO, or WARN with the reason), one per change of a breaker and one per
//! fallback; target `tracewell::resilience`, in the span of whoever called. The current request remembers retries and
//! fallbacks: [`of_current`], and the annotations `retries` and `fallback` among the [active
//! requests](crate::requests). All of it at a moment: [`breakers`], [`bulkheads`], [`policies`], and `/debug/resilience` on
//! the admin server; readiness by choice: [`Check::breaker`](crate::health::Check::breaker). Instruments are made by the first call, which is to come after `init`.

mod breaker;
mod budget;
mod bulkhead;
mod current;
mod fallback;
mod judge;
mod layer;
mod observe;
mod policy;
mod policy_counts;
#[cfg(feature = "reqwest")]
mod reqwest;
mod retry;
mod targets;
mod timeout;
mod window;

#[cfg(test)]
mod tests;

#[cfg(feature = "reqwest")]
pub use self::reqwest::PolicyMiddleware;
pub use self::{
    breaker::{Breaker, BreakerBuilder, BreakerOpen, BreakerSnapshot, Permit, State, breakers},
    budget::Budget,
    bulkhead::{Bulkhead, BulkheadBuilder, BulkheadFull, BulkheadSnapshot, Place, bulkheads},
    current::{Toll, of, of_current, set_response_headers},
    fallback::{Answer, Fallback, Substitute},
    judge::{HttpJudge, Judge, Verdict},
    layer::{PolicyLayer, PolicyService},
    policy::{Failure, Policy},
    policy_counts::{PolicySnapshot, policies},
    retry::Retry,
    targets::Breakers,
    timeout::TimedOut,
};
