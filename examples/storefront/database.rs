//! Products and orders in SQLite. Each query has a span and a duration, and runs where it may block.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use tracewell::{
    db::{self, Failure},
    requests,
};

/// Orders kept; older ones go, so that a shop left alone does not fill the memory.
const ORDERS_KEPT: i64 = 10_000;

const PRODUCTS: [(&str, i64); 20] = [
    ("teapot", 2900),
    ("tea cup", 700),
    ("coffee mill", 5400),
    ("kettle", 3900),
    ("egg timer", 900),
    ("bread knife", 2600),
    ("cutting board", 1900),
    ("rolling pin", 1200),
    ("whisk", 800),
    ("mixing bowl", 1700),
    ("frying pan", 4500),
    ("saucepan", 3800),
    ("colander", 1500),
    ("grater", 1100),
    ("peeler", 500),
    ("apron", 2200),
    ("tea towel", 600),
    ("oven glove", 1300),
    ("pepper mill", 2400),
    ("kitchen scale", 3100),
];

/// What is sold. Prices are in cents.
#[derive(Debug, Serialize)]
pub(crate) struct Product {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) price_cents: i64,
}

/// Whether an order is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Payment {
    Open,
    Paid,
    Deferred,
}

/// Why the database did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("the database refused: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the query was lost: {0}")]
    Lost(#[from] tokio::task::JoinError),
}

/// One connection to a database in memory; queries take turns. Clones share it.
#[derive(Clone)]
pub(crate) struct Database {
    connection: Arc<Mutex<Connection>>,
    observed: db::Database,
}

impl Database {
    /// An empty order book, and products 1 to 20.
    pub(crate) fn open() -> Result<Self, DatabaseError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price_cents INTEGER NOT NULL);
             CREATE TABLE orders (id INTEGER PRIMARY KEY, product INTEGER NOT NULL, quantity INTEGER NOT NULL,
                                  payment TEXT NOT NULL);",
        )?;
        for (name, price) in PRODUCTS {
            connection
                .execute("INSERT INTO products (name, price_cents) VALUES (?1, ?2)", params![name, price])?;
        }
        let connection = Arc::new(Mutex::new(connection));
        Ok(Self { connection, observed: db::Database::new("sqlite").with_namespace("shop") })
    }

    pub(crate) async fn products(&self) -> Result<Vec<Product>, DatabaseError> {
        let sql = "SELECT id, name, price_cents FROM products ORDER BY id";
        self.query(sql, |select| select.query_map([], product)?.collect()).await
    }

    pub(crate) async fn product(&self, id: i64) -> Result<Option<Product>, DatabaseError> {
        let sql = "SELECT id, name, price_cents FROM products WHERE id = ?1";
        self.query(sql, move |select| select.query_row([id], product).optional()).await
    }

    /// Enters an order that is not paid yet; its number.
    pub(crate) async fn take_order(&self, product: i64, quantity: i64) -> Result<i64, DatabaseError> {
        let sql = "INSERT INTO orders (product, quantity, payment) VALUES (?1, ?2, ?3) RETURNING id";
        let order = move |insert: &mut CachedStatement<'_>| {
            insert.query_row(params![product, quantity, Payment::Open.as_str()], |row| row.get(0))
        };
        let order: i64 = self.query(sql, order).await?;
        let oldest = order.saturating_sub(ORDERS_KEPT);
        self.query("DELETE FROM orders WHERE id <= ?1", move |delete| delete.execute([oldest])).await?;
        Ok(order)
    }

    /// Notes what became of an order's payment.
    pub(crate) async fn note_payment(&self, order: i64, payment: Payment) -> Result<(), DatabaseError> {
        let sql = "UPDATE orders SET payment = ?2 WHERE id = ?1";
        self.query(sql, move |update| update.execute(params![order, payment.as_str()])).await?;
        Ok(())
    }

    /// SQLite blocks its thread. tracewell's `spawn_blocking` carries the query's span there, and the request's entry, whose
    /// stage says meanwhile what it waits for.
    async fn query<T: Send + 'static>(
        &self,
        sql: &'static str,
        work: impl FnOnce(&mut CachedStatement<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let connection = Arc::clone(&self.connection);
        let query = async move {
            let work = move || {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                work(&mut connection.prepare_cached(sql)?)
            };
            Ok(requests::spawn_blocking(work).await??)
        };
        self.observed.query(sql).run_with(query, DatabaseError::failure).await
    }
}

impl DatabaseError {
    /// What the query's span and metric say of it.
    fn failure(&self) -> Failure {
        match self {
            Self::Sqlite(error) => match error.sqlite_error() {
                Some(error) => Failure::code(error.extended_code.to_string()),
                None => Failure::of_type::<rusqlite::Error>(),
            },
            Self::Lost(_) => Failure::kind("lost"),
        }
    }
}

impl Payment {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Deferred => "deferred",
        }
    }
}

fn product(row: &Row<'_>) -> rusqlite::Result<Product> {
    Ok(Product { id: row.get(0)?, name: row.get(1)?, price_cents: row.get(2)? })
}
