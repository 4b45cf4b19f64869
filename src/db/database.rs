//! A database as its client knows it, and what is asked of it.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use opentelemetry::{StringValue, metrics::MeterProvider};

use super::{
    Failure, Running,
    metrics::Instruments,
    query,
    run::Run,
    semconv::{Asked, Target},
    url::Url,
};

/// What of a query becomes `db.query.text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum QueryText {
    /// The text without its literals: each is `?`, lists after `IN` have one, comments are gone, and it is at most 4096
    /// bytes long.
    #[default]
    Sanitized,
    /// The text as it is. For queries whose values are all parameters, as the conventions recommend for those.
    Whole,
    /// Nothing.
    Off,
}

/// A database as its client knows it: who is asked, and where that is recorded. Cheap to clone; make one per database.
///
/// Instruments are those of the global meter provider, made at the first use and therefore after `init`.
#[derive(Clone)]
pub struct Database(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    target: Target,
    stage: Cow<'static, str>,
    text: QueryText,
    rows: bool,
    meters: Option<Arc<dyn MeterProvider + Send + Sync>>,
    instruments: Arc<OnceLock<Instruments>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("target", &self.0.target).finish_non_exhaustive()
    }
}

impl Database {
    /// A database of this system, in the words of the conventions (`db.system.name`): `postgresql`, `mysql`, `sqlite`,
    /// `redis`, `mongodb`, and `other_sql` where nothing more is known.
    #[must_use]
    pub fn new(system: impl Into<Cow<'static, str>>) -> Self {
        let system = system.into();
        Self(Arc::new(Settings {
            stage: format!("waiting for {system}").into(),
            target: Target { system, namespace: None, address: None, port: None },
            text: QueryText::default(),
            rows: false,
            meters: None,
            instruments: Arc::default(),
        }))
    }

    /// The database of a connection URL, such as `postgres://shop@db.internal:5433/shop`: its system, name, host (or socket)
    /// and port, as far as they are in it. User and password are not kept.
    ///
    /// ```
    /// use tracewell::db::Database;
    ///
    /// let shop = Database::of_url("postgres://shop:hunter2@db.internal/shop?sslmode=require");
    /// assert_eq!(shop.system(), "postgresql");
    /// ```
    #[must_use]
    pub fn of_url(url: &str) -> Self {
        let Url { system, namespace, address, port } = Url::read(url);
        Self::new(system).change(|settings| {
            let target = &mut settings.target;
            target.namespace = namespace.map(Into::into);
            target.address = address.map(Into::into);
            target.port = port;
        })
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The database's name (`db.namespace`); for PostgreSQL `database` or `database|schema`.
    #[must_use]
    pub fn with_namespace(self, namespace: impl Into<StringValue>) -> Self {
        self.change(|settings| settings.target.namespace = Some(namespace.into()))
    }

    /// Its host, or the path of its socket (`server.address`).
    #[must_use]
    pub fn with_address(self, address: impl Into<StringValue>) -> Self {
        self.change(|settings| settings.target.address = Some(address.into()))
    }

    /// Its port (`server.port`, which is left out where it is the system's usual one).
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        self.change(|settings| settings.target.port = Some(port))
    }

    /// What of a query's text is recorded.
    #[must_use]
    pub fn with_query_text(self, text: QueryText) -> Self {
        self.change(|settings| settings.text = text)
    }

    /// Records how many rows an operation returned (`db.response.returned_rows`), where that is known.
    #[must_use]
    pub fn with_returned_rows(self, recorded: bool) -> Self {
        self.change(|settings| settings.rows = recorded)
    }

    /// Makes the instruments with this provider instead of the global one.
    #[must_use]
    pub fn with_meter_provider(self, provider: impl MeterProvider + Send + Sync + 'static) -> Self {
        self.change(|settings| {
            settings.meters = Some(Arc::new(provider));
            settings.instruments = Arc::default();
        })
    }

    /// The system's name.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.0.target.system
    }

    /// An operation that is no SQL, by its name in the database's own words (`db.operation.name`): `GET`, `findAndModify`.
    pub fn operation(&self, name: impl Into<StringValue>) -> Operation {
        let asked = Asked { operation: Some(name.into()), ..Asked::default() };
        Operation { database: self.clone(), asked }
    }

    /// An SQL query. Its text is read for `db.query.text` and `db.query.summary`, in time linear in its length.
    pub fn query(&self, sql: &str) -> Operation {
        let shown = query::read(self.system(), sql);
        let text = match self.0.text {
            QueryText::Sanitized => Some(shown.text.into()),
            QueryText::Whole => Some(sql.to_owned().into()),
            QueryText::Off => None,
        };
        let asked = Asked { summary: shown.summary.map(Into::into), text, ..Asked::default() };
        Operation { database: self.clone(), asked }
    }

    pub(super) fn target(&self) -> &Target {
        &self.0.target
    }

    pub(super) fn stage(&self) -> Cow<'static, str> {
        self.0.stage.clone()
    }

    pub(super) fn records_rows(&self) -> bool {
        self.0.rows
    }

    pub(super) fn instruments(&self) -> &Instruments {
        static GLOBAL: OnceLock<Instruments> = OnceLock::new();
        match &self.0.meters {
            Some(meters) => self.0.instruments.get_or_init(|| Instruments::new(&**meters)),
            None => GLOBAL.get_or_init(|| Instruments::new(&*opentelemetry::global::meter_provider())),
        }
    }

    /// Runs `with` on the provider that instruments are made with.
    #[cfg(feature = "sqlx")]
    pub(super) fn with_meters<T>(&self, with: impl FnOnce(&dyn MeterProvider) -> T) -> T {
        match &self.0.meters {
            Some(meters) => with(&**meters),
            None => with(&*opentelemetry::global::meter_provider()),
        }
    }
}

/// Something about to be asked of a database; made by [`Database::query`] or [`Database::operation`].
#[must_use = "nothing is observed before run() or start()"]
#[derive(Debug, Clone)]
pub struct Operation {
    database: Database,
    asked: Asked,
}

impl Operation {
    /// The table, collection or container (`db.collection.name`), where there is one.
    pub fn with_collection(mut self, collection: impl Into<StringValue>) -> Self {
        self.asked.collection = Some(collection.into());
        self
    }

    /// The stored procedure (`db.stored_procedure.name`).
    pub fn with_stored_procedure(mut self, procedure: impl Into<StringValue>) -> Self {
        self.asked.procedure = Some(procedure.into());
        self
    }

    #[cfg(feature = "sqlx")]
    pub(super) fn summary(&self) -> Option<&str> {
        self.asked.summary.as_ref().map(StringValue::as_str)
    }

    /// What the query is, in few words (`db.query.summary`), which become the span's name: `get user by id`. Of SQL one
    /// is made from the text otherwise. Few values: each is a time series.
    pub fn with_summary(mut self, summary: impl Into<StringValue>) -> Self {
        self.asked.summary = Some(summary.into());
        self
    }

    /// How many operations are sent as one (`db.operation.batch.size`); one alone is no batch. Call it last.
    pub fn with_batch_size(mut self, size: u64) -> Self {
        self.asked.in_batch(size);
        self
    }

    /// Starts the operation, for clients that are no future and for rows that come one by one: the guard's methods say
    /// how it ended.
    pub fn start(self) -> Running {
        Running::start(self.database, &self.asked)
    }

    /// Runs the operation, which starts now: `work` is polled inside of its span. An error is a failure whose `error.type` is the
    /// name of its type.
    ///
    /// # Errors
    /// Those of `work`, as they are; a panic of it goes on, once it is recorded.
    ///
    /// Cancel safety: dropping the result drops `work`, and the operation ends as cancelled.
    pub fn run<F, T, E>(self, work: F) -> impl Future<Output = Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.run_with(work, |_| Failure::of_type::<E>())
    }

    /// [`run`](Self::run), where `classify` says what an error is, for `db.response.status_code` and a better
    /// `error.type`.
    ///
    /// # Errors
    /// Those of `work`, as they are.
    ///
    /// Cancel safety: as of [`run`](Self::run).
    pub fn run_with<F, T, E, C>(self, work: F, classify: C) -> impl Future<Output = Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        C: FnOnce(&E) -> Failure,
    {
        Run::new(self.start(), work, |_: &mut Running, result: &Result<T, E>| {
            result.as_ref().err().map(classify)
        })
    }
}
