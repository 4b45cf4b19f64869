//! Messages that are the same each time: allocated, and looked through for secrets, once per call site and thread.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    hash::{BuildHasher as _, BuildHasherDefault},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use opentelemetry::StringValue;
use rustc_hash::FxHasher;
use tracing::{callsite::Identifier, field::Field};

use super::fields::PANICKED;
use crate::redaction::{Mark, Redactor};

/// Call sites remembered per thread.
const SLOTS: usize = 64;
/// Longest message that is remembered, in bytes.
const MAX: usize = 256;

#[derive(Debug)]
enum Slot {
    Free,
    /// So far the call site had this one message.
    Same(Message),
    /// It has several: remembering them would only cost.
    Varies(Identifier),
}

#[derive(Debug)]
struct Message {
    callsite: Identifier,
    rules: Mark,
    text: Box<str>,
    shown: Arc<str>,
}

struct Messages {
    formatted: String,
    slots: [Slot; SLOTS],
}

thread_local! {
    static MESSAGES: RefCell<Messages> =
        const { RefCell::new(Messages { formatted: String::new(), slots: [const { Slot::Free }; SLOTS] }) };
}

/// What may be seen of a message, if it is that of a call site that says the same each time; `None` = to be formatted as
/// any other value.
pub(super) fn remembered(field: &Field, value: &dyn fmt::Debug, redactor: &Redactor) -> Option<StringValue> {
    let callsite = field.callsite();
    let index = BuildHasherDefault::<FxHasher>::default().hash_one(&callsite) as usize % SLOTS;
    MESSAGES
        .try_with(|messages| {
            // taken while the value of another message is being formatted
            let mut messages = messages.try_borrow_mut().ok()?;
            let Messages { formatted, slots } = &mut *messages;
            let slot = slots.get_mut(index)?;
            if matches!(slot, Slot::Varies(varies) if *varies == callsite) {
                return None;
            }
            formatted.clear();
            let written = catch_unwind(AssertUnwindSafe(|| write!(Short(formatted), "{value:?}")));
            if matches!(written, Ok(Err(_))) {
                formatted.clear();
                formatted.shrink_to(MAX);
                *slot = Slot::Varies(callsite);
                return None;
            }
            if written.is_err() {
                return Some(PANICKED.into());
            }
            match slot {
                Slot::Same(message) if message.callsite == callsite && redactor.is(&message.rules) => {
                    if *message.text == **formatted {
                        return Some(Arc::clone(&message.shown).into());
                    }
                    *slot = Slot::Varies(callsite);
                    return None;
                }
                _ => {}
            }
            // before the look: rules that change meanwhile make it be looked through again
            let rules = redactor.mark();
            let shown: Arc<str> = redactor.text(formatted).into();
            let text = formatted.as_str().into();
            *slot = Slot::Same(Message { callsite, rules, text, shown: Arc::clone(&shown) });
            Some(shown.into())
        })
        .ok()?
}

/// Takes so much as is remembered; a longer message is formatted elsewhere, as far as it is kept.
struct Short<'a>(&'a mut String);

impl fmt::Write for Short<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.0.len() + piece.len() > MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(piece);
        Ok(())
    }
}
