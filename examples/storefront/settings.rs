//! What the operator may choose: two addresses and the number of visitors.

use std::{
    env::{self, VarError},
    net::SocketAddr,
    time::Duration,
};

use tokio::net::TcpListener;
use tracewell::resilience::{Breaker, BreakerBuilder};

/// What `--help` says.
pub(crate) const HELP: &str = "\
cargo run --example storefront -- [--visitors N]

  --visitors N            built-in visitors, 0 to 100 (4)
  STOREFRONT_ADDR         address of the shop (127.0.0.1:8080); port 0 picks a free one
  PAYMENTS_ADDR           address of the payment service (127.0.0.1:8081)
  STOREFRONT_BREAKER_WINDOW_MS, STOREFRONT_BREAKER_OPEN_MS, STOREFRONT_BREAKER_MIN_CALLS
                          the breaker in front of payments (10000, 60000, 10)
  TRACEWELL_ADMIN_ADDR    address of the operator's endpoints (127.0.0.1:9470)
  OTEL_*, RUST_LOG        as everywhere";

const MOST_VISITORS: usize = 100;

/// What the command line asks for.
pub(crate) enum Wish {
    Serve(Settings),
    Help,
}

/// Where to listen, and how busy it shall be.
pub(crate) struct Settings {
    pub(crate) storefront: Address,
    pub(crate) payments: Address,
    pub(crate) visitors: usize,
    pub(crate) breaker: BreakerBuilder,
}

/// An address, and the variable that changes it.
pub(crate) struct Address {
    variable: &'static str,
    address: SocketAddr,
}

/// Reads the command line and the environment. The error names what is wrong and what is accepted.
pub(crate) fn read() -> Result<Wish, String> {
    let mut visitors = 4;
    let mut arguments = env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        match argument.split_once('=').unwrap_or((&argument, "")) {
            ("--help" | "-h", "") => return Ok(Wish::Help),
            ("--visitors", "") => visitors = number(&arguments.next().unwrap_or_default())?,
            ("--visitors", value) => visitors = number(value)?,
            _ => return Err(format!("argument {argument:?}; accepted are --visitors N and --help")),
        }
    }
    Ok(Wish::Serve(Settings {
        storefront: Address::read("STOREFRONT_ADDR", ([127, 0, 0, 1], 8080))?,
        payments: Address::read("PAYMENTS_ADDR", ([127, 0, 0, 1], 8081))?,
        visitors,
        breaker: Breaker::builder("payments")
            .with_window(milliseconds("STOREFRONT_BREAKER_WINDOW_MS", 10_000)?)
            .with_open_for(milliseconds("STOREFRONT_BREAKER_OPEN_MS", 60_000)?)
            .with_min_calls(positive("STOREFRONT_BREAKER_MIN_CALLS", 10)?),
    }))
}

fn number(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(visitors) if visitors <= MOST_VISITORS => Ok(visitors),
        _ => Err(format!("--visitors {value:?}; accepted is a number from 0 to {MOST_VISITORS}")),
    }
}

fn milliseconds(variable: &str, default: u32) -> Result<Duration, String> {
    Ok(Duration::from_millis(positive(variable, default)?.into()))
}

fn positive(variable: &str, default: u32) -> Result<u32, String> {
    let text = env::var_os(variable).unwrap_or_default().to_string_lossy().trim().to_owned();
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ if text.is_empty() => Ok(default),
        _ => Err(format!("{variable}={text:?}; accepted is a number from 1")),
    }
}

impl Address {
    fn read(variable: &'static str, default: impl Into<SocketAddr>) -> Result<Self, String> {
        let accepted =
            "accepted is an IP address with a port, such as 127.0.0.1:8080; port 0 picks a free one";
        let address = match env::var(variable) {
            Ok(text) if text.trim().is_empty() => default.into(),
            Ok(text) => text.trim().parse().map_err(|_| format!("{variable}={text:?}; {accepted}"))?,
            Err(VarError::NotPresent) => default.into(),
            Err(VarError::NotUnicode(text)) => return Err(format!("{variable}={text:?}; {accepted}")),
        };
        Ok(Self { variable, address })
    }

    /// Listens there; the address returned has the port that was picked.
    pub(crate) async fn listen(&self) -> Result<(TcpListener, SocketAddr), String> {
        let problem = |error| format!("{} {}: {error}", self.variable, self.address);
        let listener = TcpListener::bind(self.address).await.map_err(problem)?;
        let address = listener.local_addr().map_err(problem)?;
        Ok((listener, address))
    }
}
