//! Throughput and latencies over sockets, in turns with the bare service, with a real Collector behind.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    Failure,
    driver::{Row, say},
    service::{self, Flags, Running},
};

/// Connections kept busy, each with one request at a time.
const CONNECTIONS: u32 = 16;
/// Requests a second where the service is not driven to its limit: what a core can serve several times over.
const STEADY: u32 = 2_000;
/// How long each row is loaded in a round, and how often.
const LOADED: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;

const REQUEST: &[u8] =
    b"GET /users/7?page=2 HTTP/1.1\r\nhost: shop.example:8080\r\nuser-agent: request-path/1.0\r\n\
    accept: */*\r\n\r\n";

/// A process that ends with its owner.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a stack on a free port until stdin ends; the address is the first line on stderr.
pub(crate) fn serve(stack: &service::Stack, flags: Flags, endpoint: Option<&str>) -> Result<(), Failure> {
    let running = Running::start(stack, Flags { live: true, ..flags }, endpoint)?;
    let app = running.app();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    crate::driver::tell(format_args!("{}", listener.local_addr()?));
    runtime.spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}

/// Prints what each row does per second, and how long requests take, as ratios of the first one's: of each the median of the
/// rounds. First with as many requests as the service answers, then with [`STEADY`].
pub(crate) fn compare(rows: &[&Row], otelcol: &str) -> Result<(), Failure> {
    let (_collector, endpoint) = collector(otelcol)?;
    for rate in [None, Some(STEADY)] {
        compare_at(rows, &endpoint, rate)?;
    }
    Ok(())
}

fn compare_at(rows: &[&Row], endpoint: &str, rate: Option<u32>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut all = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for (figures, row) in all.iter_mut().zip(rows) {
            figures.push(runtime.block_on(load(row, endpoint, rate))?);
        }
    }
    let what =
        rate.map_or_else(|| "as many as it answers".to_owned(), |rate| format!("{rate} requests a second"));
    say(format_args!(
        "{CONNECTIONS} connections, {ROUNDS} rounds of {} s; of bare: the median of the rounds' ratios (lowest–highest)\n\n\
         | over sockets, to a Collector: {what} | throughput | p50 | p99 | p99.9 |\n|---|---:|---:|---:|---:|",
        LOADED.as_secs()
    ));
    for (figures, row) in all.iter().zip(rows) {
        let ratios = [0, 1, 2, 3].map(|at| {
            let mut ratios: Vec<f64> =
                figures.iter().zip(&all[0]).map(|(own, bare)| own[at] / bare[at]).collect();
            ratios.sort_by(f64::total_cmp);
            format!("{:.2} ({:.2}–{:.2})", ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1])
        });
        say(format_args!("| {} | {} |", row.what(), ratios.join(" | ")));
    }
    Ok(())
}

/// Requests per second, and three percentiles of how long one takes, in microseconds.
async fn load(row: &Row, endpoint: &str, rate: Option<u32>) -> Result<[f64; 4], Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(row.words("serve")).arg(endpoint).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut server = Owned(command.stderr(Stdio::piped()).spawn()?);
    let said = BufReader::new(server.0.stderr.take().ok_or("no stderr")?);
    let address = said.lines().map_while(Result::ok).find_map(|line| {
        line.strip_prefix("figures: ").and_then(|address| address.parse::<SocketAddr>().ok())
    });
    let address = address.ok_or("the service did not say where it listens")?;
    run(address, LOADED / 6, rate).await?; // warm
    let mut times = run(address, LOADED, rate).await?;
    times.sort_unstable();
    let percentile = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    Ok([times.len() as f64 / LOADED.as_secs_f64(), percentile(0.5), percentile(0.99), percentile(0.999)])
}

/// Nanoseconds of each request.
async fn run(address: SocketAddr, duration: Duration, rate: Option<u32>) -> Result<Vec<u64>, Failure> {
    let (begin, until) = (Instant::now(), Instant::now() + duration);
    let pace = rate.map(|rate| Duration::from_secs(1) / rate);
    let plan = |number: u32| pace.map(|pace| (begin + pace * number, pace * CONNECTIONS));
    let mut connections: tokio::task::JoinSet<_> =
        (0..CONNECTIONS).map(|number| connection(address, until, plan(number))).collect();
    let mut times = Vec::new();
    while let Some(joined) = connections.join_next().await {
        times.extend(joined??);
    }
    Ok(times)
}

/// With a plan, requests begin at their time, or as soon as the one before is answered, and then count from their time on: a
/// service that stops is not asked less often for it.
async fn connection(
    address: SocketAddr,
    until: Instant,
    mut plan: Option<(Instant, Duration)>,
) -> Result<Vec<u64>, std::io::Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut times, mut buffer) = (Vec::with_capacity(1 << 16), [0; 2048]);
    while Instant::now() < until {
        let sent = match &mut plan {
            None => Instant::now(),
            Some((next, pause)) => {
                let at = *next;
                *next += *pause;
                if Instant::now() < at {
                    // the timer counts milliseconds: how late it is says nothing of the service
                    tokio::time::sleep_until(at.into()).await;
                    Instant::now()
                } else {
                    at
                }
            }
        };
        stream.write_all(REQUEST).await?;
        let mut length = 0;
        while !buffer[..length].ends_with(b"\r\n\r\na user") {
            match stream.read(&mut buffer[length..]).await? {
                0 => return Err(std::io::Error::other("the service closed the connection")),
                read => length += read,
            }
        }
        times.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

/// A Collector that takes everything and keeps nothing.
fn collector(otelcol: &str) -> Result<(Owned, String), Failure> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = format!(
        "{{receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}, exporters: {{debug: {{verbosity: basic}}}}, \
         service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}, \
         metrics: {{receivers: [otlp], exporters: [debug]}}, logs: {{receivers: [otlp], exporters: [debug]}}}}}}}}"
    );
    let file = std::env::temp_dir().join(format!("tracewell-sockets-{port}.yaml"));
    std::fs::write(&file, config)?;
    let mut command = Command::new(otelcol);
    command.arg("--config").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut collector = Owned(command.spawn()?);
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > Duration::from_secs(30) || collector.0.try_wait()?.is_some() {
            return Err(format!("{otelcol} does not listen; its configuration: {}", file.display()).into());
        }
        std::thread::yield_now();
    }
    Ok((collector, format!("http://127.0.0.1:{port}")))
}
