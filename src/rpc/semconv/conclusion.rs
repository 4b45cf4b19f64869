//! How a call ended: status, error and outcome, the same for span and metric (rpc/grpc.md).

use std::time::Duration;

use http::StatusCode;

use super::Code;
use crate::http::{ClientEnding, ServerEnding};

/// A client's clock and network may let a call end this much before its deadline.
const EARLY: Duration = Duration::from_millis(10);

/// How a call ended, as span and metric tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Conclusion {
    pub(crate) code: Option<Code>,
    /// `error.type`; none when it went well.
    pub(crate) error: Option<&'static str>,
    pub(super) outcome: Option<&'static str>,
}

/// What is known of a call when it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// The status that was sent or received.
    pub(crate) status: Option<Code>,
    pub(crate) http: Option<StatusCode>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) duration: Duration,
}

impl Conclusion {
    /// The code of the answer, if there was one.
    pub(crate) fn answered(&self) -> Option<Code> {
        if self.outcome.is_some() { None } else { self.code }
    }
}

impl Known {
    fn answered(&self) -> Code {
        self.status.unwrap_or_else(|| self.http.map_or(Code::UNKNOWN, Code::of_http))
    }

    fn is_late(&self) -> bool {
        self.timeout.is_some_and(|timeout| self.duration + EARLY.min(timeout / 10) >= timeout)
    }

    /// The status of a call that was given up: by its deadline, or by its caller.
    fn given_up(&self) -> Code {
        if self.is_late() { Code::DEADLINE_EXCEEDED } else { Code::CANCELLED }
    }
}

/// How a call ended here, on the server.
pub(crate) fn served(ending: ServerEnding, known: &Known) -> Conclusion {
    let fault = |code: Code| code.is_servers_fault().then(|| code.name());
    match ending {
        ServerEnding::Answered => {
            let code = known.answered();
            Conclusion { code: Some(code), error: fault(code), outcome: None }
        }
        ServerEnding::Error(name) => Conclusion { code: None, error: Some(name), outcome: None },
        ServerEnding::Panicked => Conclusion { code: None, error: Some("panic"), outcome: None },
        ServerEnding::Cancelled | ServerEnding::Aborted => {
            let code = known.given_up();
            let outcome = if ending == ServerEnding::Cancelled { "cancelled" } else { "aborted" };
            Conclusion { code: Some(code), error: fault(code), outcome: Some(outcome) }
        }
        ServerEnding::BodyError(name) => {
            Conclusion { code: None, error: Some(name), outcome: Some("aborted") }
        }
    }
}

/// How a call ended that was made here; `reset` is what the connection's error says, if it was one.
pub(crate) fn called(ending: ClientEnding, reset: Option<Code>, known: &Known) -> Conclusion {
    let failed = |code: Code| (code != Code::OK).then(|| code.name());
    match ending {
        ClientEnding::Answered => {
            let code = known.answered();
            Conclusion { code: Some(code), error: failed(code), outcome: None }
        }
        ClientEnding::Failed(kind) => {
            let code = match kind {
                "timeout" => Code::DEADLINE_EXCEEDED,
                _ if known.is_late() => Code::DEADLINE_EXCEEDED,
                "connect" | "dns" | "tls" => Code::UNAVAILABLE,
                _ => reset.unwrap_or(Code::UNKNOWN),
            };
            let error = if code == Code::DEADLINE_EXCEEDED { code.name() } else { kind };
            Conclusion { code: Some(code), error: Some(error), outcome: None }
        }
        ClientEnding::Cancelled | ClientEnding::Aborted => {
            let code = known.given_up();
            let outcome = if ending == ClientEnding::Cancelled { "cancelled" } else { "aborted" };
            Conclusion { code: Some(code), error: failed(code), outcome: Some(outcome) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_codes_are_a_servers_fault_and_everything_but_ok_is_a_clients() {
        let known = |code, http| Known {
            status: code,
            http: StatusCode::from_u16(http).ok(),
            timeout: None,
            duration: Duration::ZERO,
        };
        let mut faults = Vec::new();
        for code in 0..17 {
            let known = known(Some(Code(code)), 200);
            faults.extend(served(ServerEnding::Answered, &known).error);
            assert_eq!(called(ClientEnding::Answered, None, &known).error.is_none(), code == 0);
        }
        assert_eq!(
            faults,
            ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]
        );
        // an answer without a status
        let code = |http| served(ServerEnding::Answered, &known(None, http)).code.unwrap().name();
        assert_eq!([200, 404, 503].map(code), ["UNKNOWN", "UNIMPLEMENTED", "UNAVAILABLE"]);
    }

    #[test]
    fn what_ends_at_its_deadline_has_exceeded_it_and_what_ends_before_was_cancelled() {
        let after = |millis| Known {
            status: None,
            http: None,
            timeout: Some(Duration::from_secs(1)),
            duration: Duration::from_millis(millis),
        };
        let server = |millis| served(ServerEnding::Cancelled, &after(millis));
        let client = |millis| called(ClientEnding::Aborted, None, &after(millis));
        assert_eq!((server(900).error, server(900).code), (None, Some(Code::CANCELLED)));
        assert_eq!((server(995).error, server(995).outcome), (Some("DEADLINE_EXCEEDED"), Some("cancelled")));
        assert_eq!((client(900).error, client(1000).error), (Some("CANCELLED"), Some("DEADLINE_EXCEEDED")));
        let failed = |kind| called(ClientEnding::Failed(kind), Some(Code::INTERNAL), &after(10));
        assert_eq!(
            (failed("timeout").error, failed("connect").error),
            (Some("DEADLINE_EXCEEDED"), Some("connect"))
        );
        assert_eq!(failed("reset").code, Some(Code::INTERNAL));
    }
}
