//! Stages and annotations of one entry, both bounded.

use std::{borrow::Cow, fmt, sync::Arc as StdArc, time::Duration};

use opentelemetry::KeyValue;
use tokio::sync::Notify;

use super::{calls::Work, kept_records::Holder, log_lines::Lines};

/// Made with an entry's first stage or annotation.
#[derive(Default)]
pub(super) struct Details {
    pub(super) stages: Vec<Stage>,
    pub(super) stages_dropped: u32,
    pub(super) annotations: Vec<Annotation>,
    pub(super) annotations_dropped: u32,
    /// Wakes those who wait for the entry to be cancelled; made by the first of them.
    pub(super) cancel: Option<StdArc<Notify>>,
    /// Who asked for that.
    pub(super) cancelled_by: Option<Box<str>>,
    /// For span, logs and metrics.
    pub(super) attributes: Vec<KeyValue>,
    pub(super) lines: Lines,
    pub(super) work: Work,
    pub(super) holder: Holder,
}

/// A stage an entry went into.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stage {
    /// Its name.
    pub name: Cow<'static, str>,
    /// When it began, after the start of the entry.
    pub at: Duration,
}

/// A fact about an entry. `Debug` and JSON do not show the value of a sensitive one.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Annotation {
    /// Its key, unique within the entry.
    pub key: Cow<'static, str>,
    value: Box<str>,
    /// Whether the value is for nobody's eyes but the program's.
    pub sensitive: bool,
}

impl Annotation {
    /// The same for a viewer who may see it all.
    #[cfg(feature = "admin")]
    pub(crate) fn revealed(self) -> Self {
        Self { sensitive: false, ..self }
    }

    /// The value as it may be shown.
    #[must_use]
    pub fn shown(&self) -> &str {
        if self.sensitive { "[redacted]" } else { &self.value }
    }

    /// The value itself, also of a sensitive annotation.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Annotation")
            .field("key", &self.key)
            .field("value", &self.shown())
            .finish_non_exhaustive()
    }
}

impl Details {
    pub(super) const MAX_STAGES: usize = 16;
    /// How many of the first stages are kept when later ones push others out.
    pub(super) const FIRST_STAGES: usize = 4;
    pub(super) const MAX_STAGE_NAME: usize = 64;
    pub(super) const MAX_ANNOTATIONS: usize = 32;
    pub(super) const MAX_KEY: usize = 64;
    pub(super) const MAX_VALUE: usize = 256;

    /// What a snapshot shows: stages, and how many are left out; the same of annotations.
    pub(super) fn shown(&self) -> (Vec<Stage>, u32, Vec<Annotation>, u32) {
        (self.stages.clone(), self.stages_dropped, self.annotations.clone(), self.annotations_dropped)
    }

    pub(super) fn stage(&self) -> Option<&Cow<'static, str>> {
        self.stages.last().map(|stage| &stage.name).filter(|name| !name.is_empty())
    }

    pub(super) fn set_stage(&mut self, name: Cow<'static, str>, at: Duration) {
        if self.stage().map_or("", AsRef::as_ref) == name {
            return;
        }
        if self.stages.len() == Self::MAX_STAGES {
            self.stages.remove(Self::FIRST_STAGES);
            self.stages_dropped = self.stages_dropped.saturating_add(1);
        }
        self.stages.push(Stage { name, at });
    }

    pub(super) fn annotate(&mut self, key: Cow<'static, str>, value: Box<str>, sensitive: bool) {
        let new = Annotation { key, value, sensitive };
        if let Some(old) = self.annotations.iter_mut().find(|old| old.key == new.key) {
            *old = new;
        } else if self.annotations.len() < Self::MAX_ANNOTATIONS {
            self.annotations.push(new);
        } else {
            self.annotations_dropped = self.annotations_dropped.saturating_add(1);
        }
    }
}
