//! The status of a call: its code and its words, and what means one where none was sent (grpc/doc/statuscodes.md).

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::http as web;

/// The longest message of a status that is kept, in bytes.
const MAX_MESSAGE: usize = 1024;

/// A status code of gRPC (grpc/doc/statuscodes.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Code(pub(super) u8);

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Code {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const CANCELLED: Self = Self(1);
    pub(crate) const UNKNOWN: Self = Self(2);
    pub(crate) const DEADLINE_EXCEEDED: Self = Self(4);
    pub(crate) const PERMISSION_DENIED: Self = Self(7);
    pub(crate) const RESOURCE_EXHAUSTED: Self = Self(8);
    pub(crate) const UNIMPLEMENTED: Self = Self(12);
    pub(crate) const INTERNAL: Self = Self(13);
    pub(crate) const UNAVAILABLE: Self = Self(14);
    pub(super) const DATA_LOSS: Self = Self(15);
    const UNAUTHENTICATED: Self = Self(16);

    /// The name that attributes have.
    pub(crate) fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }

    /// `grpc-status`; what is no code counts as UNKNOWN, as clients do.
    fn parse(value: &HeaderValue) -> Self {
        let code = value.to_str().ok().and_then(|code| code.parse::<u8>().ok());
        code.filter(|code| usize::from(*code) < NAMES.len()).map_or(Self::UNKNOWN, Self)
    }

    /// What an answer without a status means (grpc/doc/http-grpc-status-mapping.md).
    pub(super) fn of_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502..=504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    /// Whether a server has failed with it (rpc/grpc.md); for a client everything but OK is a failure.
    pub(super) fn is_servers_fault(self) -> bool {
        matches!(
            self,
            Self::UNKNOWN
                | Self::DEADLINE_EXCEEDED
                | Self::UNIMPLEMENTED
                | Self::INTERNAL
                | Self::UNAVAILABLE
                | Self::DATA_LOSS
        )
    }
}

/// The status in headers or trailers, and what it says in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) code: Option<Code>,
    pub(crate) message: Option<String>,
}

impl Status {
    /// Reads what is there; what was there before stays otherwise.
    pub(crate) fn read(&mut self, headers: &HeaderMap) {
        let Some(code) = headers.get("grpc-status") else { return };
        self.code = Some(Code::parse(code));
        self.message = headers.get("grpc-message").filter(|message| !message.is_empty()).map(|message| {
            let text = percent_encoding::percent_decode(message.as_bytes()).decode_utf8_lossy();
            web::clip(&text, MAX_MESSAGE).to_owned()
        });
    }
}

/// The status that a stream's reset means (grpc/doc/PROTOCOL-HTTP2.md "Errors"), by what `h2` has said of it for years: its
/// types are not a dependency.
pub(crate) fn reset(error: &(dyn std::error::Error + 'static)) -> Code {
    let mut link = Some(error);
    while let Some(error) = link {
        let said = error.to_string();
        if let Some(reason) = said.strip_prefix("stream error received: ") {
            return match reason {
                "stream no longer needed" => Code::CANCELLED,
                "refused stream before processing any application logic" => Code::UNAVAILABLE,
                "detected excessive load generating behavior" => Code::RESOURCE_EXHAUSTED,
                "security properties do not meet minimum requirements" => Code::PERMISSION_DENIED,
                _ => Code::INTERNAL,
            };
        }
        link = error.source();
    }
    Code::UNAVAILABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn a_status_is_a_number_up_to_16_with_words_that_are_decoded_and_cut() {
        let read = |code: &str, message: &str| {
            let mut trailers = headers("grpc-status", code);
            trailers.insert("grpc-message", message.parse().unwrap());
            let mut status = Status::default();
            status.read(&trailers);
            (status.code.unwrap().name(), status.message)
        };
        assert_eq!(read("5", "no%20such %E2%82%AC"), ("NOT_FOUND", Some("no such €".to_owned())));
        for bad in ["17", "-1", "x", "300"] {
            assert_eq!(read(bad, "").0, "UNKNOWN");
        }
        assert_eq!(read("13", &"x".repeat(5000)).1.unwrap().len(), MAX_MESSAGE);
    }
}
