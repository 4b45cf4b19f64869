//! The console's stream of events: what is new, as it comes, bounded whoever reads.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    Window,
    console::{Problem, error, off, summary},
    console_overview,
    console_query::{self as query, Views},
    endpoints::gone,
    requests,
};
use crate::{
    console::{LogsBody, OpenStream},
    telemetry::Inner,
};

/// Streams at once.
const STREAMS: usize = 16;
/// Between two looks for what is new.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two overviews: a second.
const TICKS: u32 = 4;
/// Ticks after which something is said in any case.
const HEARTBEAT: u32 = 15 * TICKS;
/// Log records told of in a second.
const LOGS: usize = 500;
/// Traces told of in a tick.
const TRACES: usize = 200;
/// Ticks of which the events wait for a slow reader.
const WAITING: usize = 4;

/// `GET /console/api/events`.
pub(super) async fn events(State(window): State<Window>, request: Request) -> Response {
    let Some(inner) = window.telemetry.upgrade() else { return gone() };
    let views = match query::views(request.uri()) {
        Ok(views) => views,
        Err(problem) => return Problem::Bad(problem).response(),
    };
    let Some(console) = inner.console.get() else { return off(&inner) };
    let Some(open) = console.open_stream(STREAMS) else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open; accepted are 16");
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    let teller = Teller {
        reveal: window.access.has_token(&request),
        window,
        views,
        sender,
        change: console.last(),
        log: console.last(),
        reading: console.changed_metrics(0).0,
        logs_left: LOGS,
        _open: open,
    };
    tokio::spawn(teller.run());
    let stream = HeaderValue::from_static("text/event-stream");
    ([(header::CONTENT_TYPE, stream)], Body::new(Events(receiver))).into_response()
}

/// What one reader is told.
struct Teller {
    window: Window,
    views: Views,
    /// The reader gave the token.
    reveal: bool,
    sender: mpsc::Sender<Bytes>,
    /// The last change of a trace, log record and reading that was told.
    change: u64,
    log: u64,
    reading: u64,
    logs_left: usize,
    _open: OpenStream,
}

impl Teller {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tick: u32 = 0;
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                _ = ticks.tick() => {}
            }
            // a slow reader is told of less, and nothing is kept for it
            let Ok(permit) = self.sender.clone().try_reserve_owned() else { continue };
            let Some(inner) = self.window.telemetry.upgrade() else { return };
            let is_second = tick % TICKS == 0;
            let mut said = String::new();
            if tick == 0 {
                said.push_str("retry: 1000\n\n");
            } else if tick % HEARTBEAT == 0 {
                said.push_str(": heartbeat\n\n");
            }
            if is_second {
                self.logs_left = LOGS;
                if self.views.overview {
                    if let Some(overview) = console_overview::text(&self.window, Arc::clone(&inner)).await {
                        event("overview", &String::from_utf8_lossy(&overview), &mut said);
                    }
                }
            }
            let work = tokio::task::spawn_blocking(move || {
                self.tell(&inner, is_second, &mut said);
                (self, said)
            });
            let Ok((teller, said)) = work.await else { return };
            self = teller;
            if !said.is_empty() {
                permit.send(Bytes::from(said));
            }
            tick = tick.wrapping_add(1);
        }
    }

    /// Everything new but the overview.
    fn tell(&mut self, inner: &Inner, is_second: bool, said: &mut String) {
        let Some(console) = inner.console.get() else { return };
        if self.views.requests && is_second {
            event("requests", &requests::everything(inner, self.reveal).to_string(), said);
        }
        if self.views.traces {
            let last = console.last();
            let changed = console.changed_since(self.change, TRACES);
            self.change = match changed.last() {
                Some(change) if changed.len() == TRACES => change.changed,
                _ => last,
            };
            if !changed.is_empty() {
                let traces: Vec<_> = changed.iter().map(summary).collect();
                event("traces", &json!({ "traces": traces }).to_string(), said);
            }
        }
        if self.views.logs {
            let (logs, beyond, last) = console.logs_after(self.log, self.logs_left);
            self.log = last;
            self.logs_left -= logs.len().min(self.logs_left);
            if !logs.is_empty() {
                // what cannot be written is not worth an end
                let body = serde_json::to_string(&LogsBody::new(&logs, &inner.resource));
                event("logs", &body.unwrap_or_default(), said);
            }
            if beyond > 0 {
                event("lost", &json!({ "logs": beyond }).to_string(), said);
            }
        }
        if self.views.metrics {
            let (reading, names) = console.changed_metrics(self.reading);
            self.reading = reading;
            if !names.is_empty() {
                event("metrics", &json!({ "names": names }).to_string(), said);
            }
        }
    }
}

/// JSON has no line breaks outside of its texts, and there they are escaped.
fn event(name: &str, data: &str, said: &mut String) {
    for part in ["event: ", name, "\ndata: ", data, "\n\n"] {
        said.push_str(part);
    }
}

/// The body of the answer.
struct Events(mpsc::Receiver<Bytes>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|said| said.map(|said| Ok(Frame::data(said))))
    }
}
