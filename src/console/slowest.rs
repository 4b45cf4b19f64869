//! The slowest traces of each kind: what is kept longer than the rest.

use std::{collections::HashMap, time::Duration};

use opentelemetry::TraceId;

/// So many of each kind.
const EACH: usize = 5;
/// Kinds at most; further ones have no slowest.
const KINDS: usize = 256;
/// Longest name of a kind, in bytes.
const NAME: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Slowest(HashMap<Box<str>, Vec<(Duration, TraceId)>>);

impl Slowest {
    /// Offers a trace of the kind `name`; what changes by it, each with whether it is among the slowest now.
    pub(super) fn offer(
        &mut self,
        name: &str,
        duration: Duration,
        id: TraceId,
    ) -> [Option<(TraceId, bool)>; 2] {
        if name.len() > NAME || (self.0.len() >= KINDS && !self.0.contains_key(name)) {
            return [None, None];
        }
        let kind = match self.0.get_mut(name) {
            Some(kind) => kind,
            None => self.0.entry(name.into()).or_default(),
        };
        if let Some(known) = kind.iter_mut().find(|(_, known)| *known == id) {
            known.0 = known.0.max(duration);
            return [None, None];
        }
        if kind.len() < EACH {
            kind.push((duration, id));
            return [Some((id, true)), None];
        }
        let Some(fastest) = kind.iter_mut().min_by_key(|(duration, _)| *duration) else {
            return [None, None];
        };
        if duration <= fastest.0 {
            return [None, None];
        }
        let (_, left) = std::mem::replace(fastest, (duration, id));
        let elsewhere = self.0.values().flatten().any(|(_, known)| *known == left);
        [Some((id, true)), (!elsewhere).then_some((left, false))]
    }

    /// A trace is gone.
    pub(super) fn forget(&mut self, id: TraceId) {
        self.0.retain(|_, kind| {
            kind.retain(|(_, known)| *known != id);
            !kind.is_empty()
        });
    }
}
