//! Records that say the same again and again, and places in the code that log too much: counted instead of logged, and then
//! one record has the number. Memory is bounded: what there is no room to remember is logged.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher as _, Hash, Hasher, RandomState},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry_sdk::logs::SdkLogRecord;
use tracing::Metadata;

use super::outlets::{Outlets, Ways};
use crate::config::LogsConfig;

/// How many records were left out; no convention has a name for it.
const REPEATED: &str = "tracewell.log.repeated";
const LEFT_OUT: &str = "tracewell.log.left_out";
/// Records, and places in the code, remembered at most.
const MOST: usize = 4096;
/// The time over which a rate is counted.
const SECOND: Duration = Duration::from_secs(1);
/// The longest window: an `Instant` cannot hold every time to come.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// A full table is looked through for what is over once in this time, not for each record.
const SWEEP: Duration = Duration::from_millis(100);

/// Counts what is not logged.
pub(in crate::pipeline) struct Throttle {
    window: Option<Duration>,
    rate: Option<u32>,
    hasher: RandomState,
    state: Mutex<State>,
    due: Condvar,
    outlets: Arc<Outlets>,
}

#[derive(Default)]
struct State {
    repeats: Table<Repeat>,
    places: Table<Place>,
    /// A thread tells the numbers in time.
    telling: bool,
    ended: bool,
}

/// What is remembered, [`MOST`] at most.
struct Table<T> {
    known: HashMap<u64, T>,
    swept: Option<Instant>,
}

/// A record that was logged, and those that said the same since.
struct Repeat {
    until: Instant,
    count: u64,
    last: Option<(SdkLogRecord, Ways)>,
}

/// A place in the code, in the current second.
struct Place {
    until: Instant,
    logged: u32,
    left_out: u64,
    ways: Ways,
    target: String,
    code: Option<(String, u32)>,
    severity: (Severity, &'static str),
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("window", &self.window)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

impl Throttle {
    /// `None` when nothing is to be counted.
    pub(in crate::pipeline) fn new(config: &LogsConfig, outlets: &Arc<Outlets>) -> Option<Arc<Self>> {
        if config.repeats.is_none() && config.rate.is_none() {
            return None;
        }
        Some(Arc::new(Self {
            window: config.repeats.map(|window| window.min(LONGEST)),
            rate: config.rate,
            hasher: RandomState::new(),
            state: Mutex::default(),
            due: Condvar::new(),
            outlets: Arc::clone(outlets),
        }))
    }

    /// Whether an event of this place is beyond the rate. What this crate says itself is not limited: it has limits of its own,
    /// and a completion record is one of each request.
    pub(super) fn is_beyond_rate(self: &Arc<Self>, metadata: &Metadata<'_>, ways: Ways) -> bool {
        let Some(rate) = self.rate.filter(|_| !is_own(metadata.target())) else { return false };
        let key =
            self.hasher.hash_one((metadata.target(), metadata.file(), metadata.line(), metadata.level()));
        let now = Instant::now();
        let mut state = self.lock();
        if state.places.known.get(&key).is_some_and(|place| place.until <= now) {
            let told = state.places.known.remove(&key).filter(|place| place.left_out > 0);
            drop(state);
            told.into_iter().for_each(|place| self.tell_place(place));
            state = self.lock();
        }
        // after the end nobody would be told a number
        if state.ended {
            return false;
        }
        let is_over = |place: &Place| place.until <= now && place.left_out == 0;
        if !state.places.known.contains_key(&key) && !state.places.has_room(now, is_over) {
            return false;
        }
        let place = state.places.known.entry(key).or_insert_with(|| Place::new(metadata, now + SECOND));
        if place.logged < rate {
            place.logged += 1;
            return false;
        }
        place.left_out += 1;
        place.ways = place.ways.and(ways);
        self.tell_later(state);
        true
    }

    /// The record, unless it says what another one has said within the window.
    pub(super) fn unless_repeated(
        self: &Arc<Self>,
        metadata: &Metadata<'_>,
        record: SdkLogRecord,
        ways: Ways,
    ) -> Option<SdkLogRecord> {
        let Some(window) = self.window.filter(|_| !is_own(metadata.target())) else { return Some(record) };
        let key = self.key(metadata, &record);
        let now = Instant::now();
        let mut state = self.lock();
        // after the end nobody would be told a number
        if state.ended {
            return Some(record);
        }
        if let Some(repeat) = state.repeats.known.get_mut(&key).filter(|repeat| repeat.until > now) {
            repeat.count += 1;
            let ways = repeat.last.as_ref().map_or(ways, |(_, before)| before.and(ways));
            let before = repeat.last.replace((record, ways));
            self.tell_later(state);
            drop(before);
            return None;
        }
        let over = state.repeats.known.remove(&key);
        if state.repeats.has_room(now, |repeat| repeat.until <= now && repeat.count == 0) {
            state.repeats.known.insert(key, Repeat { until: now + window, count: 0, last: None });
        }
        drop(state);
        over.into_iter().for_each(|repeat| self.tell_repeat(repeat));
        Some(record)
    }

    /// What a record says: all of it but its time and ids.
    fn key(&self, metadata: &Metadata<'_>, record: &SdkLogRecord) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (metadata.target(), metadata.file(), metadata.line(), metadata.level()).hash(&mut hasher);
        if let Some(body) = record.body() {
            hash(body, &mut hasher);
        }
        for (key, value) in record.attributes_iter() {
            key.as_str().hash(&mut hasher);
            hash(value, &mut hasher);
        }
        hasher.finish()
    }

    /// Has a thread tell the numbers, started by the first of them.
    fn tell_later(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.telling {
            return;
        }
        state.telling = true;
        drop(state);
        let throttle = Arc::downgrade(self);
        let tick = self.window.map_or(SECOND, |window| window.min(SECOND)).max(Duration::from_millis(10));
        let telling = thread::Builder::new().name("tracewell-log-counts".into()).spawn(move || {
            // ends where nothing is left to be told; the next one starts it anew
            while let Some(throttle) = throttle.upgrade() {
                if !throttle.wait_and_tell(tick) {
                    return;
                }
            }
        });
        if telling.is_err() {
            self.lock().telling = false;
        }
    }

    /// `false` when there is nothing more to be told.
    fn wait_and_tell(&self, tick: Duration) -> bool {
        let until = Instant::now() + tick;
        let mut state = self.lock();
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.due.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.tell(Some(Instant::now()));
        let mut state = self.lock();
        let more = state.repeats.known.values().any(|repeat| repeat.count > 0)
            || state.places.known.values().any(|place| place.left_out > 0);
        state.telling = more && !state.ended;
        state.telling
    }

    /// Tells the numbers whose time is over, or all of them: telemetry ends.
    pub(in crate::pipeline) fn tell(&self, now: Option<Instant>) {
        let mut state = self.lock();
        let is_over = |until: Instant| now.is_none_or(|now| until <= now);
        let repeats: Vec<Repeat> =
            state.repeats.extract(|repeat| is_over(repeat.until)).filter(|repeat| repeat.count > 0).collect();
        let places: Vec<Place> =
            state.places.extract(|place| is_over(place.until)).filter(|place| place.left_out > 0).collect();
        if now.is_none() {
            state.ended = true;
            self.due.notify_all();
        }
        drop(state);
        repeats.into_iter().for_each(|repeat| self.tell_repeat(repeat));
        places.into_iter().for_each(|place| self.tell_place(place));
    }

    fn tell_repeat(&self, repeat: Repeat) {
        let Some((mut record, ways)) = repeat.last else { return };
        let times = if repeat.count == 1 { "once".to_owned() } else { format!("{} times", repeat.count) };
        let text = match record.body() {
            Some(AnyValue::String(text)) => format!("{} (repeated {times})", text.as_str()),
            _ => format!("(repeated {times})"),
        };
        record.set_body(text.into());
        record.add_attribute(REPEATED, i64::try_from(repeat.count).unwrap_or(i64::MAX));
        self.outlets.put(record, ways, None);
    }

    fn tell_place(&self, place: Place) {
        let now = SystemTime::now();
        let mut record = self.outlets.logger.create_log_record();
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.set_severity_number(place.severity.0);
        record.set_severity_text(place.severity.1);
        record.set_target(place.target);
        let count = place.left_out;
        let rate = self.rate.unwrap_or(0);
        record.set_body(format!("{count} records were left out here: more than {rate} in a second").into());
        record.add_attribute(LEFT_OUT, i64::try_from(count).unwrap_or(i64::MAX));
        if let Some((file, line)) = place.code {
            record.add_attribute(super::layer::CODE_FILE, file);
            record.add_attribute(super::layer::CODE_LINE, i64::from(line));
        }
        self.outlets.put(record, place.ways, None);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn new(metadata: &Metadata<'_>, until: Instant) -> Self {
        let code = metadata.file().map(|file| (file.to_owned(), metadata.line().unwrap_or(0)));
        let level = *metadata.level();
        Self {
            until,
            logged: 0,
            left_out: 0,
            ways: Ways::NONE,
            target: metadata.target().to_owned(),
            code,
            severity: (super::layer::severity(level), level.as_str()),
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), swept: None }
    }
}

impl<T> Table<T> {
    /// Whether one more has a place, perhaps that of one that is over.
    fn has_room(&mut self, now: Instant, is_over: impl Fn(&T) -> bool) -> bool {
        let is_full = self.known.len() >= MOST;
        if is_full && self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
            self.swept = Some(now);
            self.known.retain(|_, value| !is_over(value));
        }
        self.known.len() < MOST
    }

    /// Takes values out.
    fn extract(&mut self, wanted: impl Fn(&T) -> bool) -> impl Iterator<Item = T> {
        let keys: Vec<u64> =
            self.known.iter().filter(|(_, value)| wanted(value)).map(|(key, _)| *key).collect();
        keys.into_iter().filter_map(|key| self.known.remove(&key))
    }
}

fn is_own(target: &str) -> bool {
    target == "tracewell" || target.starts_with("tracewell::")
}

fn hash(value: &AnyValue, hasher: &mut impl Hasher) {
    match value {
        AnyValue::String(text) => text.as_str().hash(hasher),
        AnyValue::Int(value) => value.hash(hasher),
        AnyValue::Boolean(value) => value.hash(hasher),
        AnyValue::Double(value) => value.to_bits().hash(hasher),
        AnyValue::Bytes(value) => value.hash(hasher),
        AnyValue::ListAny(values) => values.iter().for_each(|value| hash(value, hasher)),
        // a map has no order of its own
        other => format!("{other:?}").hash(hasher),
    }
}
