//! The traces that went last, for what comes for them later.

use std::collections::{HashSet, VecDeque};

use opentelemetry::TraceId;

/// The traces that went last.
#[derive(Debug)]
pub(super) struct Evicted {
    ids: HashSet<TraceId>,
    order: VecDeque<TraceId>,
    most: usize,
}

impl Evicted {
    pub(super) fn new(most: usize) -> Self {
        Self { ids: HashSet::new(), order: VecDeque::new(), most }
    }

    pub(super) fn contains(&self, id: &TraceId) -> bool {
        self.ids.contains(id)
    }

    pub(super) fn insert(&mut self, id: TraceId) {
        if self.order.len() >= self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
    }
}
