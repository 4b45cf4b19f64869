//! Semantic conventions for database clients, version 1.44: operations into names and attributes. Pure, and the only file
//! that knows names starting with `db.`.

use std::borrow::Cow;

use opentelemetry::{KeyValue, StringValue, Value};

pub(super) const DURATION: &str = "db.client.operation.duration";
pub(super) const CONNECTIONS: &str = "db.client.connection.count";
pub(super) const MAX_CONNECTIONS: &str = "db.client.connection.max";
pub(super) const PENDING: &str = "db.client.connection.pending_requests";
pub(super) const TIMEOUTS: &str = "db.client.connection.timeouts";
pub(super) const WAIT_TIME: &str = "db.client.connection.wait_time";
pub(super) const USE_TIME: &str = "db.client.connection.use_time";

/// Bucket boundaries of durations, in seconds (database metrics).
pub(super) const SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

const SYSTEM: &str = "db.system.name";
const NAMESPACE: &str = "db.namespace";
const COLLECTION: &str = "db.collection.name";
const OPERATION: &str = "db.operation.name";
const PROCEDURE: &str = "db.stored_procedure.name";
const BATCH_SIZE: &str = "db.operation.batch.size";
const SUMMARY: &str = "db.query.summary";
const TEXT: &str = "db.query.text";
const STATUS_CODE: &str = "db.response.status_code";
const RETURNED_ROWS: &str = "db.response.returned_rows";
const POOL_NAME: &str = "db.client.connection.pool.name";
const CONNECTION_STATE: &str = "db.client.connection.state";
const ADDRESS: &str = "server.address";
const PORT: &str = "server.port";
const ERROR_TYPE: &str = "error.type";
const OUTCOME: &str = "tracewell.outcome";

/// The port that goes without saying.
const fn usual_port(system: &[u8]) -> Option<u16> {
    Some(match system {
        b"postgresql" => 5432,
        b"cockroachdb" => 26257,
        b"mysql" | b"mariadb" => 3306,
        b"microsoft.sql_server" => 1433,
        b"oracle.db" => 1521,
        b"redis" => 6379,
        b"mongodb" => 27017,
        b"cassandra" => 9042,
        b"clickhouse" => 9000,
        b"elasticsearch" | b"opensearch" => 9200,
        b"memcached" => 11211,
        b"neo4j" => 7687,
        _ => return None,
    })
}

/// A database, as attributes tell it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) system: Cow<'static, str>,
    pub(super) namespace: Option<StringValue>,
    pub(super) address: Option<StringValue>,
    pub(super) port: Option<u16>,
}

impl Target {
    fn unusual_port(&self) -> Option<u16> {
        self.port.filter(|port| Some(*port) != usual_port(self.system.as_bytes()))
    }

    fn attributes(&self, attributes: &mut Vec<KeyValue>) {
        attributes.push(KeyValue::new(SYSTEM, self.system.clone()));
        attributes.extend(self.namespace.clone().map(|namespace| KeyValue::new(NAMESPACE, namespace)));
        if let Some(address) = self.address.clone() {
            attributes.push(KeyValue::new(ADDRESS, address));
            attributes.extend(self.unusual_port().map(|port| KeyValue::new(PORT, i64::from(port))));
        }
    }
}

/// What is asked of a database.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) operation: Option<StringValue>,
    pub(super) collection: Option<StringValue>,
    pub(super) procedure: Option<StringValue>,
    pub(super) summary: Option<StringValue>,
    pub(super) text: Option<StringValue>,
    pub(super) batch: Option<u64>,
}

impl Asked {
    /// Several operations in one call: their common name says so. One alone is no batch.
    pub(super) fn in_batch(&mut self, size: u64) {
        if size == 1 || self.batch.is_some() {
            return;
        }
        self.batch = Some(size);
        for name in [&mut self.operation, &mut self.summary].into_iter().flatten() {
            *name = format!("BATCH {name}").into();
        }
        if self.operation.is_none() && self.summary.is_none() {
            self.operation = Some("BATCH".into());
        }
    }

    /// The span's name (database spans, "Name").
    pub(super) fn span_name(&self, target: &Target) -> Cow<'static, str> {
        if let Some(summary) = &self.summary {
            return summary.as_str().to_owned().into();
        }
        let named = [&self.collection, &self.procedure, &target.namespace].into_iter().flatten().next();
        let at = match (named, &target.address, target.port) {
            (Some(name), ..) => Some(Cow::Borrowed(name.as_str())),
            (None, Some(address), Some(port)) => Some(format!("{address}:{port}").into()),
            (None, Some(address), None) => Some(address.as_str().into()),
            (None, None, _) => None,
        };
        match (&self.operation, at) {
            (Some(operation), Some(at)) => format!("{operation} {at}").into(),
            (Some(operation), None) => operation.as_str().to_owned().into(),
            (None, Some(at)) => at.into_owned().into(),
            (None, None) => target.system.clone(),
        }
    }

    /// What span and metric say from the start on.
    pub(super) fn common(&self, target: &Target) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(10);
        target.attributes(&mut attributes);
        for (key, value) in [
            (OPERATION, &self.operation),
            (COLLECTION, &self.collection),
            (PROCEDURE, &self.procedure),
            (SUMMARY, &self.summary),
        ] {
            attributes.extend(value.clone().map(|value| KeyValue::new(key, value)));
        }
        attributes
    }

    /// What only the span says.
    pub(super) fn of_span(&self, attributes: &mut Vec<KeyValue>) {
        attributes.extend(self.text.clone().map(|text| KeyValue::new(TEXT, text)));
        attributes.extend(self.batch.map(|size| KeyValue::new(BATCH_SIZE, count(size))));
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How an operation ended.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    Completed,
    Failed {
        kind: Cow<'static, str>,
        code: Option<Cow<'static, str>>,
    },
    /// Given up before there was an answer.
    Cancelled,
    /// Its rows were left before the last one.
    Aborted,
}

impl Ending {
    /// What span and metric say at the end.
    pub(super) fn attributes(&self, attributes: &mut Vec<KeyValue>) {
        let text = |key, text: &Cow<'static, str>| KeyValue::new(key, Value::from(text.clone()));
        match self {
            Self::Completed => {}
            Self::Failed { kind, code } => {
                attributes.push(text(ERROR_TYPE, kind));
                attributes.extend(code.as_ref().map(|code| text(STATUS_CODE, code)));
            }
            Self::Cancelled => attributes.push(KeyValue::new(OUTCOME, "cancelled")),
            Self::Aborted => attributes.push(KeyValue::new(OUTCOME, "aborted")),
        }
    }
}

pub(super) fn returned_rows(rows: u64) -> KeyValue {
    KeyValue::new(RETURNED_ROWS, count(rows))
}

/// A point of a pool's metric.
pub(super) fn pool(name: &StringValue) -> KeyValue {
    KeyValue::new(POOL_NAME, name.clone())
}

/// A point of [`CONNECTIONS`].
pub(super) fn connections(name: &StringValue, state: &'static str) -> [KeyValue; 2] {
    [pool(name), KeyValue::new(CONNECTION_STATE, state)]
}
