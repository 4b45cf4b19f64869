//! Shows: an axum service with PostgreSQL behind `sqlx`. Each query is a span of its request and a duration with the
//! request's trace id; the pool has metrics, and without its database the service is not ready.
//!
//! Run with: `DATABASE_URL=postgres://localhost/postgres cargo run --example postgres`, until ctrl-c. `ADDR` says where it
//! listens. With `TRACEWELL_ADMIN_ADDR=127.0.0.1:9470`, `/ready`, `/metrics` and `/debug/requests` are there.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use sqlx::{Executor as _, postgres::PgPoolOptions};
use tokio::net::TcpListener;
use tracewell::{
    Telemetry,
    db::{Database, sqlx::Pool},
    http::{Cause, ServerLayer},
};

type Users = Pool<sqlx::Postgres>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = Telemetry::builder().default_service_name("postgres").install()?;
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "postgres://localhost/postgres".to_owned());
    let pool = PgPoolOptions::new().max_connections(5).acquire_timeout(Duration::from_secs(5));
    // the only line that knows of tracewell: the rest uses `users` like any pool
    let users: Users = Pool::new(pool.connect(&url).await?, Database::of_url(&url));
    users.execute("CREATE TABLE IF NOT EXISTS users (id BIGINT PRIMARY KEY, name TEXT NOT NULL)").await?;
    // a probe finds out within a second that it is gone
    let check = users.check().with_success_cache(Some(Duration::from_secs(1)));
    telemetry.health().register("database", check);

    let app = Router::new()
        .route("/users/{id}", get(user).post(add))
        .route("/sleep", get(sleep))
        .with_state(users)
        .layer(ServerLayer::new());
    let listener =
        TcpListener::bind(env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:8080".to_owned())).await?;
    if let Some(admin) = telemetry.admin_address() {
        writeln!(io::stderr(), "admin listening on http://{admin}")?;
    }
    writeln!(io::stderr(), "listening on http://{}", listener.local_addr()?)?;
    telemetry.serve(listener, app).await?;
    Ok(())
}

async fn user(State(users): State<Users>, Path(id): Path<i64>) -> Result<Response, Problem> {
    let query = sqlx::query_scalar::<_, String>("SELECT name FROM users WHERE id = $1").bind(id);
    let name = query.fetch_optional(&users).await?;
    tracing::info!(user.id = %id, found = name.is_some(), "user asked for");
    Ok(name.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |name| Json(name).into_response()))
}

/// Two queries that happen both or not at all.
async fn add(State(users): State<Users>, Path(id): Path<i64>, name: String) -> Result<StatusCode, Problem> {
    let mut transaction = users.begin().await?;
    sqlx::query("DELETE FROM users WHERE id = $1").bind(id).execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO users VALUES ($1, $2)").bind(id).bind(name).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(StatusCode::CREATED)
}

/// A query that takes its time: meanwhile `/debug/requests` shows what the request waits for.
async fn sleep(State(users): State<Users>) -> Result<StatusCode, Problem> {
    users.execute("SELECT pg_sleep(60)").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a visitor is told when the database does not answer. The cause is for the log.
struct Problem(sqlx::Error);

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, Extension(Cause::new(self.0)), "not now").into_response()
    }
}
