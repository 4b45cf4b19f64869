//! The JSON of `/debug/requests`: a contract, so every key is written out here.

use std::time::SystemTime;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};

use super::{ActiveEntry, Annotation, EntryId, Kind, Outcome, RecentEntry, Snapshot, Stage, Totals};
use crate::timestamp::rfc3339_micros;

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Totals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Totals", 6)?;
        out.serialize_field("started", &self.started)?;
        for outcome in Outcome::ALL {
            out.serialize_field(outcome.as_str(), &self.of(outcome))?;
        }
        out.end()
    }
}

/// `unlisted`, `unlisted_tasks` and `overflowed` are written only when they are not 0.
impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("active", &self.active)?;
        out.serialize_entry("totals", &self.totals)?;
        out.serialize_entry("task_totals", &self.task_totals)?;
        out.serialize_entry("recent", &self.recent)?;
        for (key, value) in [
            ("unlisted", self.unlisted),
            ("unlisted_tasks", self.unlisted_tasks),
            ("overflowed", self.overflowed),
        ] {
            if value > 0 {
                out.serialize_entry(key, &value)?;
            }
        }
        out.end()
    }
}

impl Serialize for ActiveEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(15))?;
        identity(&mut out, self)?;
        out.serialize_entry("age_ms", &millis(self.age))?;
        last_state(&mut out, self)?;
        out.serialize_entry("stuck", &self.stuck)?;
        out.end()
    }
}

/// The keys of an active entry but `age_ms` and `stuck`, and how it ended.
impl Serialize for RecentEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(21))?;
        identity(&mut out, &self.entry)?;
        out.serialize_entry("outcome", &self.outcome)?;
        out.serialize_entry("status", &self.status)?;
        out.serialize_entry("duration_ms", &(self.duration.as_secs_f64() * 1e3))?;
        last_state(&mut out, &self.entry)?;
        out.serialize_entry("annotations_dropped", &self.entry.annotations_dropped)?;
        out.serialize_entry("stages", &self.entry.stages)?;
        out.serialize_entry("stages_dropped", &self.entry.stages_dropped)?;
        out.serialize_entry("tasks_at_end", &self.tasks_at_end)?;
        out.serialize_entry("tasks_running", &self.entry.tasks_running)?;
        out.end()
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Stage", 2)?;
        out.serialize_field("stage", &self.name)?;
        out.serialize_field("at_ms", &(self.at.as_secs_f64() * 1e3))?;
        out.end()
    }
}

fn identity<M: SerializeMap>(out: &mut M, entry: &ActiveEntry) -> Result<(), M::Error> {
    out.serialize_entry("id", &entry.id)?;
    out.serialize_entry("kind", &entry.kind)?;
    out.serialize_entry("name", &entry.name)?;
    out.serialize_entry("method", &entry.method)?;
    out.serialize_entry("route", &entry.route.as_deref())?;
    out.serialize_entry("path", &entry.path)?;
    out.serialize_entry("trace_id", &entry.trace_id.map(|id| id.to_string()))?;
    out.serialize_entry("span_id", &entry.span_id.map(|id| id.to_string()))?;
    out.serialize_entry("sampled", &entry.sampled)?;
    out.serialize_entry("started_at", &Timestamp(entry.started_at))
}

fn last_state<M: SerializeMap>(out: &mut M, entry: &ActiveEntry) -> Result<(), M::Error> {
    out.serialize_entry("stage", &entry.stage)?;
    out.serialize_entry("annotations", &Annotations(&entry.annotations))?;
    out.serialize_entry("parent_id", &entry.parent_id)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

struct Timestamp(SystemTime);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(27);
        rfc3339_micros(self.0, &mut text);
        serializer.serialize_str(&text)
    }
}

struct Annotations<'a>(&'a [Annotation]);

impl Serialize for Annotations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|annotation| (&annotation.key, annotation.shown())))
    }
}
