//! Any executor, observed.

use futures_core::{future::BoxFuture, stream::BoxStream};
use sqlx::{Database as Driver, Describe, Either, Error, Execute, Executor};

use super::{judge, rows::Rows};
use crate::db::{Database, PoolMetrics, Running, run::Run};

/// An executor of `sqlx` whose operations are observed: for connections that are of no [`Pool`](super::Pool).
///
/// ```no_run
/// # async fn example(mut connection: sqlx::PgConnection) -> Result<(), sqlx::Error> {
/// use tracewell::db::{Database, sqlx::Observed};
///
/// let shop = Database::new("postgresql").with_namespace("shop");
/// sqlx::query("DELETE FROM carts").execute(Observed::new(&mut connection, &shop)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Observed<E> {
    executor: E,
    database: Database,
    pool: Option<PoolMetrics>,
}

impl<E> Observed<E> {
    /// This executor, whose operations are this database's.
    pub fn new(executor: E, database: &Database) -> Self {
        Self { executor, database: database.clone(), pool: None }
    }

    pub(super) fn of_pool(executor: E, database: &Database, pool: &PoolMetrics) -> Self {
        Self { executor, database: database.clone(), pool: Some(pool.clone()) }
    }
}

/// A query's `PREPARE`.
fn preparing(database: &Database, sql: &str) -> Running {
    let query = database.query(sql);
    let summary =
        query.summary().map_or_else(|| "PREPARE".to_owned(), |summary| format!("PREPARE {summary}"));
    query.with_summary(summary).start()
}

impl<'c, X> Executor<'c> for Observed<X>
where
    X: Executor<'c>,
{
    type Database = X::Database;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<
        'e,
        Result<Either<<X::Database as Driver>::QueryResult, <X::Database as Driver>::Row>, Error>,
    >
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let running = self.database.query(query.sql()).start();
        Box::pin(Rows::new(self.executor.fetch_many(query), running, self.pool))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<X::Database as Driver>::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let running = self.database.query(query.sql()).start();
        Box::pin(Run::new(running, self.executor.fetch_optional(query), count_row))
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [<X::Database as Driver>::TypeInfo],
    ) -> BoxFuture<'e, Result<<X::Database as Driver>::Statement<'q>, Error>>
    where
        'c: 'e,
    {
        let running = preparing(&self.database, sql);
        Box::pin(Run::new(running, self.executor.prepare_with(sql, parameters), judge))
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<Self::Database>, Error>>
    where
        'c: 'e,
    {
        // for macros at compile time
        self.executor.describe(sql)
    }
}

/// [`judge`] of a result that has one row at most.
pub(super) fn count_row<T>(
    running: &mut Running,
    result: &Result<Option<T>, Error>,
) -> Option<crate::db::Failure> {
    if let Ok(row) = result {
        running.add_rows(u64::from(row.is_some()));
    }
    judge(running, result)
}
