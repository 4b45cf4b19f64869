//! The only place where the registry takes its locks, atomics and thread locals from, so that `tests/registry_model.rs` can
//! compile it with those of a model checker.

pub(super) use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering},
    },
    thread_local,
};

/// Locks, also after a panic in another holder: the data is counts and lists that each critical section leaves whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
