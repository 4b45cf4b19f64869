//! Connections that are held for a while: borrowed from a pool, or in a transaction.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Instant,
};

use futures_core::{future::BoxFuture, stream::BoxStream};
use sqlx::{
    Connection as _, Database as Driver, Describe, Either, Error, Execute, Executor, TransactionManager as _,
};

use super::{Observed, judge};
use crate::db::{Database, PoolMetrics, Running, run::Run};

/// A connection of a pool, observed. It goes back when it is dropped.
pub type PoolConnection<DB> = Held<sqlx::pool::PoolConnection<DB>>;

/// A transaction, observed. Dropped without [`commit`](Held::commit), it is rolled back.
pub type Transaction<'c, DB> = Held<sqlx::Transaction<'c, DB>>;

/// A connection that is held; `&mut *held` is an executor.
pub struct Held<C> {
    connection: Connection<C>,
    // dropped after the connection went back
    _borrowed: Option<Borrowed>,
}

/// The connection of a [`Held`]: `&mut` of it is an executor, whose operations are observed.
pub struct Connection<C> {
    inner: C,
    database: Database,
}

/// A connection is in use, until this is dropped.
struct Borrowed {
    pool: PoolMetrics,
    since: Instant,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.pool.used_for(self.since.elapsed());
    }
}

impl<C> Held<C> {
    /// Borrowed from this pool just now.
    pub(super) fn borrowed(inner: C, database: &Database, pool: &PoolMetrics) -> Self {
        let borrowed = Borrowed { pool: pool.clone(), since: Instant::now() };
        Self { connection: Connection { inner, database: database.clone() }, _borrowed: Some(borrowed) }
    }
}

/// A statement that is its own summary.
fn statement(database: &Database, sql: &'static str) -> Running {
    database.query(sql).with_summary(sql).start()
}

impl<C> Connection<C> {
    /// What is behind it. What that does is not observed.
    pub fn inner_mut(&mut self) -> &mut C {
        &mut self.inner
    }
}

impl<C> Connection<C>
where
    C: DerefMut + Send,
    C::Target: sqlx::Connection + Sized,
{
    /// Begins a transaction, or a savepoint in one.
    ///
    /// # Errors
    /// Those of the database and of the connection.
    ///
    /// Cancel safety: that of `sqlx`; the operation ends as cancelled.
    pub async fn begin(
        &mut self,
    ) -> Result<Transaction<'_, <C::Target as sqlx::Connection>::Database>, Error> {
        let database = self.database.clone();
        let nested = self.inner.is_in_transaction();
        let running = statement(&database, if nested { "SAVEPOINT" } else { "BEGIN" });
        let inner = Run::new(running, self.inner.begin(), judge).await?;
        Ok(Held { connection: Connection { inner, database }, _borrowed: None })
    }
}

impl<DB: Driver> Transaction<'_, DB> {
    /// Commits the transaction, or releases the savepoint.
    ///
    /// Not cancel safe: dropped under way, sqlx rolls back what the database has not committed by then, and nobody is told which of
    /// the two it was.
    ///
    /// # Errors
    /// Those of the database and of the connection.
    pub async fn commit(self) -> Result<(), Error> {
        let Connection { inner, database } = self.connection;
        let nested = DB::TransactionManager::get_transaction_depth(&inner) > 1;
        let running = statement(&database, if nested { "RELEASE SAVEPOINT" } else { "COMMIT" });
        Run::new(running, inner.commit(), judge).await
    }

    /// Rolls the transaction back, or to the savepoint. Cancel safe: dropped under way, it is rolled back before the connection is used
    /// again.
    ///
    /// # Errors
    /// Those of the database and of the connection.
    pub async fn rollback(self) -> Result<(), Error> {
        let Connection { inner, database } = self.connection;
        let nested = DB::TransactionManager::get_transaction_depth(&inner) > 1;
        let running = statement(&database, if nested { "ROLLBACK TO SAVEPOINT" } else { "ROLLBACK" });
        Run::new(running, inner.rollback(), judge).await
    }
}

impl<C> Deref for Held<C> {
    type Target = Connection<C>;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl<C> DerefMut for Held<C> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl<C> fmt::Debug for Held<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Connection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("database", &self.database).finish_non_exhaustive()
    }
}

type DriverOf<C> = <<C as Deref>::Target as sqlx::Connection>::Database;

impl<'t, C> Executor<'t> for &'t mut Connection<C>
where
    C: DerefMut + Send,
    C::Target: sqlx::Connection + Sized,
    for<'x> &'x mut C::Target: Executor<'x, Database = DriverOf<C>>,
{
    type Database = DriverOf<C>;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<
        'e,
        Result<Either<<DriverOf<C> as Driver>::QueryResult, <DriverOf<C> as Driver>::Row>, Error>,
    >
    where
        't: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        Observed::new(&mut *self.inner, &self.database).fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<DriverOf<C> as Driver>::Row>, Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        Observed::new(&mut *self.inner, &self.database).fetch_optional(query)
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [<DriverOf<C> as Driver>::TypeInfo],
    ) -> BoxFuture<'e, Result<<DriverOf<C> as Driver>::Statement<'q>, Error>>
    where
        't: 'e,
    {
        Observed::new(&mut *self.inner, &self.database).prepare_with(sql, parameters)
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<Self::Database>, Error>>
    where
        't: 'e,
    {
        (&mut *self.inner).describe(sql)
    }
}
