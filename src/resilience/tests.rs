//! The policies under a paused clock: what is tried, when, and what the breaker makes of it.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, advance};

use super::{
    window::{Moment, Window},
    *,
};
use crate::requests::{self, NewEntry, Registry};

const SECOND: Duration = Duration::from_secs(1);

fn plain_retry() -> Retry {
    Retry::new().with_jitter(false).with_budget(None)
}

#[expect(clippy::await_holding_invalid_type, reason = "nothing else runs on this thread")]
#[tokio::test(start_paused = true)]
async fn three_retries_at_doubling_delays_and_the_request_remembers() {
    let guard = Registry::default().start(NewEntry::request("GET"));
    let _entered = requests::enter(guard.handle());
    let begun = Instant::now();
    let attempts = RefCell::new(Vec::new());
    let policy = Policy::new("p").with_retry(plain_retry());
    let result: Result<(), _> = policy
        .call(|| async {
            attempts.borrow_mut().push(begun.elapsed().as_millis());
            Err("no")
        })
        .await;
    assert_eq!(result, Err(Failure::Call("no")));
    assert_eq!(*attempts.borrow(), [0, 500, 1500, 3500]);

    static CACHED: Fallback = Fallback::new("f", "cached");
    let answer = CACHED.instead_of(result, |_| Substitute::new(()).aged(SECOND));
    assert_eq!((answer.fallback, answer.age), (Some("cached"), Some(SECOND)));
    assert_eq!(of_current(), Toll { retries: 3, fallbacks: vec!["cached"] });

    let mut headers = http::HeaderMap::new();
    set_response_headers(guard.handle(), true, &mut headers);
    assert_eq!(headers["x-retry-count"], "3");
    assert_eq!(headers["x-fallback"], "cached");
}

#[tokio::test(start_paused = true)]
async fn the_judge_decides_error_by_error_and_its_delay_is_kept() {
    let begun = Instant::now();
    let count = Cell::new(0);
    let policy = Policy::new("p").with_retry(plain_retry());
    let judge = |error: &u32| match error {
        0 => Verdict::RetryAfter(7 * SECOND),
        _ => Verdict::Fail,
    };
    let result: Result<(), _> = policy
        .call_with(&judge, |resends| {
            assert_eq!(resends, count.get());
            count.set(resends + 1);
            async move { Err(resends) }
        })
        .await;
    assert_eq!((result, count.get(), begun.elapsed()), (Err(Failure::Call(1)), 2, 7 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_as_long_as_the_other_side_likes() {
    let waits = async |retry: Retry, asked: Duration| {
        let begun = Instant::now();
        let judge = move |_: &&str| Verdict::RetryAfter(asked);
        let policy = Policy::new("p").with_retry(retry.with_max_retries(1));
        let result: Result<(), _> = policy.call_with(&judge, |_| async { Err("no") }).await;
        assert_eq!(result, Err(Failure::Call("no")));
        begun.elapsed()
    };
    assert_eq!(waits(plain_retry(), 60 * SECOND).await, 60 * SECOND);
    assert_eq!(waits(plain_retry(), 61 * SECOND).await, Duration::ZERO);
    assert_eq!(waits(plain_retry(), Duration::MAX).await, Duration::ZERO);
    assert_eq!(waits(plain_retry().with_delays(SECOND, 90 * SECOND), 90 * SECOND).await, 90 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn neither_the_deadline_nor_the_budget_is_exceeded() {
    let begun = Instant::now();
    let count = Cell::new(0);
    let failing = || async {
        count.set(count.get() + 1);
        Err::<(), _>("no")
    };
    // 0, 0.5 and 1.5 s; the next would be at 3.5 s, which nobody would wait for
    let policy = Policy::new("p").with_retry(plain_retry()).with_deadline(3 * SECOND);
    assert_eq!(policy.call(failing).await, Err(Failure::Call("no")));
    assert_eq!((count.get(), begun.elapsed().as_millis()), (3, 1500));

    let slow = policy.with_timeout(2 * SECOND).with_retry(plain_retry().with_max_retries(1));
    let begun = Instant::now();
    let result = slow.call(std::future::pending::<Result<(), &str>>).await;
    assert!(matches!(result, Err(Failure::Timeout(_))));
    assert_eq!(begun.elapsed(), 3 * SECOND, "2 s, 0.5 s of delay, and what is left");

    count.set(0);
    let budget = Budget::new(0.2, 3);
    let policy = Policy::new("p")
        .with_retry(plain_retry().with_delays(Duration::ZERO, Duration::ZERO).with_budget(Some(budget)));
    for _ in 0..40 {
        assert!(policy.call(failing).await.is_err());
    }
    assert_eq!(count.get(), 40 + 8, "a fifth of the calls");
}

async fn calls(breaker: &Breaker, outcomes: &[bool]) -> usize {
    let policy = Policy::new("p").with_breaker(breaker.clone());
    let mut made = 0;
    for good in outcomes {
        let result = policy.call(|| async { if *good { Ok(()) } else { Err("no") } }).await;
        made += usize::from(!matches!(result, Err(Failure::Open(_))));
    }
    made
}

#[tokio::test(start_paused = true)]
async fn it_opens_to_the_call_half_opens_in_time_and_closes_after_good_probes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&seen);
    let breaker = Breaker::builder("b")
        .on_change(|_, _, _| panic!("a listener's own problem"))
        .on_change(move |_, _, new| listener.lock().unwrap().push(new))
        .build();
    // half of ten is not above half
    assert_eq!(calls(&breaker, &[true, false, true, false, true, false, true, false, true, false]).await, 10);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(calls(&breaker, &[false, false]).await, 1, "6 of 11");
    assert_eq!(breaker.state(), State::Open);
    advance(59 * SECOND).await;
    assert_eq!(calls(&breaker, &[true]).await, 0);
    advance(SECOND).await;
    assert_eq!(breaker.state(), State::HalfOpen);

    // three at a time; what is dropped counts as neither, and gives its place back
    let probes: Vec<_> = (0..3).map(|_| breaker.acquire().unwrap()).collect();
    assert!(breaker.acquire().is_err());
    drop(probes);
    assert_eq!(calls(&breaker, &[true, true]).await, 2);
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(calls(&breaker, &[false]).await, 1);
    assert_eq!(breaker.state(), State::Open, "one bad probe");
    advance(60 * SECOND).await;
    assert_eq!(calls(&breaker, &[true, true, true]).await, 3);
    assert_eq!(breaker.state(), State::Closed);

    breaker.force_open();
    advance(3600 * SECOND).await;
    assert_eq!(calls(&breaker, &[true]).await, 0, "by hand: until reset");
    breaker.reset();
    assert_eq!(calls(&breaker, &[true]).await, 1);
    let (open, half, closed) = (State::Open, State::HalfOpen, State::Closed);
    assert_eq!(*seen.lock().unwrap(), [open, half, open, half, closed, open, closed]);
}

#[tokio::test(start_paused = true)]
async fn only_calls_of_the_window_count_and_late_news_do_not() {
    let breaker = Breaker::new("b");
    calls(&breaker, &[false; 9]).await;
    advance(10 * SECOND).await;
    calls(&breaker, &[false; 9]).await;
    assert_eq!(breaker.state(), State::Closed, "nine are gone");
    let late = breaker.acquire().unwrap();
    calls(&breaker, &[false]).await;
    assert_eq!(breaker.state(), State::Open);
    advance(60 * SECOND).await;
    let probe = breaker.acquire().unwrap();
    late.failed();
    assert_eq!(breaker.state(), State::HalfOpen, "a call from before says nothing about now");
    drop(probe);
}

#[tokio::test(start_paused = true)]
async fn a_bulkhead_bounds_the_calls_the_wait_and_those_who_wait() {
    let bulkhead = Bulkhead::builder("b", 1).with_max_wait(SECOND).with_max_waiting(1).build();
    let held = bulkhead.acquire().await.unwrap();
    let begun = Instant::now();
    let (waited, refused) = tokio::join!(bulkhead.acquire(), bulkhead.acquire());
    assert!(waited.is_err() && refused.is_err());
    assert_eq!(begun.elapsed(), SECOND, "one waited in vain, the other had no place to wait");

    let next = async {
        let place = bulkhead.acquire().await;
        (place, begun.elapsed())
    };
    let release = async {
        advance(SECOND / 2).await;
        drop(held);
    };
    let ((place, at), ()) = tokio::join!(next, release);
    assert_eq!((place.is_ok(), at), (true, SECOND * 3 / 2));

    // the policy's deadline bounds the wait as well, and a wait that is dropped is none
    let policy = Policy::new("p").with_bulkhead(bulkhead.clone()).with_deadline(SECOND / 4);
    let begun = Instant::now();
    assert!(matches!(policy.call(|| async { Ok::<_, String>(()) }).await, Err(Failure::Full(_))));
    assert_eq!(begun.elapsed(), SECOND / 4);
    drop(place);
    let now = bulkhead.snapshot();
    assert_eq!((now.limit, now.in_use, now.waiting, now.rejected), (1, 0, 0, 3));
}

#[test]
fn one_target_is_one_breaker_and_the_oldest_closed_one_makes_room() {
    let breakers = Breakers::bounded(2, |target| Breaker::builder(target));
    breakers.of("bad").force_open();
    let good = breakers.of("good");
    assert_eq!(breakers.of("good").target(), "good");
    drop(breakers.of("bad").acquire());
    breakers.of("new").force_open();
    assert_eq!((breakers.len(), breakers.of("bad").state()), (2, State::Open), "an open one stays");
    good.force_open();
    assert_eq!(breakers.of("good").state(), State::Closed, "it was forgotten, and is another one now");
    assert_eq!(breakers.len(), 2);
}

#[test]
fn a_count_that_comes_late_takes_no_newer_ones_place() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let mut window = Window::new(Duration::from_secs(10));
        let begun = Moment::now();
        advance(Duration::from_secs(10)).await;
        let now = Moment::now();
        window.add(now, 1, 0);
        window.add(begun, 1, 0);
        assert_eq!(window.counts(now).good, 1);
    });
}
