//! What was looked through lately and showed nothing: names and texts come again with every request.
//!
//! For one thread that looks through much, as an exporter's does. Bounded, and exact: a text is compared whole.

use std::{borrow::Cow, hash::BuildHasher as _, sync::Arc};

use rustc_hash::FxBuildHasher;

use super::{Mark, Redactor, Rules};

/// Names and texts that are remembered at most, and the longest of either in bytes: 0.3 MB in all.
const NAMES: usize = 128;
const TEXTS: usize = 1024;
const LONGEST: usize = 256;

/// Whoever knows what is to be hidden.
pub(super) trait Look {
    fn is_secret_name(&mut self, name: &str) -> bool;
    fn text<'a>(&mut self, text: &'a str) -> Cow<'a, str>;
}

/// Looks each time.
impl Look for &Rules {
    fn is_secret_name(&mut self, name: &str) -> bool {
        Rules::is_secret_name(self, name)
    }

    fn text<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        Rules::text(self, text)
    }
}

/// The memory of one thread, for the rules of one redactor.
#[derive(Debug)]
pub(crate) struct Memory {
    rules: Mark,
    names: Table<bool>,
    texts: Table<()>,
}

impl Memory {
    pub(crate) fn new(redactor: &Redactor) -> Self {
        Self::with(redactor.mark())
    }

    fn with(rules: Mark) -> Self {
        Self { rules, names: Table::new(NAMES), texts: Table::new(TEXTS) }
    }

    /// Forgets what was seen with other rules than these, with which is looked now: the redactor may follow others already.
    pub(super) fn of(&mut self, rules: &Arc<Rules>) -> &mut Self {
        if !Arc::ptr_eq(&self.rules.0, rules) {
            *self = Self::with(Mark(Arc::clone(rules)));
        }
        self
    }
}

/// Looks where it does not remember.
pub(super) struct Remembering<'a> {
    pub(super) rules: &'a Rules,
    pub(super) memory: &'a mut Memory,
}

impl Look for Remembering<'_> {
    fn is_secret_name(&mut self, name: &str) -> bool {
        if name.len() > LONGEST {
            return self.rules.is_secret_name(name);
        }
        let (names, slot) = (&mut self.memory.names, Slot::of(name));
        names.known(slot, name).unwrap_or_else(|| {
            let secret = self.rules.is_secret_name(name);
            names.learn(slot, name, secret);
            secret
        })
    }

    fn text<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        if text.len() > LONGEST {
            return self.rules.text(text);
        }
        let (texts, slot) = (&mut self.memory.texts, Slot::of(text));
        if texts.known(slot, text).is_some() {
            return Cow::Borrowed(text);
        }
        let seen = self.rules.text(text);
        // a secret is never kept
        if matches!(seen, Cow::Borrowed(_)) {
            texts.learn(slot, text, ());
        }
        seen
    }
}

/// The place of a text.
#[derive(Debug, Clone, Copy)]
struct Slot(u64);

impl Slot {
    fn of(text: &str) -> Self {
        Self(FxBuildHasher.hash_one(text))
    }
}

/// Each text has one place, which the next one there takes over: nothing to keep in order.
#[derive(Debug)]
struct Table<T>(Box<[Entry<T>]>);

#[derive(Debug)]
struct Entry<T> {
    kept: Option<(Box<str>, T)>,
    /// Who was here last. Only what comes twice in a row is kept: a path with an id in it does not come again.
    last: u64,
}

impl<T: Copy> Table<T> {
    fn new(entries: usize) -> Self {
        Self((0..entries).map(|_| Entry { kept: None, last: 0 }).collect())
    }

    fn known(&self, slot: Slot, text: &str) -> Option<T> {
        let (kept, what) = self.0[slot.0 as usize % self.0.len()].kept.as_ref()?;
        (**kept == *text).then_some(*what)
    }

    fn learn(&mut self, slot: Slot, text: &str, what: T) {
        let length = self.0.len();
        let entry = &mut self.0[slot.0 as usize % length];
        if entry.last == slot.0 {
            entry.kept = Some((text.into(), what));
        }
        entry.last = slot.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look<'a>(redactor: &Redactor, memory: &mut Memory, text: &'a str) -> (bool, Cow<'a, str>) {
        look_with(&redactor.rules(), memory, text)
    }

    fn look_with<'a>(rules: &Arc<Rules>, memory: &mut Memory, text: &'a str) -> (bool, Cow<'a, str>) {
        let mut look = Remembering { rules, memory: memory.of(rules) };
        (look.is_secret_name(text), look.text(text))
    }

    #[test]
    fn what_is_remembered_is_what_looking_would_say() {
        let redactor = Redactor::new().apart();
        let mut memory = Memory::new(&redactor);
        let long = "x".repeat(2 * LONGEST);
        let texts =
            ["GET", "", "api_key", "password=hunter2", "postgres://a:b@db/shop", "Mozilla/5.0", &long];
        for _ in 0..4 {
            for text in texts {
                let said = (redactor.is_secret_name(text), redactor.text(text));
                assert_eq!(look(&redactor, &mut memory, text), said, "{text}");
            }
        }
        let kept: Vec<_> = memory.texts.0.iter().filter_map(|entry| entry.kept.as_ref()).collect();
        assert_eq!(kept.len(), 4, "no secret, and nothing long: {kept:?}");
        let names = memory.names.0.iter().filter_map(|entry| entry.kept.as_ref());
        assert!(names.clone().count() > 3 && names.clone().all(|(name, _)| name.len() <= LONGEST));
    }

    #[test]
    fn other_rules_know_nothing_of_it() {
        let redactor = Redactor::new().apart();
        let mut memory = Memory::new(&redactor);
        for _ in 0..3 {
            assert!(!look(&redactor, &mut memory, "customer").0);
        }
        let before = Arc::clone(&redactor.rules());
        redactor.follow(&Redactor::new().with_names(["customer"]));
        assert!(look(&redactor, &mut memory, "customer").0);
        // a look that had begun with the rules of before
        for _ in 0..3 {
            assert!(!look_with(&before, &mut memory, "customer").0);
        }
        assert!(look(&redactor, &mut memory, "customer").0);
    }

    #[test]
    fn two_texts_in_one_place_are_told_apart() {
        let mut table = Table::new(1);
        for text in ["one", "one", "two"] {
            table.learn(Slot::of(text), text, text.len());
        }
        assert_eq!(
            (table.known(Slot::of("one"), "one"), table.known(Slot::of("two"), "two")),
            (Some(3), None)
        );
    }
}
