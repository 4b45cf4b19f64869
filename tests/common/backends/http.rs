//! HTTP for the test harness: calls that block, from any thread, also from inside a tokio runtime.

use std::{sync::mpsc, time::Duration};

use serde_json::Value;

/// Loki's first answer after its start may take some seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Http {
    client: reqwest::Client,
    /// For gRPC: over plain text nothing negotiates HTTP/2.
    prior_knowledge: reqwest::Client,
    /// Taken when dropped only.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Http {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let client = || reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
        Self {
            client: client().build().expect("an HTTP client"),
            prior_knowledge: client().http2_prior_knowledge().build().expect("an HTTP/2 client"),
            runtime: Some(runtime),
        }
    }

    /// The status and the text of the answer.
    ///
    /// # Errors
    /// No answer: the connection is refused, breaks, or nothing comes within 10 s.
    pub(crate) fn get(&self, url: &str, query: &[(&str, String)]) -> Result<(u16, String), String> {
        // Loki tells structured metadata from labels only when asked to; the others do not know this header
        self.send(
            self.client.get(url).query(query).header("X-Loki-Response-Encoding-Flags", "categorize-labels"),
        )
    }

    /// The JSON of an answer with status 200; `None` for 404.
    ///
    /// # Errors
    /// No answer, another status, or no JSON.
    pub(crate) fn get_json(&self, url: &str, query: &[(&str, String)]) -> Result<Option<Value>, String> {
        match self.get(url, query)? {
            (200, text) => serde_json::from_str(&text).map(Some).map_err(|e| format!("{url}: {e} in {text}")),
            (404, _) => Ok(None),
            (status, text) => Err(format!("{url}: {status} {text}")),
        }
    }

    /// # Errors
    /// No answer, or a status other than 200.
    pub(crate) fn post_json(&self, url: &str, body: &Value) -> Result<(), String> {
        match self.send(self.client.post(url).json(body))? {
            (200, _) => Ok(()),
            (status, text) => Err(format!("{url}: {status} {text}")),
        }
    }

    /// One unary gRPC call over plain text, as bare as the protocol allows. An OK says that the call was taken, not that it
    /// succeeded: the status comes in trailers, which this client does not show.
    ///
    /// # Errors
    /// No answer, or no HTTP 200.
    pub(crate) fn post_grpc(&self, url: &str, message: &[u8]) -> Result<(), String> {
        let length = u32::try_from(message.len()).map_err(|error| error.to_string())?;
        let frame = [&[0], &length.to_be_bytes()[..], message].concat(); // 0: not compressed
        let request = self
            .prior_knowledge
            .post(url)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        match self.send(request.body(frame))? {
            (200, _) => Ok(()),
            (status, text) => Err(format!("{url}: {status} {text}")),
        }
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<(u16, String), String> {
        let (answer, answered) = mpsc::channel();
        let runtime = self.runtime.as_ref().expect("only drop takes it");
        runtime.spawn(async move {
            let result = async {
                let response = request.send().await?;
                Ok((response.status().as_u16(), response.text().await?))
            };
            let result: Result<_, reqwest::Error> = result.await;
            // nobody listens after the timeout below
            let _ = answer.send(result.map_err(|error| format!("{error:?}")));
        });
        answered
            .recv_timeout(TIMEOUT * 2)
            .unwrap_or_else(|_| Err("the HTTP client gave no answer".to_owned()))
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        // dropping a runtime waits, which panics inside another runtime
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
