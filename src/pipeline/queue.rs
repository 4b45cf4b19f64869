//! The bounded queue between the service and an exporter, with an account that is exact in every snapshot.
//!
//! `emitted = exported + dropped + failed + queued`: all five change under one lock, and an item in a batch that is
//! being sent is still `queued`. What comes when there is no room is decided by the [`DropPolicy`]; errors and what was slow
//! are kept rather than the rest, as long as they fill no more than half of the queue.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::account::{Account, Loss};
use crate::{config::DropPolicy, diagnostics};

/// Programs end within this time after their telemetry has.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a queue holds.
pub(super) trait Item {
    /// Whether it is kept rather than others when there is no room for all: an error, or something slow. Asked once for
    /// each item by the thread that emits it.
    fn is_kept_first(&self) -> bool;
}

/// A bounded queue of items on their way to one exporter.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// A batch is full, or there is something to send at once.
    full: Notify,
    capacity: usize,
    batch_size: usize,
    policy: DropPolicy,
}

/// Items with the place in the order in which they came.
type Ordered<T> = VecDeque<(u64, T)>;

#[derive(Debug)]
struct State<T> {
    items: Ordered<T>,
    /// Those that are kept first, half of the capacity at most: a storm of errors leaves room for what explains it.
    first: Ordered<T>,
    next: u64,
    account: Account,
    closed: bool,
    /// The handle of the telemetry was dropped, and whoever did it may not know.
    dropped: Option<Dropped>,
}

#[derive(Debug, Clone, Copy)]
struct Dropped {
    at: Instant,
    /// Nothing had been emitted by then.
    unused: bool,
}

impl<T> State<T> {
    /// Whether the program goes on without telemetry; true once.
    fn goes_on(&mut self) -> bool {
        let goes_on = |dropped: &mut Dropped| dropped.unused || dropped.at.elapsed() >= LAST_WORDS;
        self.dropped.take_if(goes_on).is_some()
    }

    fn len(&self) -> usize {
        self.items.len() + self.first.len()
    }

    /// Takes an item out of a full queue for one that `is_first`; `None` when the new one is to be dropped itself.
    fn make_room(&mut self, policy: DropPolicy, is_first: bool) -> Option<(u64, T)> {
        match policy {
            DropPolicy::Oldest => self.items.pop_front(),
            _ if is_first => self.items.pop_back(),
            _ => None,
        }
    }

    /// The oldest item.
    fn pop(&mut self) -> Option<T> {
        let item = match (self.items.front(), self.first.front()) {
            (Some((item, _)), Some((first, _))) if first < item => self.first.pop_front(),
            (None, _) => self.first.pop_front(),
            _ => self.items.pop_front(),
        };
        item.map(|(_, item)| item)
    }
}

impl<T: Item> Queue<T> {
    /// Takes an item; when there is no room for all, the policy says which is dropped and counted. Never waits for an
    /// export: the lock is held for a move of items at most, never during one.
    pub(crate) fn push(&self, item: T) {
        self.push_from(&mut Some(item));
    }

    /// [`push`](Self::push) of an item that is moved once, from where it is; it stays there when there is no room for it.
    pub(crate) fn push_from(&self, item: &mut Option<T>) {
        let Some(is_first) = item.as_ref().map(Item::is_kept_first) else { return };
        let mut state = self.lock();
        state.account.emit(1);
        if state.closed {
            state.account.lose(Loss::Shutdown, 1);
            let goes_on = state.goes_on();
            drop(state);
            if goes_on {
                say_dropped();
            }
            return;
        }
        let is_first = is_first && state.first.len() < self.capacity / 2;
        let mut dropped = None;
        if state.len() >= self.capacity {
            state.account.lose(Loss::QueueFull, 1);
            dropped = state.make_room(self.policy, is_first);
            if dropped.is_none() {
                return;
            }
        }
        let place = state.next;
        state.next += 1;
        let queue = if is_first { &mut state.first } else { &mut state.items };
        if let Some(item) = item.take() {
            queue.push_back((place, item));
        }
        let wake = state.len() == self.batch_size;
        drop(state);
        drop(dropped); // items may be large, and their drop is not for under the lock
        if wake {
            self.full.notify_one();
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize, batch_size: usize, policy: DropPolicy) -> Self {
        let state = State {
            items: VecDeque::new(),
            first: VecDeque::new(),
            next: 0,
            account: Account::default(),
            closed: false,
            dropped: None,
        };
        let batch_size = batch_size.clamp(1, capacity.max(1));
        Self { state: Mutex::new(state), full: Notify::new(), capacity: capacity.max(1), batch_size, policy }
    }

    /// Resolves when a whole batch is waiting. Cancel safe.
    pub(crate) async fn batch_ready(&self) {
        while self.waiting() < self.batch_size {
            self.full.notified().await;
        }
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The oldest items in their order, one batch at most; they stay `queued` until they are settled.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut batch = Vec::with_capacity(self.waiting().min(self.batch_size));
        let mut state = self.lock();
        if state.first.is_empty() {
            // nothing to merge, which is the rule
            let size = state.items.len().min(self.batch_size);
            batch.extend(state.items.drain(..size).map(|(_, item)| item));
            return batch;
        }
        while batch.len() < self.batch_size {
            let Some(item) = state.pop() else { break };
            batch.push(item);
        }
        batch
    }

    /// Settles a batch that was taken: `rejected` of its `size` items were refused, the others arrived.
    pub(crate) fn exported(&self, size: usize, rejected: u64) {
        let size = size as u64;
        let rejected = rejected.min(size);
        let mut state = self.lock();
        state.account.export(size - rejected);
        state.account.lose(Loss::Rejected, rejected);
    }

    /// Settles a batch of `size` items that is lost.
    pub(crate) fn lost(&self, size: usize, reason: Loss) {
        self.lock().account.lose(reason, size as u64);
    }

    /// No further item is taken, and those that wait are lost to the shutdown.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let left = (std::mem::take(&mut state.items), std::mem::take(&mut state.first));
        state.account.lose(Loss::Shutdown, (left.0.len() + left.1.len()) as u64);
        drop(state);
        drop(left); // as in `push`
    }

    /// The telemetry has ended because its handle was dropped, not by a shutdown.
    pub(crate) fn note_drop(&self) {
        let mut state = self.lock();
        state.dropped = Some(Dropped { at: Instant::now(), unused: state.account.emitted == 0 });
    }

    /// Items that wait; a batch in flight is not among them.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn account(&self) -> Account {
        self.lock().account
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn say_dropped() {
    diagnostics::warn(
        "dropped",
        format_args!(
            "the Telemetry that init() gave was dropped, and with it telemetry has ended: what is emitted since then is \
             lost; keep it in a variable until the end of main"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_goes_on_after_its_telemetry_was_dropped_is_told_once() {
        let told = |queue: &Queue<i32>| {
            queue.push(1);
            queue.lock().dropped.is_none()
        };
        let unused = Queue::new(4, 4, DropPolicy::Newest);
        unused.close();
        unused.note_drop();
        assert!(told(&unused), "it was never kept");
        let used = Queue::new(4, 4, DropPolicy::Newest);
        used.push(1);
        used.close();
        used.note_drop();
        assert!(!told(&used), "the last words of a program that ends");
        if let Some(dropped) = &mut used.lock().dropped {
            dropped.at = Instant::now().checked_sub(LAST_WORDS).unwrap();
        }
        assert!(told(&used));
    }

    /// Negative ones are kept first.
    impl Item for i32 {
        fn is_kept_first(&self) -> bool {
            *self < 0
        }
    }

    fn holds(account: &Account) -> bool {
        account.emitted == account.exported + account.dropped + account.failed + account.queued
    }

    #[test]
    fn the_account_adds_up_whatever_happens_to_an_item() {
        let queue = Queue::new(3, 2, DropPolicy::Newest);
        for item in 0..5 {
            queue.push(item);
        }
        assert_eq!(queue.account().lost(Loss::QueueFull), 2);
        assert_eq!(queue.take(), [0, 1]);
        assert_eq!(queue.account().queued, 3, "a batch in flight is still queued");
        queue.exported(2, 1);
        assert_eq!((queue.account().exported, queue.account().lost(Loss::Rejected)), (1, 1));
        assert_eq!(queue.take(), [2]);
        queue.lost(1, Loss::RetriesExhausted);
        queue.push(9);
        queue.close();
        queue.push(10);
        let account = queue.account();
        assert_eq!((account.dropped, account.failed, account.queued), (4, 2, 0));
        assert!(holds(&account), "{account:?}");
    }

    #[test]
    fn the_policy_says_what_is_dropped_and_errors_are_kept_first_up_to_half_of_the_queue() {
        // six come to a queue for four, errors among them, and what is kept leaves in the order in which it came
        for (policy, given, kept) in [
            (DropPolicy::Newest, [1, 2, 3, 4, 5, 6], [1, 2, 3, 4]),
            (DropPolicy::Oldest, [1, 2, 3, 4, 5, 6], [3, 4, 5, 6]),
            (DropPolicy::Newest, [1, -2, 3, 4, 5, -6], [1, -2, 3, -6]),
            (DropPolicy::Oldest, [-1, 2, 3, -4, 5, 6], [-1, -4, 5, 6]),
            // a storm of errors: beyond the half they are as the rest
            (DropPolicy::Newest, [1, 2, -3, -4, -5, -6], [1, 2, -3, -4]),
            (DropPolicy::Oldest, [-1, -2, -3, -4, -5, 6], [-1, -2, -5, 6]),
        ] {
            let queue = Queue::new(4, 4, policy);
            given.into_iter().for_each(|item| queue.push(item));
            let account = queue.account();
            assert_eq!((account.lost(Loss::QueueFull), account.queued), (2, 4), "{policy} {given:?}");
            assert!(holds(&account));
            assert_eq!(queue.take(), kept, "{policy} {given:?}");
        }
    }

    #[test]
    fn the_account_adds_up_in_every_snapshot_under_load() {
        for policy in [DropPolicy::Newest, DropPolicy::Oldest] {
            under_load(policy);
        }
    }

    fn under_load(policy: DropPolicy) {
        let queue = std::sync::Arc::new(Queue::new(64, 16, policy));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..20_000).for_each(|item| queue.push(if item % 5 == 0 { -item } else { item }))
                });
            }
            scope.spawn(|| {
                for round in 0..5_000 {
                    let batch = queue.take();
                    assert!(holds(&queue.account()));
                    match round % 3 {
                        0 => queue.exported(batch.len(), 1),
                        1 => queue.exported(batch.len(), 0),
                        _ => queue.lost(batch.len(), Loss::RetriesExhausted),
                    }
                }
            });
        });
        queue.close();
        let account = queue.account();
        assert_eq!((account.emitted, account.queued), (80_000, 0));
        assert!(holds(&account), "{account:?}");
    }
}
