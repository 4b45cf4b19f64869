//! The operator's endpoints under attack: they stay up, answer others at once, and give strangers nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{body::Body, extract::ConnectInfo};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tracewell::{
    Telemetry, admin,
    requests::{NewEntry, Registry},
};

/// Far longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(20);
const STRANGER: &str = "192.0.2.7";
const GUARDED: [&str; 7] =
    ["/", "/healthcheck", "/environment", "/metrics", "/telemetry", "/loglevel", "/debug/requests"];
const PROBES: [&str; 5] = ["/health", "/livez", "/ready", "/readyz", "/startup"];

fn telemetry() -> Telemetry {
    let variables = [
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:0"),
        ("TRACEWELL_ADMIN_TOKEN", "s3cret"),
    ];
    let builder =
        Telemetry::builder().with_env(variables).with_registry(Registry::new(16)).with_stdout(false);
    let telemetry = builder.build().unwrap();
    telemetry.health().set_ready();
    telemetry
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends bytes as they are, as far as they are taken, and reads until the server closes.
fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    // the server may close before it has read everything
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&chunk[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("neither an answer nor an end to {:?}", String::from_utf8_lossy(bytes))
            }
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(address: SocketAddr, path: &str) -> String {
    raw(address, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
}

fn assert_up(address: SocketAddr) {
    for path in ["/health", "/ready", "/telemetry"] {
        assert!(ask(address, path).starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[test]
fn connections_that_drip_keep_nobody_out() {
    let telemetry = telemetry();
    let address = telemetry.admin_address().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // more than the server holds: requests, bodies, prefaces of HTTP/2 and nothing at all, a byte at a time
    let openings: [&[u8]; 4] = [
        b"GET /health HTTP/1.1\r\nx-slow: ",
        b"PUT /loglevel HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"",
    ];
    let attackers: Vec<_> = openings
        .into_iter()
        .map(|opening| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let open = || {
                    let mut stream = connect(address);
                    let _ = stream.write_all(opening);
                    stream
                };
                let mut streams: Vec<_> = (0..100).map(|_| open()).collect();
                while !stop.load(Ordering::Relaxed) {
                    for stream in &mut streams {
                        if stream.write_all(b"a").is_err() {
                            *stream = open();
                        }
                    }
                    thread::yield_now();
                }
            })
        })
        .collect();
    for _ in 0..100 {
        // one that was pushed out by newer ones in between asks again, as a prober does
        let answered = (0..20).any(|_| ask(address, "/health").starts_with("HTTP/1.1 200"));
        assert!(answered, "others are not answered");
    }
    stop.store(true, Ordering::Relaxed);
    for attacker in attackers {
        attacker.join().unwrap();
    }
    assert_up(address);
}

#[test]
fn what_is_too_large_is_refused_and_the_next_one_served() {
    let telemetry = telemetry();
    let address = telemetry.admin_address().unwrap();
    let (long, many) = ("x".repeat(1 << 20), "a: b\r\n".repeat(20_000));
    for request in [
        format!("GET /health?{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("{long} /health HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("PUT /loglevel HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n{}", long.repeat(5)),
    ] {
        let answer = raw(address, request.as_bytes());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{:.60}: {answer:.200}", request);
        assert_up(address);
    }
}

#[tokio::test]
async fn no_way_of_writing_a_path_lets_a_stranger_in() {
    let telemetry = telemetry();
    let _entry = telemetry.requests().start(NewEntry::request("GET").with_path("/planted-path"));
    let mut paths: Vec<String> = GUARDED.iter().map(ToString::to_string).collect();
    for guarded in GUARDED.iter().map(|path| &path[1..]).filter(|path| !path.is_empty()) {
        let (upper, encoded) = (guarded.to_ascii_uppercase(), format!("%{:02x}", guarded.as_bytes()[0]));
        paths.extend([
            format!("//{guarded}"),
            format!("/./{guarded}"),
            format!("/health/../{guarded}"),
            format!("/health/%2e%2e/{guarded}"),
            format!("/health%2f..%2f{guarded}"),
            format!("/health/..;/{guarded}"),
            format!("/health;/../{guarded}"),
            format!("/{guarded}/"),
            format!("/{guarded}%00"),
            format!("/{guarded}%20"),
            format!("/{guarded}?x=/health"),
            format!("/{upper}"),
            format!("/{encoded}{}", &guarded[1..]),
            format!("http://127.0.0.1/{guarded}"),
            format!("http://localhost:9470/health/../{guarded}"),
        ]);
    }
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
    let claims = [
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("host", "localhost"),
        ("x-original-url", "/health"),
        ("authorization", "Bearer s3cre"),
    ];
    for path in &paths {
        for method in &methods {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in claims {
                request = request.header(name, value);
            }
            let mut request = request.body(Body::from("{\"filter\":\"trace\"}")).unwrap();
            let peer = SocketAddr::new(STRANGER.parse().unwrap(), 1);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = admin::router(&telemetry).oneshot(request).await.unwrap();
            let status = answer.status();
            let exact = GUARDED.contains(&path.as_str());
            let refused = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
            assert!(
                if exact { status == refused[0] } else { refused.contains(&status) },
                "{method} {path}: {status}"
            );
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(body.len() < 100, "{method} {path}: {body:?}");
        }
    }
    assert_eq!(telemetry.log_filter().directives, "info", "and none of them changed anything");
}

#[test]
fn odd_request_lines_are_answered_or_closed() {
    let telemetry = telemetry();
    let address = telemetry.admin_address().unwrap();
    for (request, expected) in [
        ("GET http://evil.example/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 200"),
        ("GET //health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 404"),
        ("GET /HEALTH HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 404"),
        ("GET /health/%2e%2e/telemetry HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 404"),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 4"),
        ("CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "HTTP/1.1 4"),
        ("GET /hea\0lth HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 400"),
        ("GET /health HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n", "HTTP/1.1 400"),
        ("GET /health HTTP/9.9\r\nhost: x\r\n\r\n", ""),
        (
            "GET /health HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 ",
        ),
        (
            "PUT /loglevel HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            "HTTP/1.1 400",
        ),
        ("\r\n\r\n\u{1}\u{2}\u{3}\r\n\r\n", ""),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n", ""),
    ] {
        let answer = raw(address, request.as_bytes());
        assert!(answer.starts_with(expected), "{request:?}: {answer}");
        assert_up(address);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_whatever_stands_between() {
    let telemetry = telemetry();
    let address = telemetry.admin_address().unwrap();
    let mut requests = String::new();
    for number in 0..200 {
        let path = ["/health", "/nowhere", "/livez"][number % 3];
        requests.push_str(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    }
    requests.push_str("GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answers = raw(address, requests.as_bytes());
    let codes: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(codes.len(), 201);
    assert!(codes.iter().enumerate().all(|(at, code)| *code == if at % 3 == 1 { "404" } else { "200" }));
    // a torn one ends its connection, and no other
    let torn =
        raw(address, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGARB\0AGE\r\n\r\nGET /ready HTTP/1.1\r\n\r\n");
    assert!(torn.starts_with("HTTP/1.1 200") && torn.matches("HTTP/1.1 200").count() == 1, "{torn}");
    assert_up(address);
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[test]
fn floods_of_http2_frames_end_their_own_connection_only() {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const CONTINUATION: u8 = 9;
    let telemetry = telemetry();
    let address = telemetry.admin_address().unwrap();
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat();
    // :method GET, :scheme http, :path /health (literal)
    let fields = [b"\x82\x86\x04\x07".as_slice(), b"/health"].concat();
    let resets = (0..20_000).flat_map(|number| {
        let stream = number * 2 + 1;
        [frame(HEADERS, 5, stream, &fields), frame(RESET, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    let endless = frame(HEADERS, 1, 1, &fields).into_iter().chain(
        // a header that never ends
        (0..500).flat_map(|_| frame(CONTINUATION, 0, 1, &[b'\x40', 1, b'a', 1, b'b'].repeat(1000))),
    );
    let pings = (0..50_000).flat_map(|_| frame(PING, 0, 0, &[0; 8]));
    let settings = (0..50_000).flat_map(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]));
    let floods: [Vec<u8>; 4] = [resets.collect(), endless.collect(), pings.collect(), settings.collect()];
    let floods: Vec<_> = floods
        .into_iter()
        .map(|flood| {
            let preface = preface.clone();
            thread::spawn(move || {
                let mut stream = connect(address);
                // the server gives up on it at some point, or swallows it
                let _ = stream.write_all(&preface).and_then(|()| stream.write_all(&flood));
            })
        })
        .collect();
    for _ in 0..20 {
        assert_up(address);
    }
    for flood in floods {
        flood.join().unwrap();
    }
    assert_up(address);
    for path in PROBES {
        assert!(ask(address, path).starts_with("HTTP/1.1 "), "{path}");
    }
}
