//! A pool of connections, observed.

use std::{fmt, future::Future, sync::Arc};

use futures_core::{future::BoxFuture, stream::BoxStream};
use opentelemetry::StringValue;
use sqlx::{Connection as _, Database as Driver, Describe, Either, Error, Execute, Executor};

use super::{Held, Observed, PoolConnection, Transaction, judge, observed::count_row};
use crate::{
    db::{Connections, Database, PoolMetrics, Running, run::Run},
    health::Check,
    requests,
};

/// `sqlx::Pool`, observed: `&pool` is an executor. Clones are the same pool.
pub struct Pool<DB: Driver> {
    shared: Arc<Shared<DB>>,
}

struct Shared<DB: Driver> {
    pool: sqlx::Pool<DB>,
    database: Database,
    metrics: PoolMetrics,
}

impl<DB: Driver> Pool<DB> {
    /// This pool, whose operations are this database's. Call it after `init`: the pool's instruments are made here.
    #[must_use]
    pub fn new(pool: sqlx::Pool<DB>, database: Database) -> Self {
        let shared = Arc::new_cyclic(|shared: &std::sync::Weak<Shared<DB>>| {
            // the instruments live longer than the pool
            let (of_max, of_now) = (shared.clone(), shared.clone());
            let max = move || Some(of_max.upgrade()?.pool.options().get_max_connections().into());
            let now = move || {
                let pool = &of_now.upgrade()?.pool;
                let idle = u64::try_from(pool.num_idle()).unwrap_or(u64::MAX);
                Some(Connections { idle, used: u64::from(pool.size()).saturating_sub(idle) })
            };
            let name = pool_name(&database);
            let metrics = database.with_meters(|meters| PoolMetrics::new(meters, name, max, now));
            Shared { pool, database, metrics }
        });
        Self { shared }
    }

    /// The database, for operations that `sqlx` does not know.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.shared.database
    }

    /// The pool behind it. What that does is not observed.
    #[must_use]
    pub fn inner(&self) -> &sqlx::Pool<DB> {
        &self.shared.pool
    }

    async fn connection(&self) -> Result<sqlx::pool::PoolConnection<DB>, Error> {
        let Shared { pool, metrics, .. } = &*self.shared;
        let exhausted = pool.num_idle() == 0 && pool.size() >= pool.options().get_max_connections();
        let entry = exhausted.then(requests::current).flatten();
        let _waiting = entry.map(|entry| entry.wait_for("waiting for a connection"));
        let connection = metrics.wait(pool.acquire()).await;
        if matches!(connection, Err(Error::PoolTimedOut)) {
            metrics.timed_out();
        }
        connection
    }

    /// A connection, once there is one.
    ///
    /// # Errors
    /// Those of `sqlx::Pool::acquire`.
    ///
    /// Cancel safety: that of `sqlx`.
    pub async fn acquire(&self) -> Result<PoolConnection<DB>, Error> {
        let connection = self.connection().await?;
        Ok(Held::borrowed(connection, &self.shared.database, &self.shared.metrics))
    }

    /// Begins a transaction, on a connection that is free.
    ///
    /// # Errors
    /// Those of `sqlx::Pool::begin`.
    ///
    /// Cancel safety: that of `sqlx`; the operation ends as cancelled.
    pub async fn begin(&self) -> Result<Transaction<'static, DB>, Error> {
        let Shared { database, metrics, .. } = &*self.shared;
        let begin = async { sqlx::Transaction::begin(self.connection().await?, None).await };
        let transaction = Run::new(database.query("BEGIN").start(), begin, judge).await?;
        Ok(Held::borrowed(transaction, database, metrics))
    }

    /// Passes when a connection is there and answers a ping.
    pub fn check(&self) -> Check {
        let system = match self.shared.database.system() {
            "postgresql" => "postgresql",
            "mysql" => "mysql",
            "mariadb" => "mariadb",
            "sqlite" => "sqlite",
            _ => "other_sql",
        };
        let pool = self.shared.pool.clone();
        Check::database(system, move || {
            let pool = pool.clone();
            async move { pool.acquire().await?.ping().await }
        })
    }

    /// What `work` does with a connection of this pool.
    fn run<'e, T, F>(
        &self,
        sql: &str,
        work: impl FnOnce(sqlx::pool::PoolConnection<DB>) -> F + Send + 'e,
        judge: impl FnOnce(&mut Running, &Result<T, Error>) -> Option<crate::db::Failure> + Send + 'e,
    ) -> BoxFuture<'e, Result<T, Error>>
    where
        F: Future<Output = Result<T, Error>> + Send + 'e,
        T: Send + 'e,
    {
        let pool = self.clone();
        let running = self.shared.database.query(sql).start();
        let work = async move { work(pool.connection().await?).await };
        Box::pin(Run::new(running, work, judge))
    }
}

/// The name of a pool that has none (database metrics, "Connection pools").
fn pool_name(database: &Database) -> StringValue {
    let target = database.target();
    let mut name = target.address.as_ref().map_or(target.system.as_ref(), StringValue::as_str).to_owned();
    if let Some(port) = target.port {
        name = format!("{name}:{port}");
    }
    match &target.namespace {
        Some(namespace) => format!("{name}/{namespace}").into(),
        None => name.into(),
    }
}

impl<DB: Driver> Clone for Pool<DB> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<DB: Driver> fmt::Debug for Pool<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("pool", &self.shared.pool).finish_non_exhaustive()
    }
}

impl<'p, DB: Driver> Executor<'p> for &Pool<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<DB::QueryResult, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        self.run(query.sql(), |mut connection| async move { connection.execute(query).await }, judge)
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let count = |running: &mut Running, result: &Result<Vec<DB::Row>, Error>| {
            if let Ok(rows) = result {
                running.add_rows(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            }
            judge(running, result)
        };
        self.run(query.sql(), |mut connection| async move { connection.fetch_all(query).await }, count)
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<DB::QueryResult, DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let Shared { pool, database, metrics } = &*self.shared;
        Observed::of_pool(pool, database, metrics).fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        self.run(
            query.sql(),
            |mut connection| async move { connection.fetch_optional(query).await },
            count_row,
        )
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement<'q>, Error>>
    where
        'p: 'e,
    {
        Observed::new(&self.shared.pool, &self.shared.database).prepare_with(sql, parameters)
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'p: 'e,
    {
        // for macros at compile time
        (&self.shared.pool).describe(sql)
    }
}
