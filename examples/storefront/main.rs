//! Shows: a shop with a database, a payment service behind it and visitors that keep both busy, observed by tracewell.
//!
//! Run with: `cargo run --example storefront`, then open the admin address from the first lines on stderr in a browser: the
//! console shows what was slow, and why. It needs no collector; with one on localhost:4318, or where
//! `OTEL_EXPORTER_OTLP_ENDPOINT` says, everything is there as well.
//!
//! ```text
//! curl localhost:8080/products/7
//! curl -i localhost:8080/orders -d '{"product":7,"quantity":2}'
//! curl -i localhost:8080/orders -d '{"product":7,"quantity":2}' -H 'x-fail: 1'   # payments refuses once
//! curl 'localhost:8080/slow?ms=5000' & curl 'localhost:9470/debug/requests?format=json'
//! ```
//!
//! `STOREFRONT_ADDR`, `PAYMENTS_ADDR` and `TRACEWELL_ADMIN_ADDR` choose the addresses, `--visitors 0` sends the visitors
//! home. `shop.rs` is what a handler looks like; no line there is about telemetry but what is worth telling.

mod calls;
mod database;
mod payments;
mod settings;
mod shop;
mod visitors;

use std::{error::Error, fmt, io::Write as _, net::SocketAddr, process::ExitCode, time::Duration};

use tracewell::{Telemetry, health::Check, http::ServerLayer, shutdown};

use self::{
    database::Database,
    settings::{Settings, Wish},
    shop::Shop,
    visitors::Visitors,
};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match settings::read() {
        Ok(Wish::Serve(settings)) => settings,
        Ok(Wish::Help) => {
            // a closed stdout is no reason to fail
            let _ = writeln!(std::io::stdout(), "{}", settings::HELP);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            say(format_args!("storefront: {problem}"));
            return ExitCode::from(2);
        }
    };
    match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say(format_args!("storefront: {problem}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    let (shop_listener, shop_address) = settings.storefront.listen().await?;
    let (payments_listener, payments_address) = settings.payments.listen().await?;
    // before install(), whose complaints about OTEL_* would come first otherwise
    say(format_args!("storefront listening on http://{shop_address}"));
    say(format_args!("payments listening on http://{payments_address}"));

    // OTEL_* and TRACEWELL_* variables win over these defaults of the program's own
    let telemetry = Telemetry::builder()
        .default_service_name("storefront")
        .with_build_info(tracewell::build_info!(lockfile: "Cargo.lock"))
        .with_env_defaults([("TRACEWELL_PRESET", "development"), ("TRACEWELL_ADMIN_ADDR", "127.0.0.1:9470")])
        .install()?;
    if let Some(admin) = telemetry.admin_address() {
        say(format_args!("admin listening on http://{admin}"));
    }

    // instruments made before install() would stay without effect, so the shop, which has a counter, comes after it
    let database = Database::open()?;
    telemetry.health().register("database", database_check(database.clone()));
    // in groups of their own: /healthcheck shows them, and /ready does not ask them
    let event_loop = Check::event_loop_lag(Duration::from_millis(100)).with_group("runtime");
    telemetry.health().register("event_loop", event_loop);
    telemetry.health().register("exporters", telemetry.exporter_check());
    let shop =
        Shop::new(database, payments::Client::new(dialed(payments_address), settings.breaker.build())?);
    let visitors = Visitors::arrive(settings.visitors, dialed(shop_address))?;

    telemetry
        .serve(shop_listener, shop::router(shop).layer(ServerLayer::new()))
        .and(payments_listener, payments::router().layer(ServerLayer::new()))
        .until(async {
            shutdown::signal().await;
            visitors.leave().await;
        })
        .await?;
    Ok(())
}

/// `/ready` asks this, at most once every 27 seconds while it passes.
fn database_check(database: Database) -> Check {
    Check::database("sqlite", move || {
        let database = database.clone();
        async move { database.product(1).await }
    })
}

/// Where a client in this process finds what listens on `address`, which may be 0.0.0.0.
fn dialed(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// One line on stderr, for the person at the terminal. A closed stderr stops nothing.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
