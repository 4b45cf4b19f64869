//! What one observed call of a client costs: instructions (callgrind) and allocations, of tracewell and of reqwest-tracing.
//!
//! ```text
//! cd benches/client_calls
//! cargo run --release                          the table, as Markdown; needs valgrind
//! cargo run --release -- count <stack> <calls>    for `valgrind --tool=callgrind`
//! cargo run --release -- alloc <stack> <calls>    allocations and bytes
//! cargo run --release -- policy                   nanoseconds of a call under a policy that succeeds at once
//! ```
//!
//! The goals: `ClientLayer` adds at most 0.75 of what reqwest-tracing adds, and a policy at most 100 ns to a call that succeeds
//! at once. A policy with every part adds about 90 ns, of which one reading of the clock is a quarter.
//!
//! What makes the comparison fair: one process per stack; the same requests, one after the other on a current-thread
//! runtime, inside of one long span; a client at the end of the chain that answers at once, without a socket, with a body
//! that is read to its end. Each stack pays for the way to its exporter's queue and nothing behind it. tracewell also
//! records a duration with its exemplar; reqwest-tracing has no metrics. A number is the difference of two runs, so that
//! start-up does not count. The row "lean" has every switch of tracing-opentelemetry off that costs something.

use std::{
    alloc::System,
    io::Write as _,
    mem,
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body_util::{BodyExt as _, Full};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer as _, ServiceExt as _};
use tracewell::{
    Telemetry,
    http::{ClientLayer, UrlTemplate},
    resilience::{Breaker, Bulkhead, Policy, Retry},
};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls before and after which something is counted: both in the upper half of a queue of 2048.
const FEWER: u64 = 1100;
const MORE: u64 = 1900;
const LATER: Duration = Duration::from_secs(3600);
const URL: &str = "http://users.example:8080/users/7?verbose=true";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Rows: what runs, the stack, and the stack that is bare of it.
const ROWS: [(&str, &str, &str); 6] = [
    ("bare reqwest-middleware", "bare-reqwest", "bare-reqwest"),
    ("reqwest-tracing", "reqwest-tracing", "bare-reqwest"),
    ("reqwest-tracing, lean", "reqwest-tracing-lean", "bare-reqwest"),
    ("**tracewell**, `ClientMiddleware`", "tracewell-reqwest", "bare-reqwest"),
    ("bare tower", "bare-tower", "bare-tower"),
    ("**tracewell**, `ClientLayer`", "tracewell-tower", "bare-tower"),
];

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["count", stack, calls] => drive(stack, calls.parse()?, |_| {}),
        ["alloc", stack, calls] => alloc(stack, calls.parse()?),
        ["policy"] => policy(),
        [] => table(),
        _ => Err("accepted are no arguments, or count or alloc with a stack and a number of calls".into()),
    }
}

/// Answers at once, in place of reqwest's own client.
struct Canned;

#[async_trait::async_trait]
impl Middleware for Canned {
    async fn handle(
        &self,
        request: reqwest::Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        std::hint::black_box(request.headers());
        Ok(Response::new("answer").into())
    }
}

fn by_reqwest(middleware: Option<impl Middleware>) -> ClientWithMiddleware {
    let builder = ClientBuilder::new(reqwest::Client::new());
    let builder = match middleware {
        Some(middleware) => builder.with(middleware),
        None => builder,
    };
    builder.with(Canned).build()
}

async fn canned(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    std::hint::black_box(request.headers());
    Ok(Response::new(Full::from("answer")))
}

/// Makes so many calls with a stack; `between` is told after the first [`FEWER`].
fn drive(stack: &str, calls: u64, mut between: impl FnMut(u64)) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match stack {
        "reqwest-tracing" => reqwest_tracing_installed(false)?,
        "reqwest-tracing-lean" => reqwest_tracing_installed(true)?,
        "tracewell-reqwest" | "tracewell-tower" => tracewell_installed()?,
        "bare-reqwest" | "bare-tower" => {}
        other => return Err(format!("unknown stack {other:?}").into()),
    }
    let span = tracing::info_span!("parent");
    let work = async {
        match stack {
            "bare-reqwest" => reqwest_calls(by_reqwest(None::<Canned>), calls, &mut between).await,
            "tracewell-reqwest" => {
                reqwest_calls(by_reqwest(Some(ClientLayer::new().middleware())), calls, &mut between).await
            }
            "bare-tower" => tower_calls(tower::service_fn(canned), calls, &mut between).await,
            "tracewell-tower" => {
                tower_calls(ClientLayer::new().layer(tower::service_fn(canned)), calls, &mut between).await
            }
            _ => {
                let middleware = reqwest_tracing::TracingMiddleware::default();
                reqwest_calls(by_reqwest(Some(middleware)), calls, &mut between).await
            }
        }
    };
    runtime.block_on(work.instrument(span))
}

async fn reqwest_calls(
    client: ClientWithMiddleware,
    calls: u64,
    between: &mut impl FnMut(u64),
) -> Result<(), Failure> {
    for call in 0..calls {
        between(call);
        let request = client.get(URL).with_extension(UrlTemplate("/users/{id}"));
        let request = request.with_extension(reqwest_tracing::OtelName("GET /users/{id}".into()));
        std::hint::black_box(request.send().await?.bytes().await?);
    }
    Ok(())
}

async fn tower_calls<S, B>(mut client: S, calls: u64, between: &mut impl FnMut(u64)) -> Result<(), Failure>
where
    S: tower::Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<Failure>,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Failure>,
{
    for call in 0..calls {
        between(call);
        let request = Request::get(URL).extension(UrlTemplate("/users/{id}")).body(Full::default())?;
        let client = client.ready().await.map_err(Into::into)?;
        let response = client.call(request).await.map_err(Into::into)?;
        std::hint::black_box(response.into_body().collect().await.map_err(Into::into)?.to_bytes());
    }
    Ok(())
}

/// As its documentation wires it, on the SDK's batch processor.
fn reqwest_tracing_installed(lean: bool) -> Result<(), Failure> {
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(4096)
        .with_max_export_batch_size(4096)
        .with_scheduled_delay(LATER)
        .build();
    let processor = BatchSpanProcessor::builder(Nowhere).with_batch_config(batch).build();
    let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("client-calls"));
    let layer = if lean {
        layer
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false)
    } else {
        layer
    };
    tracing::subscriber::set_global_default(tracing_subscriber::Registry::default().with(layer))?;
    // its end is not measured
    mem::forget(provider);
    Ok(())
}

/// As `tracewell::init` does it, but for the queues' sizes, the delays and stdout.
fn tracewell_installed() -> Result<(), Failure> {
    let telemetry = Telemetry::builder()
        .with_env([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "4096"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ])
        .with_stdout(false)
        .install()?;
    mem::forget(telemetry);
    Ok(())
}

/// Where spans end here.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

fn alloc(stack: &str, calls: u64) -> Result<(), Failure> {
    let mut region = None;
    drive(stack, calls, |call| {
        if call == FEWER {
            region = Some(Region::new(ALLOCATOR));
        }
    })?;
    let change = region.ok_or("too few calls")?.change();
    let calls = (calls - FEWER) as f64;
    let allocations = (change.allocations + change.reallocations) as f64 / calls;
    writeln!(std::io::stdout(), "{allocations:.1} {:.0}", change.bytes_allocated as f64 / calls)?;
    Ok(())
}

fn table() -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| per call | instructions | over bare | of reqwest-tracing | of it, lean | allocations |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|")?;
    let mut costs = Vec::new();
    for (_, stack, _) in ROWS {
        costs.push((
            stack,
            (instructions(stack, MORE)? - instructions(stack, FEWER)?) / (MORE - FEWER) as f64,
        ));
    }
    let cost = |stack: &str| costs.iter().find(|(own, _)| *own == stack).map_or(f64::NAN, |(_, cost)| *cost);
    let over = |stack: &str, bare: &str| cost(stack) - cost(bare);
    for (what, stack, bare) in ROWS {
        let output =
            Command::new(std::env::current_exe()?).args(["alloc", stack, &MORE.to_string()]).output()?;
        let allocations = String::from_utf8(output.stdout)?;
        let added = over(stack, bare);
        writeln!(
            out,
            "| {what} | {:.0} | {added:.0} | {:.2} | {:.2} | {} |",
            cost(stack),
            added / over("reqwest-tracing", "bare-reqwest"),
            added / over("reqwest-tracing-lean", "bare-reqwest"),
            allocations.split_whitespace().next().unwrap_or("–"),
        )?;
    }
    Ok(())
}

/// What a policy adds to a call that succeeds at once: the best of several rounds, in nanoseconds.
fn policy() -> Result<(), Failure> {
    const CALLS: u32 = 2_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (none, some) = (Policy::new("none"), Policy::new("p").with_retry(Retry::new()));
    let breaker = some.clone().with_breaker(Breaker::new("p"));
    let timed = breaker.clone().with_timeout(Duration::from_secs(1));
    let all = timed.clone().with_deadline(Duration::from_secs(5)).with_bulkhead(Bulkhead::new("p", 4));
    let policies = [
        ("nothing", none),
        ("retry with budget", some),
        ("and breaker", breaker),
        ("and timeout", timed),
        ("and deadline and bulkhead", all),
    ];
    for (what, policy) in policies {
        let best = (0..300).map(|_| {
            runtime.block_on(async {
                let begun = Instant::now();
                for call in 0..CALLS {
                    let _ = std::hint::black_box(policy.call(|| async { Ok::<_, Failure>(call) }).await);
                }
                begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
            })
        });
        writeln!(std::io::stdout(), "{what}: {:.0} ns", best.fold(f64::INFINITY, f64::min))?;
    }
    Ok(())
}

/// Instructions of a whole process.
fn instructions(stack: &str, calls: u64) -> Result<f64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["count", stack, &calls.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{stack}: {}\n{said}", output.status).into());
    }
    let count =
        said.lines().find_map(|line| line.split_once("Collected :")).ok_or("callgrind said no number")?;
    Ok(count.1.trim().parse()?)
}
