//! Databases, as their clients see them: a span, a duration with exemplars and a visible stage for every operation,
//! whichever client runs it.
//!
//! ```
//! use tracewell::db::{Database, Failure};
//!
//! # #[derive(Debug)] struct Error { code: Option<&'static str> }
//! # struct Client;
//! # impl Client {
//! #     async fn query(&self, _: &str) -> Result<Vec<u8>, Error> { Ok(Vec::new()) }
//! #     async fn get(&self, _: &str) -> Result<u8, Error> { Ok(7) }
//! # }
//! # async fn example(client: Client, redis: Client) -> Result<(), Error> {
//! let shop = Database::of_url("postgres://shop@db.internal/shop");
//!
//! let sql = "SELECT name FROM users WHERE id = $1";
//! // `classify` knows the client's errors; without it, run() names an error by its type
//! let classify = |error: &Error| error.code.map_or(Failure::kind("connection"), Failure::code);
//! let users = shop.query(sql).run_with(client.query(sql), classify).await?;
//!
//! // what is no SQL has a name, and a collection where there is one
//! let sessions = Database::new("redis");
//! let session = sessions.operation("GET").with_collection("sessions").run(redis.get("sessions:7")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `sqlx`, `db::sqlx` does this for every query of a pool.
//!
//! # What is recorded
//!
//! By the database conventions (1.44), spans and metrics:
//!
//! | what happens | span | `db.client.operation.duration` (s) |
//! |---|---|---|
//! | a result | status unset | recorded |
//! | an error | Error, `error.type`, `db.response.status_code` where the database gave one | with both |
//! | the future is dropped | status unset, `tracewell.outcome`=`cancelled` | the same |
//! | rows are left before the last one | status unset, `tracewell.outcome`=`aborted` | the same |
//! | a panic | Error, `error.type`=`panic` | the same |
//!
//! Both take one reading of the clock, and the measurement's exemplar is the span. The request or task that waits shows it
//! as its stage, `waiting for postgresql`. Errors are not logged here: whoever handles one knows what it means.
//!
//! The span's name is the query's summary, `SELECT users`; else the operation and what it works on. Span and metric have
//! `db.system.name`, `db.namespace`, `db.operation.name`, `db.collection.name`, `db.stored_procedure.name`,
//! `db.query.summary`, `server.address` and `server.port`, as far as they are known; the span has `db.query.text` and
//! `db.operation.batch.size` too.
//!
//! # What is shown of a query
//!
//! [`QueryText`] says; by default its text without literals and comments. Where it depends on a system's settings where a
//! literal ends (a backslash before a quote), or a literal does not end, the rest is hidden. Of systems that are not known
//! here, the least is shown: what is in double quotes is a literal there, as in MySQL.
//!
//! The conventions would leave the text of parameterized queries as it is ([`QueryText::Whole`]), but nobody can see from
//! outside whether all values of a query are parameters.

mod database;
mod metrics;
mod query;
mod run;
mod running;
mod semconv;
mod url;

#[cfg(feature = "sqlx")]
pub mod sqlx;

pub use self::{
    database::{Database, Operation, QueryText},
    metrics::{Connections, PoolMetrics},
    running::{Failure, Running},
};

/// A query's text without its literals and comments, at most 4099 bytes long, as `system` (`db.system.name`) would read it:
/// what [`QueryText::Sanitized`] records.
///
/// ```
/// let shown = tracewell::db::sanitize("postgresql", "SELECT * FROM users WHERE id IN (7, 8) AND name = 'Ada'");
/// assert_eq!(shown, "SELECT * FROM users WHERE id IN (?) AND name = ?");
/// ```
#[must_use]
pub fn sanitize(system: &str, sql: &str) -> String {
    query::read(system, sql).text
}
