//! Texts that come again with request after request, shared instead of copied.

use std::{cell::RefCell, sync::Arc, thread::LocalKey};

use opentelemetry::StringValue;

/// Texts of each kind kept per thread.
const SLOTS: usize = 16;
/// Longest text that is kept, in bytes.
const MAX: usize = 256;

type Texts = RefCell<[Option<Arc<str>>; SLOTS]>;

thread_local! {
    static FEW: Texts = const { RefCell::new([const { None }; SLOTS]) };
    // apart from the others, which many different ones would drive away
    static PATHS: Texts = const { RefCell::new([const { None }; SLOTS]) };
}

/// The text as a value: of one that came lately, without a copy.
///
/// For what few clients send again and again (a host's name, a client's address and program). Each text has one place
/// where it can be, and gives way to the next one there.
pub(crate) fn shared(text: &str) -> StringValue {
    of(&FEW, text).into()
}

/// The same for paths and queries: what is asked for again and again costs no copy, and all the others one.
pub(super) fn path(text: &str) -> Arc<str> {
    of(&PATHS, text)
}

fn of(texts: &'static LocalKey<Texts>, text: &str) -> Arc<str> {
    if text.len() > MAX {
        return Arc::from(text);
    }
    let shared = texts.try_with(|texts| {
        let mut texts = texts.try_borrow_mut().ok()?;
        let place = texts.get_mut(place(text.as_bytes()))?;
        match place {
            Some(kept) if **kept == *text => Some(Arc::clone(kept)),
            _ => Some(Arc::clone(place.insert(Arc::from(text)))),
        }
    });
    // a thread on its way out keeps nothing
    shared.ok().flatten().unwrap_or_else(|| Arc::from(text))
}

/// The length and a few bytes spread hosts, addresses and programs well enough.
fn place(text: &[u8]) -> usize {
    let byte = |at: usize| text.get(at).copied().map_or(0, usize::from);
    let last = text.len().saturating_sub(1);
    (text.len().wrapping_mul(7) ^ byte(last).wrapping_mul(5) ^ byte(last / 2).wrapping_mul(3) ^ byte(0))
        % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_comes_again_is_the_same_memory_and_any_text_is_itself() {
        let address = |value: &StringValue| value.as_str().as_ptr();
        let first = shared("shop.example");
        assert_eq!(address(&first), address(&shared("shop.example")));
        for length in 0..2 * MAX {
            let text = "ab€".repeat(length);
            assert_eq!(shared(&text).as_str(), text);
            assert_eq!(shared(&text).as_str(), text);
        }
    }
}
