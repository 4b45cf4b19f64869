//! One time series' exemplars: a slot per bucket, filled by uniform sampling that usually costs one relaxed load.
//!
//! Sampling is Algorithm L (Li, "Reservoir-Sampling Algorithms of Time Complexity O(n(1 + log(N/n)))", 1994) with a
//! reservoir of one per slot: it draws how many offers to let pass, so that most offers only count down.

use std::{
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};

use opentelemetry::{KeyValue, SpanId, TraceId};

/// A measurement's value as its instrument has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Float(f64),
    Unsigned(u64),
}

impl Number {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Float(value) => value,
            // a histogram's buckets are floats whatever the instrument counts in
            Self::Unsigned(value) => value as f64,
        }
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

/// One measurement that stands for its bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) value: Number,
    pub(crate) time: SystemTime,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// Attributes of the measurement that a view dropped from the point.
    pub(crate) filtered_attributes: Box<[KeyValue]>,
}

/// How a series' measurements are spread over its slots.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// One slot per bucket of an explicit-bucket histogram; the bounds are inclusive upper bounds.
    Buckets(Arc<[f64]>),
    /// So many slots, filled at random; what the specification has for everything else.
    Fixed(usize),
}

impl Layout {
    fn slots(&self) -> usize {
        match self {
            Self::Buckets(bounds) => bounds.len() + 1,
            Self::Fixed(size) => (*size).max(1),
        }
    }
}

/// The exemplars of one time series.
#[derive(Debug)]
pub(super) struct Reservoir {
    layout: Layout,
    slots: Box<[Slot]>,
    /// Spreads offers over the slots of a [`Layout::Fixed`].
    turn: AtomicU32,
}

impl Reservoir {
    pub(super) fn new(layout: Layout) -> Self {
        let slots = (0..layout.slots()).map(|_| Slot::default()).collect();
        Self { layout, slots, turn: AtomicU32::new(0) }
    }

    /// Offers a measurement; `exemplar` is only called when it is taken.
    pub(super) fn offer(&self, value: f64, exemplar: impl FnOnce() -> Exemplar) {
        if value.is_nan() {
            return; // belongs to no bucket; the SDK drops it as well
        }
        let index = match &self.layout {
            Layout::Buckets(bounds) => bounds.partition_point(|bound| *bound < value),
            Layout::Fixed(1) => 0,
            Layout::Fixed(size) => self.turn.fetch_add(1, Ordering::Relaxed) as usize % size,
        };
        if let Some(slot) = self.slots.get(index) {
            slot.offer(exemplar);
        }
    }

    /// What was taken since the last call, and starts the sampling afresh.
    pub(super) fn take_fresh(&self, into: &mut Vec<Exemplar>) {
        into.extend(self.slots.iter().filter_map(Slot::take_fresh));
    }

    /// The latest exemplar of each slot, taken before or not; starts the sampling afresh.
    pub(super) fn latest(&self, into: &mut Vec<Exemplar>) {
        into.extend(self.slots.iter().filter_map(Slot::latest));
    }
}

/// At most one exemplar.
#[derive(Debug, Default)]
struct Slot {
    /// Offers to let pass before the next one is taken. Racing updates may lose a step: that only moves the choice.
    pass: AtomicU32,
    state: Mutex<SlotState>,
}

#[derive(Debug)]
struct SlotState {
    exemplar: Option<Exemplar>,
    fresh: bool,
    /// Algorithm L's W; 1 before the first choice.
    weight: f64,
    random: u64,
}

impl Default for SlotState {
    fn default() -> Self {
        static SEED: AtomicU32 = AtomicU32::new(1);
        // any odd constant will do: the draws need to be spread, not secret
        let seed = u64::from(SEED.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { exemplar: None, fresh: false, weight: 1.0, random: seed | 1 }
    }
}

impl Slot {
    fn offer(&self, exemplar: impl FnOnce() -> Exemplar) {
        let pass = self.pass.load(Ordering::Relaxed);
        if pass > 0 {
            self.pass.store(pass - 1, Ordering::Relaxed);
            return;
        }
        // a measurement never waits for another one or for a collection: it is simply not the one chosen
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        state.exemplar = Some(exemplar());
        state.fresh = true;
        self.pass.store(state.next_pass(), Ordering::Relaxed);
    }

    fn take_fresh(&self) -> Option<Exemplar> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.restart(&mut state);
        if !std::mem::take(&mut state.fresh) {
            return None;
        }
        state.exemplar.clone()
    }

    fn latest(&self) -> Option<Exemplar> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.restart(&mut state);
        state.exemplar.clone()
    }

    fn restart(&self, state: &mut SlotState) {
        state.weight = 1.0;
        self.pass.store(0, Ordering::Relaxed);
    }
}

impl SlotState {
    fn next_pass(&mut self) -> u32 {
        self.weight *= self.uniform();
        let pass = (self.uniform().ln() / (1.0 - self.weight).ln()).floor();
        // `as` saturates, and a NaN (weight rounded to 0) becomes 0: the next offer is simply taken
        pass as u32
    }

    /// A number in (0, 1), by xorshift64*.
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(value: f64) -> Exemplar {
        Exemplar {
            value: value.into(),
            time: SystemTime::UNIX_EPOCH,
            trace_id: TraceId::from(1),
            span_id: SpanId::from(1),
            filtered_attributes: Box::default(),
        }
    }

    fn fresh(reservoir: &Reservoir) -> Vec<f64> {
        let mut taken = Vec::new();
        reservoir.take_fresh(&mut taken);
        taken.iter().map(|exemplar| exemplar.value.as_f64()).collect()
    }

    #[test]
    fn a_value_goes_to_the_bucket_whose_inclusive_upper_bound_it_does_not_exceed() {
        let reservoir = Reservoir::new(Layout::Buckets(Arc::from([1.0, 2.0])));
        for value in [0.5, 2.0, 7.0] {
            reservoir.offer(value, || exemplar(value));
        }
        reservoir.offer(f64::NAN, || exemplar(f64::NAN));
        assert_eq!(fresh(&reservoir), [0.5, 2.0, 7.0]);
        // the bound itself belongs to its bucket: both fall on the same slot
        let bound = Reservoir::new(Layout::Buckets(Arc::from([1.0])));
        bound.offer(1.0, || exemplar(1.0));
        bound.restart_all();
        bound.offer(0.2, || exemplar(0.2));
        assert_eq!(fresh(&bound).len(), 1);
    }

    #[test]
    fn a_collection_takes_what_is_fresh_once_and_a_scrape_sees_the_latest_again() {
        let reservoir = Reservoir::new(Layout::Fixed(1));
        reservoir.offer(3.0, || exemplar(3.0));
        assert_eq!(fresh(&reservoir), [3.0]);
        assert!(fresh(&reservoir).is_empty());
        let mut latest = Vec::new();
        reservoir.latest(&mut latest);
        assert_eq!(latest.len(), 1);
    }

    #[test]
    fn every_offer_of_a_period_is_chosen_about_as_often() {
        const OFFERS: usize = 20;
        const ROUNDS: usize = 20_000;
        let reservoir = Reservoir::new(Layout::Fixed(1));
        let mut chosen = [0usize; OFFERS];
        for _ in 0..ROUNDS {
            for offer in 0..OFFERS {
                reservoir.offer(offer as f64, || exemplar(offer as f64));
            }
            chosen[fresh(&reservoir)[0] as usize] += 1;
        }
        let expected = ROUNDS / OFFERS;
        for (offer, times) in chosen.iter().enumerate() {
            // six standard deviations of a binomial: the generator is seeded, so this never flickers
            assert!(
                times.abs_diff(expected) < 190,
                "offer {offer} was chosen {times} times, not about {expected}"
            );
        }
    }

    impl Reservoir {
        fn restart_all(&self) {
            for slot in &self.slots {
                slot.restart(&mut slot.state.lock().unwrap());
            }
        }
    }
}
