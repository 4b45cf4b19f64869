//! Sections that a program adds to what is shown: called for each answer, never on the thread that answers.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::Duration,
};

use serde_json::{Value, json};

/// The longest all sections of an answer may take together.
const LONGEST: Duration = Duration::from_secs(1);

type Section = Arc<dyn Fn() -> Result<Value, String> + Send + Sync>;

/// Named sections, in the order they were added.
#[derive(Default)]
pub(crate) struct Sections(Mutex<Vec<Added>>);

#[derive(Clone)]
struct Added {
    name: String,
    section: Section,
    /// A call of it is under way: one that never ends takes one thread, not one per answer.
    busy: Arc<Mutex<()>>,
}

impl Added {
    fn call(&self) -> Result<Value, String> {
        match self.busy.try_lock() {
            Err(TryLockError::WouldBlock) => Err("an earlier call of it has not ended".to_owned()),
            // a call that panicked is over
            Ok(_) | Err(TryLockError::Poisoned(_)) => (self.section)(),
        }
    }
}

impl Sections {
    /// Of two with one name the later counts.
    pub(crate) fn add(
        &self,
        name: String,
        section: impl Fn() -> Result<Value, String> + Send + Sync + 'static,
    ) {
        let mut added = self.lock();
        added.retain(|other| other.name != name);
        added.push(Added { name, section: Arc::new(section), busy: Arc::default() });
    }

    /// Calls every section but those in `off`, all at once; an error, a panic and a timeout stand in a section's place
    /// as `{"error": "…"}`. Cancel safe: calls go on.
    pub(crate) async fn read(&self, off: &HashSet<String>) -> Vec<(String, Value)> {
        let added = self.lock().clone();
        let begun: Vec<_> = added
            .into_iter()
            .filter(|added| !off.contains(&added.name))
            .map(|added| (added.name.clone(), tokio::task::spawn_blocking(move || added.call())))
            .collect();
        let mut read = Vec::with_capacity(begun.len());
        if begun.is_empty() {
            return read;
        }
        let deadline = tokio::time::Instant::now() + LONGEST;
        for (name, section) in begun {
            let value = match tokio::time::timeout_at(deadline, section).await {
                Ok(Ok(Ok(value))) => value,
                Ok(Ok(Err(error))) => json!({ "error": error }),
                Ok(Err(error)) if error.is_panic() => json!({ "error": "the section panicked" }),
                Ok(Err(_)) => json!({ "error": "the runtime has ended" }),
                Err(_) => json!({ "error": format!("no answer within {} ms", LONGEST.as_millis()) }),
            };
            read.push((name, value));
        }
        read
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Added>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
