//! What an entry's own calls did: which it waits for, how often they were tried again, what stood in for them.

use std::borrow::Cow;

use super::{Current, details::Details};

/// Fallbacks remembered by name.
const MAX_FALLBACKS: usize = 8;

/// Kept with an entry's details.
#[derive(Debug, Default, Clone)]
pub(super) struct Work {
    retries: u32,
    fallbacks: Vec<&'static str>,
    /// The calls under way, latest last.
    calls: Vec<(u64, Cow<'static, str>)>,
    next_call: u64,
    /// The stage from before the first of them.
    before: Option<Cow<'static, str>>,
}

/// A call that an entry waits for: the entry's stage until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    entry: Current,
    call: u64,
}

impl Current {
    /// Shows the call as the stage, until the returned value is dropped; then the stage is the one from before.
    pub(crate) fn wait_for(&self, call: impl Into<Cow<'static, str>>) -> Waiting {
        let name = super::bounded_text::cut(call.into(), Details::MAX_STAGE_NAME);
        let id = self.0.with_state(|state| {
            let details = state.details.get_or_insert_with(Box::default);
            let stage = details.stage().cloned();
            let work = &mut details.work;
            if work.calls.is_empty() {
                work.before = stage;
            }
            work.next_call = work.next_call.wrapping_add(1);
            work.calls.push((work.next_call, name.clone()));
            work.next_call
        });
        self.set_stage(name);
        Waiting { entry: self.clone(), call: id }
    }

    /// One retry more.
    pub(crate) fn note_retry(&self) {
        let retries = self.0.with_state(|state| {
            let work = &mut state.details.get_or_insert_with(Box::default).work;
            work.retries = work.retries.saturating_add(1);
            work.retries
        });
        self.annotate("retries", retries);
    }

    /// A value stood in for what could not be had.
    pub(crate) fn note_fallback(&self, name: &'static str) {
        self.0.with_state(|state| {
            let fallbacks = &mut state.details.get_or_insert_with(Box::default).work.fallbacks;
            if fallbacks.len() < MAX_FALLBACKS && !fallbacks.contains(&name) {
                fallbacks.push(name);
            }
        });
        self.annotate("fallback", name);
    }

    /// Retries, and fallbacks by name, of the entry so far.
    pub(crate) fn retries_and_fallbacks(&self) -> (u32, Vec<&'static str>) {
        self.0.with_state(|state| {
            let work = state.details.as_ref().map(|details| &details.work);
            work.map_or((0, Vec::new()), |work| (work.retries, work.fallbacks.clone()))
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let stage = self.entry.0.with_state(|state| {
            let details = state.details.as_mut()?;
            let at = details.work.calls.iter().position(|(call, _)| *call == self.call)?;
            let latest = at + 1 == details.work.calls.len();
            let (_, name) = details.work.calls.remove(at);
            // a stage that was set meanwhile stays
            if !latest || details.stage() != Some(&name) {
                return None;
            }
            let work = &mut details.work;
            Some(work.calls.last().map(|(_, name)| name.clone()).or(work.before.take()).unwrap_or_default())
        });
        if let Some(stage) = stage {
            self.entry.set_stage(stage);
        }
    }
}
