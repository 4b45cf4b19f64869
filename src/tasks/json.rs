//! Counts and periodic tasks as JSON: a contract, so every key is written out here.

use std::time::SystemTime;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{PeriodicJob, State, TaskCounts};
use crate::timestamp::rfc3339_micros;

/// `{"name", "sent", "received", "started", "retried", "succeeded", "failed", "cancelled", "panicked"}`
impl Serialize for TaskCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(1 + State::ALL.len()))?;
        out.serialize_entry("name", &self.name)?;
        for state in State::ALL {
            out.serialize_entry(state.as_str(), &self.of(state))?;
        }
        out.end()
    }
}

/// `{"name", "interval_ms", "last_run", "next_run", "last_duration_ms", "last_error", "running", "overrun", "runs",
/// "failures", "overruns"}`; times are RFC 3339 or null.
impl Serialize for PeriodicJob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(11))?;
        out.serialize_entry("name", &self.name)?;
        out.serialize_entry("interval_ms", &(self.interval.as_secs_f64() * 1e3))?;
        out.serialize_entry("last_run", &self.last_run.map(text))?;
        out.serialize_entry("next_run", &text(self.next_run))?;
        let duration = self.last_duration.map(|duration| duration.as_secs_f64() * 1e3);
        out.serialize_entry("last_duration_ms", &duration)?;
        out.serialize_entry("last_error", &self.last_error)?;
        out.serialize_entry("running", &self.running)?;
        out.serialize_entry("overrun", &self.overrun)?;
        out.serialize_entry("runs", &self.runs)?;
        out.serialize_entry("failures", &self.failures)?;
        out.serialize_entry("overruns", &self.overruns)?;
        out.end()
    }
}

fn text(time: SystemTime) -> String {
    let mut text = String::with_capacity(27);
    rfc3339_micros(time, &mut text);
    text
}
