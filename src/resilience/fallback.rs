//! What stands in for an answer that could not be had.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::observe;

/// A fallback of one feature: marked in the answer, logged, counted, and remembered by the request.
///
/// ```
/// # async fn fetch() -> Result<u32, std::io::Error> { Err(std::io::Error::other("down")) }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use tracewell::resilience::{Fallback, Substitute};
///
/// static CACHED: Fallback = Fallback::new("prices", "cached");
/// let answer = CACHED.instead_of(fetch().await, |_error| Substitute::new(7).aged(std::time::Duration::from_secs(60)));
/// assert_eq!((answer.value, answer.fallback), (7, Some("cached")));
/// # });
/// ```
#[derive(Debug)]
pub struct Fallback {
    feature: &'static str,
    name: &'static str,
    in_use: AtomicBool,
}

/// A value that stands in for another.
#[derive(Debug, Clone, Copy)]
pub struct Substitute<T> {
    value: T,
    age: Option<Duration>,
}

/// An answer that says whether it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The value.
    pub value: T,
    /// The fallback's name, if it is not the real value.
    pub fallback: Option<&'static str>,
    /// How old the fallback's value is, where that means anything.
    pub age: Option<Duration>,
}

impl<T> Substitute<T> {
    /// A default or simplified value.
    pub const fn new(value: T) -> Self {
        Self { value, age: None }
    }

    /// A cached value that is this old.
    #[must_use]
    pub fn aged(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }
}

impl Fallback {
    /// The fallback `name` (`cached`, `default`, `deferred`, …) of a feature; both are attributes of a metric.
    #[must_use]
    pub const fn new(feature: &'static str, name: &'static str) -> Self {
        Self { feature, name, in_use: AtomicBool::new(false) }
    }

    /// The result's value, or the substitute for it.
    pub fn instead_of<T, E: fmt::Display>(
        &self,
        result: Result<T, E>,
        substitute: impl FnOnce(&E) -> Substitute<T>,
    ) -> Answer<T> {
        if !self.in_use.swap(true, Ordering::Relaxed) {
            observe::fallback_in_use(self.feature, self.name);
        }
        match result {
            Ok(value) => Answer { value, fallback: None, age: None },
            Err(error) => {
                let Substitute { value, age } = substitute(&error);
                observe::fell_back(self.feature, self.name, &error, age);
                Answer { value, fallback: Some(self.name), age }
            }
        }
    }
}
