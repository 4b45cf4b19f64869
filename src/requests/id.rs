//! Ids of entries and the thread's own place in the table.

use std::{
    cell::Cell,
    fmt,
    num::NonZeroU64,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Ids a thread takes at once, so that threads meet on the shared counter once in so many entries.
const BLOCK: u64 = 256;

/// The id of an entry: unique in the process, over all registries, and never used again. Shown as short hex text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(NonZeroU64);

impl EntryId {
    /// The id as a number; never 0.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0.get()
    }

    /// The id with this number, if it can be one.
    #[must_use]
    pub const fn from_u64(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The id with this shown form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // a number's own reading takes a sign, too
        let shown = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self::from_u64(u64::from_str_radix(text, 16).ok().filter(|_| shown)?)
    }

    /// Takes the next free id of this thread.
    pub(super) fn next() -> Self {
        let id = THREAD.try_with(|thread| {
            let mut next = thread.next_id.get();
            if next % BLOCK == 0 {
                next = take_block();
            }
            thread.next_id.set(next + 1);
            next
        });
        // a thread on its way out has no place of its own any more and spends a block per id
        let id = id.unwrap_or_else(|_| take_block());
        Self(NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The number of this thread, counted from 0 in order of first use: threads spread evenly over the shards.
pub(super) fn thread_number() -> usize {
    THREAD
        .try_with(|thread| match thread.number.get() {
            usize::MAX => {
                let number = THREADS.fetch_add(1, Ordering::Relaxed);
                thread.number.set(number);
                number
            }
            number => number,
        })
        .unwrap_or(0)
}

struct Thread {
    next_id: Cell<u64>,
    number: Cell<usize>,
}

thread_local! {
    static THREAD: Thread = const { Thread { next_id: Cell::new(0), number: Cell::new(usize::MAX) } };
}

static BLOCKS: AtomicU64 = AtomicU64::new(0);
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The first id of a fresh block. Multiples of `BLOCK` are never ids: they mean "none left".
fn take_block() -> u64 {
    BLOCKS.fetch_add(1, Ordering::Relaxed) * BLOCK + 1
}
