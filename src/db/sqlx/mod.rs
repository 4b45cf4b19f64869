//! [`sqlx`] 0.8, observed: put [`Pool`] where `sqlx::Pool` was, and every query has its span, its duration and its
//! stage.
//!
//! ```no_run
//! # async fn example() -> Result<(), sqlx::Error> {
//! use tracewell::db::{Database, sqlx::Pool};
//!
//! let url = "postgres://shop@db.internal/shop";
//! let pool = Pool::new(sqlx::PgPool::connect(url).await?, Database::of_url(url));
//!
//! let name: String = sqlx::query_scalar("SELECT name FROM users WHERE id = $1").bind(7).fetch_one(&pool).await?;
//!
//! let mut transaction = pool.begin().await?;
//! sqlx::query("DELETE FROM users WHERE id = $1").bind(7).execute(&mut *transaction).await?;
//! transaction.commit().await?;
//! # drop(name);
//! # Ok(())
//! # }
//! ```
//!
//! | what | observed |
//! |---|---|
//! | `execute`, `fetch_one`, `fetch_optional`, `fetch_all` | until the result is there, the wait for a connection included |
//! | `fetch`, `fetch_many`, `execute_many` | until the last row, the first error, or the stream's drop |
//! | `prepare` | as `PREPARE` and the query's summary, until the statement is there |
//! | [`Pool::begin`], `commit`, `rollback` | as `BEGIN`, `COMMIT`, `ROLLBACK`; for a transaction in a transaction as `SAVEPOINT` and so on |
//! | a transaction dropped | nothing: `sqlx` rolls back whenever the connection is used next |
//!
//! With an error of the database, `db.response.status_code` and `error.type` are its code (the SQLSTATE of PostgreSQL);
//! otherwise `error.type` is `connection_refused`, `connection_lost`, `timeout`, `io`, `tls`, `protocol`, `pool_timeout`,
//! `pool_closed`, `encode`, `decode` or `_OTHER`. `RowNotFound` is no failure: the query was answered.
//!
//! # The pool
//!
//! Its metrics are those of [`PoolMetrics`](super::PoolMetrics), as far as `sqlx` tells: how many connections are idle, in
//! use, and allowed. Who waits for one and for how long is known for everything but streams of a pool, which `sqlx` finds
//! a connection for itself; so are timeouts, for streams too. The wait ends when `sqlx` has tested the connection, which
//! it does by default. When the pool is exhausted, the request's stage is `waiting for a connection`. For how long a connection is in use is known of
//! [`Pool::acquire`] and [`Pool::begin`]. [`Pool::check`] is a readiness check.
//!
//! # Another version of `sqlx`
//!
//! 0.9 needs a newer compiler than this crate. Until then, it is a client like any other:
//! `database.query(sql).run(query.fetch_one(&pool))`.

mod connection;
mod observed;
mod pool;
mod rows;

use std::io::ErrorKind;

use sqlx::Error;

pub use self::{
    connection::{Connection, Held, PoolConnection, Transaction},
    observed::Observed,
    pool::Pool,
};
use super::{Failure, Running};

/// What an error is, for [`Operation::run_with`](super::Operation::run_with).
#[must_use]
pub fn classify(error: &Error) -> Failure {
    Failure::kind(match error {
        Error::Database(error) => match error.code() {
            Some(code) => return Failure::code(code.into_owned()),
            None => "database",
        },
        Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => "connection_refused",
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => "connection_lost",
            ErrorKind::TimedOut => "timeout",
            _ => "io",
        },
        Error::Tls(_) => "tls",
        Error::Protocol(_) => "protocol",
        Error::PoolTimedOut => "pool_timeout",
        Error::PoolClosed => "pool_closed",
        Error::Encode(_) => "encode",
        Error::Decode(_) | Error::ColumnDecode { .. } => "decode",
        _ => "_OTHER",
    })
}

/// The failure of a result, unless only the row was missing.
fn judge<T>(_: &mut Running, result: &Result<T, Error>) -> Option<Failure> {
    result.as_ref().err().filter(|error| !matches!(error, Error::RowNotFound)).map(classify)
}
