//! The methods that a service knows; every other one is `_OTHER` (http/http-spans.md, `http.request.method`).

/// Methods a settings value can hold at most, `_OTHER` included.
pub(in crate::http) const METHODS_MAX: usize = 32;

/// The methods a service knows, by index; the last one is `_OTHER`.
#[derive(Debug, Clone)]
pub(in crate::http) struct Methods(Vec<&'static str>);

/// A method of [`Methods`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Method {
    index: u8,
    name: &'static str,
}

impl Methods {
    /// The first [`METHODS_MAX`] − 1 of these names. What is not among the usual ones lives as long as the process.
    pub(in crate::http) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let usual = |name: &str| KNOWN.into_iter().find(|known| *known == name);
        let known = names.into_iter().take(METHODS_MAX - 1);
        let known = known.map(|name| usual(name).unwrap_or_else(|| Box::leak(Box::<str>::from(name))));
        Self(known.chain([OTHER]).collect())
    }

    pub(in crate::http) fn find(&self, method: &http::Method) -> Method {
        let known = &self.0[..self.0.len() - 1];
        let index = known.iter().position(|name| *name == method.as_str()).unwrap_or(known.len());
        Method { index: u8::try_from(index).unwrap_or(u8::MAX), name: self.0[index] }
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::new(KNOWN)
    }
}

/// RFC 9110, PATCH (RFC 5789) and QUERY.
const KNOWN: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY"];
pub(super) const OTHER: &str = "_OTHER";

impl Method {
    pub(in crate::http) fn name(self) -> &'static str {
        self.name
    }

    pub(in crate::http) fn index(self) -> usize {
        usize::from(self.index)
    }

    /// A span is named after the method, and `HTTP` where that is unknown.
    pub(in crate::http) fn span_name(self) -> &'static str {
        if self.name == OTHER { "HTTP" } else { self.name }
    }
}
