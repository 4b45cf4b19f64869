//! What a call that goes out adds to the guard of its request.

use std::{
    borrow::Cow,
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Buf;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use opentelemetry::{
    Context as OtelContext,
    trace::{Status as SpanStatus, TraceContextExt as _},
};

use super::{
    client::Calling,
    messages::Messages,
    method::{self, Called},
    semconv::{self, Code, Known, Status},
};
use crate::http::{self as web, ClientEnding, Target};

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
    pub(crate) fn headers(&mut self, headers: &HeaderMap, context: &OtelContext) {
        self.status.read(headers);
        self.capture(headers, context);
    }

    fn capture(&self, headers: &HeaderMap, context: &OtelContext) {
        let captured = &self.calling.response_metadata;
        if !captured.is_empty() {
            let attributes = web::header_attributes(captured, headers, &self.calling.redactor);
            context.span().set_attributes(attributes);
        }
    }

    /// A frame was read.
    pub(crate) fn frame<D: Buf>(&mut self, frame: &Frame<D>, context: &OtelContext) {
        if let Some(data) = frame.data_ref() {
            self.received.see(data);
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.status.read(trailers);
            self.capture(trailers, context);
        }
    }

    /// The connection or the stream failed.
    pub(crate) fn failed(&mut self, error: &(dyn Error + 'static)) {
        self.reset = Some(semconv::reset(error));
    }

    /// Span and duration, in the current context, which is the call's; `at` is its start, and how long it took.
    pub(crate) fn end(
        self,
        ending: ClientEnding,
        http: Option<StatusCode>,
        context: &OtelContext,
        at: (SystemTime, Duration),
    ) {
        let duration = at.1;
        let known = Known { status: self.status.code, http, timeout: self.timeout, duration };
        let conclusion = semconv::called(ending, self.reset, &known);
        // the program's own calls are of methods in its source
        let method = match &self.called {
            Called::Known(method) => Some(*method),
            Called::New(full) => method::remember(full, true),
            Called::Nothing => None,
        };
        let target = self.target.is_known().then_some(&self.target);
        self.calling.instruments.record(method, target, conclusion, duration, Vec::new());

        let span = context.span();
        if span.is_recording() {
            span.set_attributes(semconv::end(&conclusion));
            span.set_attributes(semconv::messages(None, self.received.count()));
            if conclusion.error.is_some() {
                let words = self.status.message.clone().unwrap_or_default();
                span.set_status(SpanStatus::error(self.calling.redactor.owned_text(words)));
            }
            span.end_with_timestamp(at.0 + duration);
        }
    }
}
