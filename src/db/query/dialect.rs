//! In what the lexical rules of database systems differ, as far as literals are concerned.

/// What stands between double quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DoubleQuotes {
    /// A name, as the standard says.
    Names,
    /// A string, unless its place shows that it is a name: SQLite takes it for a string when there is no such name.
    Placed,
    /// A string, or nobody knows.
    Strings,
}

/// What follows `/*` inside of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nested {
    Comment,
    Text,
    Unknown,
}

/// The rules of one system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) double_quotes: DoubleQuotes,
    pub(super) nested: Nested,
    /// `[name]`.
    pub(super) brackets: bool,
    /// `` `name` ``.
    pub(super) backticks: bool,
    /// `# comment`.
    pub(super) hash_comments: bool,
    /// `q'[it's]'`.
    pub(super) q_quotes: bool,
    /// `:1` and `?1` are parameters, not a slice and an operator.
    pub(super) numbered: bool,
    /// `$1` is a parameter, not an amount of money.
    pub(super) numbered_dollars: bool,
    /// A backslash in a string is a character as any other, whatever the settings.
    pub(super) plain_backslashes: bool,
}

impl Dialect {
    /// The rules of a `db.system.name`; of a system not known here, those under which the least is shown.
    pub(super) fn of(system: &str) -> Self {
        let standard = Self {
            double_quotes: DoubleQuotes::Names,
            nested: Nested::Comment,
            brackets: false,
            backticks: false,
            hash_comments: false,
            q_quotes: false,
            numbered: false,
            numbered_dollars: false,
            plain_backslashes: true,
        };
        match system {
            "postgresql" | "cockroachdb" | "aws.redshift" => {
                Self { numbered_dollars: true, plain_backslashes: false, ..standard }
            }
            "trino" => standard,
            "h2database" | "hsqldb" | "derby" | "ibm.db2" | "sap.hana" | "firebirdsql" | "teradata" => {
                Self { nested: Nested::Unknown, ..standard }
            }
            "clickhouse" => {
                Self { backticks: true, hash_comments: true, plain_backslashes: false, ..standard }
            }
            "oracle.db" => Self { nested: Nested::Text, q_quotes: true, numbered: true, ..standard },
            "microsoft.sql_server" => Self { brackets: true, ..standard },
            "mysql" | "mariadb" => Self {
                double_quotes: DoubleQuotes::Strings,
                nested: Nested::Text,
                backticks: true,
                hash_comments: true,
                plain_backslashes: false,
                ..standard
            },
            "sqlite" => Self {
                double_quotes: DoubleQuotes::Placed,
                nested: Nested::Text,
                backticks: true,
                brackets: true,
                numbered: true,
                numbered_dollars: true,
                ..standard
            },
            _ => Self {
                double_quotes: DoubleQuotes::Strings,
                nested: Nested::Unknown,
                backticks: true,
                q_quotes: true,
                numbered: true,
                plain_backslashes: false,
                ..standard
            },
        }
    }
}
