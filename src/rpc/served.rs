//! What a call that came in adds to the guard of its request.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Buf;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use opentelemetry::{Context as OtelContext, KeyValue, trace::TraceContextExt as _};

use super::{
    messages::Messages,
    method::Called,
    request_body::Received,
    semconv::{self, Conclusion, Known, Status},
    server::Serving,
};
use crate::{
    config::AccessLog,
    http::ServerEnding,
    requests::{Current, Outcome, STREAMING},
};

/// A call while it is served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(super) serving: Arc<Serving>,
    pub(super) called: Called,
    /// The path, where it names no method.
    pub(super) path: Box<str>,
    pub(super) entry: Current,
    pub(super) timeout: Option<Duration>,
    pub(super) received: Received,
    pub(super) sent: Messages,
    pub(super) status: Status,
    pub(super) streams: bool,
}

impl Served {
    /// The entry of the call, or of the HTTP request that it is.
    pub(crate) fn entry(&self) -> &Current {
        &self.entry
    }

    /// The place where the request's body counts.
    pub(super) fn received(&self) -> (Received, Current) {
        (self.received.clone(), self.entry.clone())
    }

    /// The headers are there; without a body they have the status. What is wanted of them goes to the span.
    pub(crate) fn headers(&mut self, http: StatusCode, headers: &HeaderMap, context: &OtelContext) {
        self.status.read(headers);
        self.capture(headers, context);
        if http.is_success() && self.status.code != Some(semconv::Code::UNIMPLEMENTED) {
            self.settle(Some(true));
        }
    }

    /// A method that exists becomes the entry's route; one that somebody made up does not.
    fn settle(&self, exists: Option<bool>) {
        if matches!(self.called, Called::New(_)) {
            if let Some(method) = self.called.settled(exists) {
                self.entry.show_route(Arc::clone(&method.shared));
            }
        }
    }

    fn capture(&self, headers: &HeaderMap, context: &OtelContext) {
        if let Some(captured) = self.serving.metadata.of_response(headers) {
            context.span().set_attributes(captured);
        }
    }

    /// A frame is on its way to the caller.
    pub(crate) fn frame<D: Buf>(&mut self, frame: &Frame<D>, context: &OtelContext) {
        if let Some(data) = frame.data_ref() {
            self.sent.see(data);
            if self.sent.count().is_some_and(|count| count > 1) {
                self.stream();
            }
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.status.read(trailers);
            self.capture(trailers, context);
        }
    }

    /// The caller waits for the rest of the answer: of a single message nothing is waited for.
    pub(crate) fn waits(&mut self) {
        self.stream();
    }

    fn stream(&mut self) {
        if !std::mem::replace(&mut self.streams, true) {
            self.entry.set_stage(STREAMING);
        }
    }

    /// How the call ends: an answer to a caller that was cut off meanwhile reaches nobody.
    pub(crate) fn ending(&self, ending: ServerEnding) -> ServerEnding {
        match ending {
            ServerEnding::Answered if self.received.is_cut() && self.sent.is_empty() => {
                ServerEnding::Cancelled
            }
            ServerEnding::Answered if self.received.is_cut() => ServerEnding::Aborted,
            ending => ending,
        }
    }

    pub(crate) fn conclude(
        &self,
        ending: ServerEnding,
        http: Option<StatusCode>,
        duration: Duration,
    ) -> Conclusion {
        let known = Known { status: self.status.code, http, timeout: self.timeout, duration };
        semconv::served(ending, &known)
    }

    pub(crate) fn outcome(ending: ServerEnding, conclusion: &Conclusion) -> Outcome {
        match ending {
            ServerEnding::Answered if conclusion.error.is_some() => Outcome::Failed,
            ServerEnding::Answered => Outcome::Completed,
            ServerEnding::Error(_) => Outcome::Failed,
            ServerEnding::Panicked => Outcome::Panicked,
            ServerEnding::Cancelled => Outcome::Cancelled,
            ServerEnding::Aborted | ServerEnding::BodyError(_) => Outcome::Aborted,
        }
    }

    /// Whether some service has the method, if that is known.
    fn exists(conclusion: &Conclusion) -> Option<bool> {
        conclusion.answered().map(|code| code != semconv::Code::UNIMPLEMENTED)
    }

    /// The duration, in the current context.
    pub(crate) fn measure(&self, conclusion: Conclusion, duration: Duration, own: Vec<KeyValue>) {
        let method = self.called.settled(Self::exists(&conclusion));
        self.serving.instruments.record(method, None, conclusion, duration, own);
    }

    /// The rest of the span, but for its end.
    pub(crate) fn describe(&self, conclusion: &Conclusion, context: &OtelContext) {
        let span = context.span();
        if matches!(self.called, Called::New(_)) {
            match self.called.settled(Self::exists(conclusion)) {
                Some(method) => span.set_attribute(semconv::method(method.full)),
                None => {
                    span.set_attributes(semconv::other_method(&self.path));
                    span.update_name(semconv::UNKNOWN_NAME);
                }
            }
        }
        span.set_attributes(semconv::end(conclusion));
        span.set_attributes(semconv::messages(self.received.count(), self.sent.count()));
        if conclusion.error.is_some() {
            span.set_status(self.serving.metadata.failure(&self.status));
        }
    }

    /// What the entry shows at its end.
    pub(crate) fn annotate(&self, conclusion: &Conclusion) {
        self.settle(Self::exists(conclusion));
        if let Some(code) = conclusion.code.filter(|code| *code != semconv::Code::OK) {
            self.entry.annotate("status", code.name());
        }
    }

    /// What a person should read about the end, inside of the call's span and entry.
    pub(crate) fn log(
        &self,
        error: Option<(&'static str, &dyn fmt::Display)>,
        ending: ServerEnding,
        conclusion: &Conclusion,
        access: Option<AccessLog>,
        duration: Duration,
    ) {
        let method = self.called.text();
        let outcome = Self::outcome(ending, conclusion).as_str();
        match (error, ending) {
            (Some((kind, message)), _) => semconv::log_exception(kind, message, method),
            (None, ServerEnding::Cancelled | ServerEnding::Aborted) => semconv::log_left(outcome, method),
            (None, ServerEnding::Answered) => {
                let told = conclusion.code.filter(|code| semconv::is_told(*code));
                if let (Some(code), Some(message)) = (told, &self.status.message) {
                    semconv::log_exception(code.name(), message, method);
                }
            }
            _ => {}
        }
        if let Some(wanted) = access {
            semconv::log_access(wanted, method, conclusion, outcome, duration);
        }
    }
}
