//! The task-local: which entry the code that runs now belongs to.

use std::{cell::RefCell, fmt, marker::PhantomData};

use super::Current;

/// The entry the running code belongs to, if any.
#[must_use]
#[track_caller]
pub fn current() -> Option<Current> {
    let current = peek();
    super::lost_context::check(current.as_ref());
    current
}

/// [`current`] without a look at the trace.
pub(crate) fn peek() -> Option<Current> {
    STACK.try_with(|stack| stack.try_borrow().ok()?.entries.last()?.1.clone()).ok()?
}

/// Makes `entry` the current one of this thread until the returned value is dropped.
///
/// For the body of a `poll` or of a closure; never hold it across an `.await`: the thread goes on with other work there.
/// Values may be dropped in any order: what is current is the latest one that is left.
#[must_use = "the entry is current until this value is dropped"]
pub fn enter(entry: &Current) -> Entered<'static> {
    Entered { token: push(Some(entry.clone())), home: None, not_send: PhantomData }
}

/// The place where a future keeps the entry it belongs to, between its polls.
///
/// An empty scope says "no entry": inside of it [`current`] is `None`, whatever is current outside.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    entry: Option<Current>,
}

impl Scope {
    /// A scope for this entry, or for none.
    #[must_use]
    pub fn new(entry: Option<Current>) -> Self {
        Self { entry }
    }

    /// A scope for the entry that is current now, or for none.
    #[must_use]
    #[track_caller]
    pub fn capture() -> Self {
        Self::new(current())
    }

    /// The entry, unless it is entered.
    #[must_use]
    pub fn entry(&self) -> Option<&Current> {
        self.entry.as_ref()
    }

    /// Like [`enter()`](enter), but the entry is moved there and back instead of cloned.
    #[must_use = "the entry is current until this value is dropped"]
    pub fn enter(&mut self) -> Entered<'_> {
        Entered { token: push(self.entry.take()), home: Some(self), not_send: PhantomData }
    }
}

/// The entry is current as long as this lives. It stays on its thread.
pub struct Entered<'a> {
    token: Pushed,
    home: Option<&'a mut Scope>,
    not_send: PhantomData<*const ()>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let entry = match &mut self.token {
            Pushed::Token(token) => pop(*token),
            Pushed::Refused(entry) => entry.take(),
        };
        if let Some(home) = &mut self.home {
            home.entry = entry;
        }
    }
}

impl fmt::Debug for Entered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

enum Pushed {
    Token(u64),
    /// The thread is on its way out and has no stack any more.
    Refused(Option<Current>),
}

/// The entries entered on this thread, innermost last, each with its own number so that any can leave first.
struct Stack {
    next: u64,
    entries: Vec<(u64, Option<Current>)>,
}

thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack { next: 0, entries: Vec::new() }) };
}

fn push(entry: Option<Current>) -> Pushed {
    let mut entry = Some(entry);
    let token = STACK.try_with(|stack| {
        let mut stack = stack.try_borrow_mut().ok()?;
        let token = stack.next;
        stack.next = token.wrapping_add(1);
        stack.entries.push((token, entry.take()?));
        Some(token)
    });
    match token {
        Ok(Some(token)) => Pushed::Token(token),
        _ => Pushed::Refused(entry.flatten()),
    }
}

fn pop(token: u64) -> Option<Current> {
    STACK
        .try_with(|stack| {
            let mut stack = stack.try_borrow_mut().ok()?;
            if matches!(stack.entries.last(), Some((own, _)) if *own == token) {
                return stack.entries.pop()?.1;
            }
            let index = stack.entries.iter().rposition(|(own, _)| *own == token)?;
            stack.entries.remove(index).1
        })
        .ok()?
}
