//! Headers sent with each export; their values are secrets.

use std::fmt;

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};

use super::{Endpoint, percent_decoded};

/// Headers sent with each export. Values are marked sensitive; `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Reads `name=value,name=value`, values percent-encoded (specification, protocol/exporter.md "Specifying headers via
    /// environment variables"); of two with one name the later counts.
    ///
    /// # Errors
    /// Says which entry is wrong, by name or position, never showing a value.
    pub fn parse(text: &str) -> Result<Self, String> {
        match Self::parse_some(text) {
            (headers, problems) if problems.is_empty() => Ok(headers),
            (_, problems) => Err(problems.join(", ")),
        }
    }

    /// The entries that can be used, and what is wrong with the others.
    pub(in crate::config) fn parse_some(text: &str) -> (Self, Vec<String>) {
        let (mut headers, mut problems) = (Self::default(), Vec::new());
        for (index, entry) in text.split(',').enumerate() {
            if entry.trim().is_empty() {
                continue;
            }
            match Self::entry(entry) {
                Ok((name, value)) => headers.set(name, value),
                Err(problem) => problems.push(format!("entry {} {problem}", index + 1)),
            }
        }
        (headers, problems)
    }

    fn entry(entry: &str) -> Result<(HeaderName, HeaderValue), String> {
        let (name, value) = entry.split_once('=').ok_or("has no \"=\"")?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "has no valid header name")?;
        let decoded = percent_decoded(value.trim());
        // gRPC metadata knows visible ASCII only
        match decoded.and_then(|value| HeaderValue::from_str(&value).ok()).filter(|v| v.to_str().is_ok()) {
            Some(value) => Ok((name, value)),
            None => Err(format!("({name}) has no valid value")),
        }
    }

    /// Adds a header or replaces the one with this name.
    pub fn set(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sends the endpoint's credentials as `authorization`, unless that header is there already.
    pub fn authorize(&mut self, endpoint: &Endpoint) {
        if let Some(value) = endpoint.authorization() {
            if self.0.iter().all(|(name, _)| name != AUTHORIZATION) {
                self.set(AUTHORIZATION, value.clone());
            }
        }
    }

    /// Name and value of each header, in the order given.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&HeaderName, &HeaderValue)> + '_ {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, for people.
    pub(in crate::config) fn names(&self) -> String {
        self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
