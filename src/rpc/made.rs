//! What a call that goes out adds to the guard of its request.

use std::{borrow::Cow, error::Error, sync::Arc, time::Duration};

use bytes::Buf;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use opentelemetry::trace::SpanRef;

use super::{
    client::Calling,
    messages::Messages,
    method::{self, Called},
    semconv::{self, Code, Conclusion, Known, Status},
};
use crate::{
    http::{ClientEnding, Target},
    owned_span::OwnedSpan,
};

/// A call while it is made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(super) calling: Arc<Calling>,
    pub(super) called: Called,
    pub(super) target: Target,
    pub(super) timeout: Option<Duration>,
    pub(super) received: Messages,
    pub(super) status: Status,
    pub(super) reset: Option<Code>,
}

impl Made {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn span_name(&self) -> Cow<'static, str> {
        self.called.span_name()
    }

    /// Who is called, for a person: the address, or the method where that is not known.
    pub(crate) fn shown(&self) -> String {
        if self.target.is_known() { self.target.shown() } else { self.called.text().to_owned() }
    }

    /// The headers are there; without a body they have the status.
    pub(crate) fn headers(&mut self, headers: &HeaderMap, span: &OwnedSpan) {
        self.status.read(headers);
        self.capture(headers, span);
    }

    fn capture(&self, headers: &HeaderMap, span: &OwnedSpan) {
        let captured = self.calling.metadata.of_response(headers);
        if let (Some(captured), Some(span)) = (captured, span.recording()) {
            span.set_attributes(captured);
        }
    }

    /// A frame was read.
    pub(crate) fn frame<D: Buf>(&mut self, frame: &Frame<D>, span: &OwnedSpan) {
        if let Some(data) = frame.data_ref() {
            self.received.see(data);
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.status.read(trailers);
            self.capture(trailers, span);
        }
    }

    /// The connection or the stream failed.
    pub(crate) fn failed(&mut self, error: &(dyn Error + 'static)) {
        self.reset = Some(semconv::reset(error));
    }

    pub(crate) fn conclude(
        &self,
        ending: ClientEnding,
        http: Option<StatusCode>,
        duration: Duration,
    ) -> Conclusion {
        let known = Known { status: self.status.code, http, timeout: self.timeout, duration };
        semconv::called(ending, self.reset, &known)
    }

    /// The duration, in the current context.
    pub(crate) fn measure(&self, conclusion: Conclusion, duration: Duration) {
        // the program's own calls are of methods in its source
        let method = match &self.called {
            Called::Known(method) => Some(*method),
            Called::New(full) => method::remember(full, true),
            Called::Nothing => None,
        };
        let target = self.target.is_known().then_some(&self.target);
        self.calling.instruments.record(method, target, conclusion, duration, Vec::new());
    }

    /// The rest of the span, but for its end.
    pub(crate) fn describe(&self, conclusion: &Conclusion, span: &SpanRef<'_>) {
        span.set_attributes(semconv::end(conclusion));
        span.set_attributes(semconv::messages(None, self.received.count()));
        if conclusion.error.is_some() {
            span.set_status(self.calling.metadata.failure(&self.status));
        }
    }
}
