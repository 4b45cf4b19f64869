//! Real failures of real clients have one name each, in span and metric alike, whichever client made the call.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tower::{ServiceBuilder, ServiceExt as _};
use tracewell::{
    http::UrlTemplate,
    requests::{self, NewEntry},
    resilience::Policy,
    testing::{Capture, Collector},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Long enough for an answer that comes, and what is waited for the one that does not.
const LIMIT: Duration = Duration::from_millis(300);

/// A call to make; `released` is told once the headers are there.
struct Call {
    url: String,
    http2: bool,
    limited: bool,
    released: Option<oneshot::Sender<()>>,
}

impl Call {
    fn to(url: impl Into<String>) -> Self {
        Self { url: url.into(), http2: false, limited: false, released: None }
    }
}

/// An authority that has signed nothing of what is called here.
fn stranger() -> Vec<u8> {
    Collector::start_tls().ca_pem().unwrap().as_bytes().to_vec()
}

/// hyper-util's client under `ClientLayer`.
async fn by_hyper(capture: &Capture, call: Call) -> Result<Bytes, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&stranger()).unwrap()).unwrap();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector: HttpsConnector<HttpConnector> =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    let http = Client::builder(TokioExecutor::new()).http2_only(call.http2).build(connector);
    let policy = if call.limited { Policy::new("p").with_timeout(LIMIT) } else { Policy::new("p") };
    let client = ServiceBuilder::new().layer(policy.layer()).layer(capture.client_layer()).service(http);
    let response = client.oneshot(Request::get(call.url).body(Empty::<Bytes>::new())?).await?;
    call.released.map(|released| released.send(()));
    Ok(response.into_body().collect().await?.to_bytes())
}

/// reqwest with `ClientMiddleware`.
async fn by_reqwest(capture: &Capture, call: Call) -> Result<Bytes, Error> {
    let mut client = reqwest::Client::builder().no_proxy();
    if call.http2 {
        client = client.http2_prior_knowledge();
    }
    if call.limited {
        client = client.timeout(LIMIT);
    }
    let client = reqwest_middleware::ClientBuilder::new(client.build()?)
        .with(capture.client_layer().middleware())
        .build();
    let response = client.get(call.url).send().await?;
    call.released.map(|released| released.send(()));
    Ok(response.bytes().await?)
}

async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Announces more than it sends, and resets the connection once the headers have arrived.
async fn resetting() -> Call {
    let (listener, address) = listening().await;
    let (released, release) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // the rest of the request stays unread: closing then is a reset
        stream.read_exact(&mut [0; 8]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await.unwrap();
        let _ = release.await;
    });
    Call { released: Some(released), ..Call::to(format!("http://{address}/reset")) }
}

/// The same in HTTP/2, with RST_STREAM.
async fn resetting_stream() -> Call {
    let (listener, address) = listening().await;
    let (released, release) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move {
            let mut body = respond.send_response(http::Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"ok"), false).unwrap();
            let _ = release.await;
            body.send_reset(h2::Reason::INTERNAL_ERROR);
        });
        // until the client is gone
        while connection.accept().await.is_some() {}
    });
    Call { http2: true, released: Some(released), ..Call::to(format!("http://{address}/rst-stream")) }
}

/// Accepts, and says nothing. The connection is kept until the test is over.
async fn silent() -> (Call, TcpListener) {
    let (listener, address) = listening().await;
    (Call { limited: true, ..Call::to(format!("http://{address}/silent")) }, listener)
}

/// Every case with one client: the path of its URL, and the name that it must have. TLS where the client was built with it.
async fn every_failure(client: &str, tls: bool, made: impl AsyncFn(&Capture, Call) -> Result<Bytes, Error>) {
    let capture = Capture::new();
    let untrusted = tls.then(Collector::start_tls);
    let (refused, refusing) = listening().await;
    drop(refused);
    let (silent, _kept) = silent().await;
    let mut cases = vec![
        (Call::to("http://no-such-host.invalid/dns"), "/dns", "dns"),
        (Call::to(format!("http://{refusing}/refused")), "/refused", "connect"),
        (silent, "/silent", "timeout"),
        (resetting().await, "/reset", "reset"),
        (resetting_stream().await, "/rst-stream", "reset"),
    ];
    if let Some(untrusted) = &untrusted {
        cases.push((Call::to(format!("https://{}/tls", untrusted.address())), "/tls", "tls"));
    }
    let made_calls = cases.len() as u64;
    for (call, path, expected) in cases {
        let result = capture.run(made(&capture, call)).await;
        assert!(result.is_err(), "{client} {path}");
        let spans = capture.spans();
        let of_path = |url: &str| url.ends_with(path);
        let span = spans.iter().find(|span| span.attributes().str("url.full").is_some_and(of_path));
        let span = span.unwrap_or_else(|| panic!("{client}: no span for {path}"));
        assert_eq!(span.attributes().str("error.type"), Some(expected), "{client} {path}: {result:?}");
        assert_eq!(span.kind(), "client");
    }
    let durations = capture.metric("http.client.request.duration").unwrap();
    for kind in ["dns", "connect", "timeout"].into_iter().chain(tls.then_some("tls")) {
        let point = durations.point(&[("error.type", kind)]).unwrap();
        assert_eq!(point.count(), 1, "{client} {kind}");
    }
    assert_eq!(durations.count(), made_calls, "each call once");
}

#[tokio::test]
async fn hyper_utils_client() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    every_failure("hyper-util", true, async |capture, call| by_hyper(capture, call).await).await;
}

#[tokio::test]
async fn reqwest_through_its_middleware() {
    every_failure("reqwest", false, async |capture, call| by_reqwest(capture, call).await).await;
}

/// The call has not just been left: something is broken here.
#[tokio::test]
async fn a_panic_of_the_client_or_around_the_call_is_what_it_ends_with() {
    for inside in [true, false] {
        let capture = Capture::new();
        let client = tower::service_fn(move |_: Request<Empty<Bytes>>| async move {
            assert!(!inside, "in the client");
            std::future::pending::<Result<http::Response<Empty<Bytes>>, Error>>().await
        });
        let client = ServiceBuilder::new().layer(capture.client_layer()).service(client);
        let work = async {
            let call = client.oneshot(Request::get("http://shop.example/").body(Empty::new()).unwrap());
            let mut call = std::pin::pin!(call);
            assert!(futures_util::poll!(&mut call).is_pending());
            panic!("around the call");
        };
        let work = std::panic::AssertUnwindSafe(capture.run(work));
        assert!(futures_util::FutureExt::catch_unwind(work).await.is_err());
        capture.assert_span("GET").kind("client").error().has("error.type", "panic");
        let durations = capture.metric("http.client.request.duration").unwrap();
        assert_eq!(durations.point(&[("error.type", "panic")]).unwrap().count(), 1);
    }
}

/// Answers `answers` in turn, one connection each.
async fn answering(answers: &'static [&'static str]) -> SocketAddr {
    let (listener, address) = listening().await;
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

#[expect(clippy::await_holding_invalid_type, reason = "nothing else runs on this thread")]
#[tokio::test]
async fn reqwests_answers_arrive_whole_and_end_with_their_bodies() {
    let capture = Capture::builder().with_env([("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "POST")]).build();
    let address =
        answering(&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-kind: a\r\nconnection: close\r\n\r\nok"; 2])
            .await;
    let guard = capture.requests().start(NewEntry::request("GET"));
    let entry = guard.handle().clone();
    let client =
        reqwest_middleware::ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap())
            .with(capture.client_layer().middleware())
            .build();
    let url = format!("http://{address}/users/7?sig=S3CRET");
    capture
        .run(async {
            let _entered = requests::enter(&entry);
            let call = client.post(&url).with_extension(UrlTemplate("/users/{id}"));
            let response = call.send().await.unwrap();
            assert_eq!(
                entry.stage().as_deref(),
                Some(&*format!("calling {address}")),
                "until the body's end"
            );
            assert_eq!((response.url().as_str(), response.status().as_u16()), (&*url, 200));
            assert_eq!(
                (response.headers()["x-kind"].as_bytes(), response.content_length()),
                (&b"a"[..], Some(2))
            );
            assert!(capture.span("POST /users/{id}").is_none(), "it has not ended");
            assert_eq!(response.bytes().await.unwrap(), "ok");
            assert_eq!(entry.stage(), None);
            // not among the known methods
            drop(client.get(&url).send().await.unwrap());
        })
        .await;
    let span = capture.span("POST /users/{id}").unwrap();
    assert!(span.attributes().str("url.full").unwrap().ends_with("?sig=REDACTED"));
    assert_eq!(span.attributes().str("error.type"), None);
    let peer = (span.attributes().str("network.peer.address"), span.attributes().i64("network.peer.port"));
    assert_eq!(peer, (Some("127.0.0.1"), Some(i64::from(address.port()))));
    let left = capture.span("HTTP").unwrap();
    assert_eq!(left.attributes().str("http.request.method_original"), Some("GET"));
    assert_eq!(left.attributes().str("tracewell.outcome"), Some("aborted"));
}
