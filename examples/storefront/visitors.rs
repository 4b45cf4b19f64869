//! Built-in traffic: a few traced clients at an easy pace, so that there is something to see at once.

use std::{net::SocketAddr, time::Duration};

use axum::http::Request;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use crate::{
    calls::{self, Calls},
    payments,
};

/// What visitors do, in turn; each starts at another place.
const WALK: [Visit; 16] = [
    Visit::get("/products"),
    Visit::get("/products/3"),
    Visit::post("/orders", r#"{"product":3,"quantity":1}"#),
    Visit::get("/slow?ms=300"),
    Visit::post("/login", r#"{"user":"ada"}"#),
    Visit::get("/products/17"),
    Visit::get("/products/404"),
    Visit::get("/stream?chunks=5&ms=80"),
    Visit::get("/products"),
    Visit::post("/orders", r#"{"product":11,"quantity":2}"#).refused(1),
    Visit::get("/spawn?n=2"),
    Visit::get("/events").leaving_after(3),
    Visit::get("/products/8"),
    Visit::post("/orders", r#"{"product":8,"quantity":4}"#),
    Visit::get("/slow?ms=1200"),
    Visit::get("/stream?chunks=20&ms=50").leaving_after(4),
];

#[derive(Clone, Copy)]
struct Visit {
    path: &'static str,
    /// Posted; a visit without one is a GET.
    body: Option<&'static str>,
    /// Attempts that payments shall refuse.
    refused: u32,
    /// Chunks of the answer after which the visitor leaves.
    patience: Option<u32>,
}

impl Visit {
    const fn get(path: &'static str) -> Self {
        Self { path, body: None, refused: 0, patience: None }
    }

    const fn post(path: &'static str, body: &'static str) -> Self {
        Self { path, body: Some(body), refused: 0, patience: None }
    }

    const fn refused(mut self, attempts: u32) -> Self {
        self.refused = attempts;
        self
    }

    const fn leaving_after(mut self, chunks: u32) -> Self {
        self.patience = Some(chunks);
        self
    }
}

/// The visitors in the shop; dropped, they are gone.
pub(crate) struct Visitors(JoinSet<()>);

impl Visitors {
    pub(crate) fn arrive(count: usize, shop: SocketAddr) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        let calls = calls::observed(client);
        let mut visitors = JoinSet::new();
        for number in 0..count {
            visitors.spawn(walk(calls.clone(), shop, number));
        }
        Ok(Self(visitors))
    }

    /// Sends them home, before the shop closes.
    pub(crate) async fn leave(mut self) {
        self.0.shutdown().await;
    }
}

async fn walk(calls: Calls, shop: SocketAddr, number: usize) {
    for (step, visit) in WALK.into_iter().cycle().skip(number * 5 % WALK.len()).enumerate() {
        // about one visit a second, and no two visitors in step
        tokio::time::sleep(Duration::from_millis((300 + (number * 173 + step * 311) % 1200) as u64)).await;
        if let Err(error) = go(&calls, shop, visit).await {
            tracing::debug!(%error, "a visit failed");
        }
    }
}

async fn go(calls: &Calls, shop: SocketAddr, visit: Visit) -> Result<(), calls::Error> {
    let mut request = Request::get(format!("http://{shop}{}", visit.path));
    if visit.body.is_some() {
        request = request.method("POST").header("content-type", "application/json");
    }
    if visit.refused > 0 {
        request = request.header(payments::FAIL, visit.refused);
    }
    let request = request.body(Bytes::from_static(visit.body.unwrap_or_default().as_bytes()))?;
    let mut body = calls::send(calls, request).await?.into_body();
    let mut chunks = 0;
    while visit.patience.is_none_or(|patience| chunks < patience) {
        let Some(frame) = body.frame().await else { break };
        frame?;
        chunks += 1;
    }
    Ok(())
}
