//! A call that succeeds at once costs no allocation, whatever its policy has.

use std::{future::Future, pin::pin, task::Context, time::Duration};

use tracewell::resilience::{Breaker, Breakers, Bulkhead, Policy, Retry, Verdict};

#[test]
fn a_call_that_succeeds_at_once_does_not_allocate() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let policy = Policy::new("p")
        .with_deadline(Duration::from_secs(5))
        .with_retry(Retry::new())
        .with_breaker(Breaker::new("p"))
        .with_bulkhead(Bulkhead::new("p", 4))
        .with_timeout(Duration::from_secs(1));
    let call = || {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let polled = pin!(policy.call(|| async { Ok::<_, String>(7) })).poll(&mut context);
        assert!(matches!(polled, std::task::Poll::Ready(Ok(7))));
    };
    let per_target = policy.clone().with_breakers(Breakers::new(|target| Breaker::builder(target)));
    let call_to = || {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let judge = |_: &String| Verdict::Retry;
        let work = per_target.call_to(Some("stock:8080"), &judge, |_| async { Ok(7) });
        assert!(matches!(pin!(work).poll(&mut context), std::task::Poll::Ready(Ok(7))));
    };
    // the first ones make the instruments and the target's breaker
    call();
    call_to();
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| call()));
    assert_eq!(counted.count_total, 0);
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| call_to()));
    assert_eq!(counted.count_total, 0);
    let one = allocation_counter::measure(|| drop(Box::new(std::hint::black_box(7))));
    assert_eq!(one.count_total, 1, "what counts is counted");
}
