//! The policies in their one order, around any future.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Breaker, BreakerOpen, Breakers, Bulkhead, BulkheadFull, Judge, Retry, TimedOut, Verdict, observe,
    policy_counts::PolicyCounts, retry::Delays, timeout::Within, window::Moment,
};

/// Why a call under a [`Policy`] has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure<E> {
    /// The call's own last error.
    Call(E),
    /// The breaker did not let it pass.
    Open(BreakerOpen),
    /// The bulkhead had no place.
    Full(BulkheadFull),
    /// The last attempt had no answer in its time, or the deadline of all of them passed.
    Timeout(TimedOut),
}

impl PartialEq for BreakerOpen {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target
    }
}

impl Eq for BreakerOpen {}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Full(error) => error.fmt(f),
            Self::Timeout(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Call(error) => error.source(),
            Self::Open(_) | Self::Full(_) | Self::Timeout(_) => None,
        }
    }
}

/// Deadline, retry, breaker, bulkhead and timeout around calls of one target; see the [module](super) for their order.
///
/// A call that succeeds at once allocates nothing. Deadlines, timeouts and pauses between attempts need a tokio runtime with
/// its timer enabled: without one, a call with a deadline or a timeout panics, and so does the first pause before a retry.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use tracewell::resilience::{Breaker, Policy, Retry};
///
/// let stock = Policy::new("stock")
///     .with_deadline(Duration::from_secs(5))
///     .with_retry(Retry::new())
///     .with_breaker(Breaker::new("stock"))
///     .with_timeout(Duration::from_secs(1));
/// let pieces = stock.call(|| async { Ok::<_, std::io::Error>(7) }).await;
/// assert_eq!(pieces.unwrap(), 7);
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Policy {
    name: Arc<str>,
    deadline: Option<Duration>,
    retry: Option<Retry>,
    guard: Guard,
    bulkhead: Option<Bulkhead>,
    timeout: Option<Duration>,
    counts: Arc<PolicyCounts>,
}

/// Which breaker is asked.
#[derive(Debug, Clone)]
enum Guard {
    None,
    One(Breaker),
    PerTarget(Breakers),
}

impl Policy {
    /// A policy without any part, named after what is called; the name is an attribute of metrics.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name: Arc<str> = name.into();
        let counts = PolicyCounts::new(Arc::clone(&name));
        Self { name, deadline: None, retry: None, guard: Guard::None, bulkhead: None, timeout: None, counts }
    }

    /// All attempts and the delays between them end so long after the call's begin.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Tries again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Asks this breaker before each attempt.
    #[must_use]
    pub fn with_breaker(mut self, breaker: Breaker) -> Self {
        self.guard = Guard::One(breaker);
        self
    }

    /// Asks the breaker of each call's target before each attempt: of the URI's host and port in the layers, of what
    /// [`call_to`](Self::call_to) is told, and of the policy's own name where nothing says more.
    #[must_use]
    pub fn with_breakers(mut self, breakers: Breakers) -> Self {
        self.guard = Guard::PerTarget(breakers);
        self
    }

    /// Takes one of this bulkhead's places for each attempt, until its result; for a tower client that is the answer's
    /// headers.
    #[must_use]
    pub fn with_bulkhead(mut self, bulkhead: Bulkhead) -> Self {
        self.bulkhead = Some(bulkhead);
        self
    }

    /// How long one attempt may take; for a tower client until the answer's headers.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call, and again while it fails: every error may pass.
    ///
    /// Cancel safe if the call is: dropped, it counts as neither good nor bad, and nothing is tried again.
    ///
    /// # Errors
    ///
    /// The last attempt's error, the breaker's or the bulkhead's, or a timeout.
    pub fn call<T, E, F>(&self, mut call: impl FnMut() -> F) -> impl Future<Output = Result<T, Failure<E>>>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display,
    {
        // not `async`: a future around a future costs each poll of it
        self.call_to(None, &|_: &E| Verdict::Retry, move |_| call())
    }

    /// Makes the call, and again as the judge says; the call is told how often it was made before.
    ///
    /// A result that is `Ok` but not good, such as an answer of 503, is returned as it is when nothing is left to try. Cancel
    /// safe as [`call`](Self::call).
    ///
    /// # Errors
    ///
    /// The last attempt's error, the breaker's or the bulkhead's, or a timeout.
    pub fn call_with<T, E, F, J>(
        &self,
        judge: &J,
        call: impl FnMut(u32) -> F,
    ) -> impl Future<Output = Result<T, Failure<E>>>
    where
        F: Future<Output = Result<T, E>>,
        J: Judge<T, E>,
    {
        self.call_to(None, judge, call)
    }

    /// The same with the target's name, for a policy with [`Breakers`]. Cancel safe as [`call`](Self::call).
    ///
    /// # Errors
    ///
    /// The last attempt's error, the breaker's or the bulkhead's, or a timeout.
    pub async fn call_to<T, E, F, J>(
        &self,
        target: Option<&str>,
        judge: &J,
        mut call: impl FnMut(u32) -> F,
    ) -> Result<T, Failure<E>>
    where
        F: Future<Output = Result<T, E>>,
        J: Judge<T, E>,
    {
        let of_target = match &self.guard {
            Guard::PerTarget(breakers) => Some(breakers.of(target.unwrap_or(&self.name))),
            Guard::None | Guard::One(_) => None,
        };
        let breaker = match &self.guard {
            Guard::One(breaker) => Some(breaker),
            Guard::None | Guard::PerTarget(_) => of_target.as_ref(),
        };
        let mut course = Course::begin(self, breaker);
        loop {
            let (result, verdict) = self.attempt(&course, judge, &mut call).await;
            let said = Said { judge, result: &result };
            let asked = match verdict {
                Verdict::Good => {
                    course.succeeded();
                    return result;
                }
                Verdict::Fail => {
                    course.given_up(
                        &said,
                        match &result {
                            Err(Failure::Open(_)) => "the breaker is open",
                            Err(Failure::Full(_)) => "the bulkhead is full",
                            _ => "it cannot be repeated",
                        },
                    );
                    return result;
                }
                Verdict::Retry => None,
                Verdict::RetryAfter(after) => Some(after),
            };
            match course.next(asked) {
                Ok(delay) => {
                    course.retrying(&said, delay);
                    // what the failed attempt holds, a connection perhaps, is not kept during the delay
                    drop(result);
                    tokio::time::sleep(delay).await;
                }
                Err(why) => {
                    course.given_up(&said, why);
                    return result;
                }
            }
        }
    }

    pub(super) fn is_per_target(&self) -> bool {
        matches!(self.guard, Guard::PerTarget(_))
    }

    /// One attempt: breaker, then bulkhead, then timeout, then the call.
    async fn attempt<T, E, F, J>(
        &self,
        course: &Course<'_>,
        judge: &J,
        call: &mut impl FnMut(u32) -> F,
    ) -> (Result<T, Failure<E>>, Verdict)
    where
        F: Future<Output = Result<T, E>>,
        J: Judge<T, E>,
    {
        let permit = match course.breaker.map(Breaker::acquire_ref).transpose() {
            Ok(permit) => permit,
            Err(open) => return (Err(Failure::Open(open)), Verdict::Fail),
        };
        let free = self.bulkhead.as_ref().and_then(Bulkhead::try_acquire_ref);
        // a place for which it has to wait
        let waited_for = match &self.bulkhead {
            Some(bulkhead) if free.is_none() => match bulkhead.acquire_until(course.deadline).await {
                Ok(place) => Some(place),
                // no word about the target: the permit goes back unused
                Err(full) => return (Err(Failure::Full(full)), Verdict::Fail),
            },
            _ => None,
        };
        // the clock is read once for a first attempt that waited for nobody
        let fresh = course.retries == 0 && waited_for.is_none();
        let now = if fresh { course.begun } else { Moment::now() };
        let own = self.timeout.and_then(|timeout| now.instant.checked_add(timeout));
        let until = [own, course.deadline].into_iter().flatten().min();
        let (result, verdict, waited) = match Within::new(call(course.retries), now.instant, until).await {
            Ok((result, waited)) => {
                let verdict = judge.verdict(&result);
                (result.map_err(Failure::Call), verdict, waited)
            }
            Err(timeout) => (Err(Failure::Timeout(timeout)), judge.timed_out(), true),
        };
        if let Some(permit) = permit {
            // a good call that never waited counts where it began: that saves the third reading of the clock
            let good = verdict == Verdict::Good;
            permit.result(good, if good && !waited { now } else { Moment::now() });
        }
        drop((free, waited_for));
        (result, verdict)
    }
}

/// What a log says of a result.
struct Said<'a, T, E, J> {
    judge: &'a J,
    result: &'a Result<T, Failure<E>>,
}

impl<T, E, J: Judge<T, E>> fmt::Display for Said<'_, T, E, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.result {
            Ok(value) => self.judge.describe(Ok(value), f),
            Err(Failure::Call(error)) => self.judge.describe(Err(error), f),
            Err(Failure::Open(error)) => error.fmt(f),
            Err(Failure::Full(error)) => error.fmt(f),
            Err(Failure::Timeout(error)) => error.fmt(f),
        }
    }
}

/// How one call goes.
struct Course<'a> {
    policy: &'a Policy,
    breaker: Option<&'a Breaker>,
    begun: Moment,
    deadline: Option<Instant>,
    retries: u32,
    delays: Option<Delays>,
}

impl<'a> Course<'a> {
    #[inline]
    fn begin(policy: &'a Policy, breaker: Option<&'a Breaker>) -> Self {
        policy.counts.called();
        let begun = Moment::now();
        if let Some(budget) = policy.retry.as_ref().and_then(|retry| retry.budget.as_ref()) {
            budget.called(begun);
        }
        let deadline = policy.deadline.and_then(|deadline| begun.instant.checked_add(deadline));
        Self { policy, breaker, begun, deadline, retries: 0, delays: None }
    }

    /// The delay before the next attempt, or why there is none.
    fn next(&mut self, asked: Option<Duration>) -> Result<Duration, &'static str> {
        let Some(retry) = &self.policy.retry else { return Err("it is not tried again") };
        if self.retries >= retry.max_retries() {
            return Err("every attempt was made");
        }
        if asked.is_some_and(|asked| asked > retry.longest_asked()) {
            return Err("a longer pause was asked for than anybody waits");
        }
        let delay = self.delays.get_or_insert_with(|| retry.delays()).next(asked);
        let at = Instant::now().checked_add(delay);
        if self.deadline.is_some_and(|deadline| at.is_none_or(|at| at >= deadline)) {
            return Err("the deadline would pass");
        }
        if !retry.budget.as_ref().is_none_or(super::Budget::take) {
            return Err("the retry budget is used up");
        }
        Ok(delay)
    }

    fn retrying(&mut self, error: &dyn fmt::Display, delay: Duration) {
        self.retries += 1;
        let attempts = self.policy.retry.as_ref().map_or(0, Retry::max_retries).saturating_add(1);
        self.policy.counts.retried();
        let Self { policy, retries, begun, .. } = self;
        observe::retrying(&policy.name, error, (*retries, attempts), delay, begun.instant.elapsed());
    }

    fn succeeded(&self) {
        if self.retries > 0 {
            observe::result(&self.policy.name, None, self.retries + 1, self.begun.instant.elapsed(), "");
        }
    }

    fn given_up(&self, error: &dyn fmt::Display, why: &'static str) {
        self.policy.counts.gave_up();
        observe::result(&self.policy.name, Some(error), self.retries + 1, self.begun.instant.elapsed(), why);
    }
}
