//! A query's summary: its operations and what they work on, in the query's order and spelling (database spans,
//! "Generating a summary of the query"). Strings never become part of it, not even where a table is expected.

use super::{MAX_SUMMARY, lexer::Token};

/// Parentheses within parentheses that are followed.
const MAX_DEPTH: usize = 64;

/// What a statement can begin with.
const STATEMENTS: [&str; 58] = [
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DESCRIBE",
    "DETACH",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "EXEC",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "FLUSH",
    "GRANT",
    "INSERT",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "OPTIMIZE",
    "PRAGMA",
    "PREPARE",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TRUNCATE",
    "UNLISTEN",
    "UPDATE",
    "UPSERT",
    "USE",
    "VACUUM",
    "VALUES",
];
/// What a part of a statement can begin with, in parentheses or after them.
const PARTS: [&str; 5] = ["DELETE", "INSERT", "MERGE", "SELECT", "UPDATE"];
/// What can be created, altered and dropped under a name.
const OBJECTS: [&str; 16] = [
    "DATABASE",
    "DOMAIN",
    "EXTENSION",
    "FUNCTION",
    "INDEX",
    "POLICY",
    "PROCEDURE",
    "ROLE",
    "SCHEMA",
    "SEQUENCE",
    "TABLE",
    "TABLESPACE",
    "TRIGGER",
    "TYPE",
    "USER",
    "VIEW",
];
/// What can stand between an operation and its target.
const BEFORE_TARGETS: [&str; 14] = [
    "ABORT",
    "CONCURRENTLY",
    "EXISTS",
    "FAIL",
    "IF",
    "IGNORE",
    "LATERAL",
    "LOW_PRIORITY",
    "NOT",
    "ONLY",
    "OR",
    "REPLACE",
    "ROLLBACK",
    "TABLE",
];
/// What ends a list of tables.
const AFTER_TABLES: [&str; 14] = [
    "EXCEPT",
    "FETCH",
    "FOR",
    "GROUP",
    "HAVING",
    "INTERSECT",
    "LIMIT",
    "OFFSET",
    "ORDER",
    "RETURNING",
    "SET",
    "UNION",
    "WHERE",
    "WINDOW",
];

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}

/// One level of parentheses.
#[derive(Debug, Default, Clone, Copy)]
struct Level {
    /// It is a statement or a part of one, so that `FROM` is followed by tables.
    query: bool,
    /// In a list of tables: a comma is followed by another one.
    tables: bool,
    /// A name that comes now is a target.
    target: bool,
}

const STATEMENT: Level = Level { query: true, tables: false, target: false };

/// Where in a statement the reading is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// An operation can begin here.
    #[default]
    Start,
    /// After a parenthesis: a part of a statement can begin here.
    Part,
    /// After `CREATE` and the like: the kind of object comes.
    Object,
    Inside,
}

/// A name of several words, between its dots.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Name {
    #[default]
    None,
    Begun,
    Dot,
}

/// Made token by token.
#[derive(Debug)]
pub(super) struct Summary {
    out: String,
    full: bool,
    levels: Vec<Level>,
    place: Place,
    name: Name,
    target: String,
    /// The latest operation lets `USING` name a target.
    using: bool,
    /// The latest word was `DISTINCT`, as in `IS DISTINCT FROM`.
    distinct: bool,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            out: String::new(),
            full: false,
            levels: vec![STATEMENT],
            place: Place::default(),
            name: Name::default(),
            target: String::new(),
            using: false,
            distinct: false,
        }
    }
}

impl Summary {
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn read(&mut self, token: &Token<'_>) {
        if self.full || *token == Token::Space || self.goes_on(token) {
            return;
        }
        self.end_name();
        match token {
            Token::Word(word) => self.word(word),
            Token::Quoted(name) if self.level().target => self.begin_name(name),
            Token::Mark(mark) => self.mark(*mark),
            _ => {
                self.level().target = false;
                self.place = Place::Inside;
            }
        }
        self.distinct = matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("DISTINCT"));
    }

    pub(super) fn finish(mut self) -> Option<String> {
        self.end_name();
        (!self.out.is_empty()).then_some(self.out)
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(STATEMENT);
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    /// Whether the token is the next part of the name before it.
    fn goes_on(&mut self, token: &Token<'_>) -> bool {
        match (self.name, token) {
            (Name::Begun, Token::Mark('.')) => {
                self.name = Name::Dot;
                self.target.push('.');
            }
            (Name::Dot, Token::Word(part) | Token::Quoted(part)) => {
                self.name = Name::Begun;
                self.target.push_str(part);
            }
            _ => return false,
        }
        self.full |= self.target.len() > MAX_SUMMARY;
        true
    }

    fn begin_name(&mut self, name: &str) {
        self.level().target = false;
        self.place = Place::Inside;
        self.name = Name::Begun;
        self.target.push_str(name);
    }

    fn end_name(&mut self) {
        if std::mem::take(&mut self.name) != Name::None {
            let target = std::mem::take(&mut self.target);
            self.add(&target);
        }
    }

    fn add(&mut self, term: &str) {
        let space = usize::from(!self.out.is_empty());
        if self.full || self.out.len() + space + term.len() > MAX_SUMMARY {
            self.full = true;
            return;
        }
        if space == 1 {
            self.out.push(' ');
        }
        self.out.push_str(term);
    }

    fn mark(&mut self, mark: char) {
        match mark {
            '(' => {
                let outer = *self.level();
                // tables in parentheses are still tables
                let tables = outer.target;
                self.level().target = false;
                self.place = Place::Part;
                self.full |= self.levels.len() >= MAX_DEPTH;
                self.levels.push(Level { query: tables, tables, target: tables });
            }
            ')' => {
                self.levels.pop();
                self.place = Place::Part;
            }
            ';' => {
                self.levels.clear();
                self.place = Place::Start;
                self.using = false;
            }
            ',' => {
                let level = self.level();
                level.target = level.tables;
                self.place = Place::Inside;
            }
            _ => {
                self.level().target = false;
                self.place = Place::Inside;
            }
        }
    }

    fn word(&mut self, word: &str) {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        let place = std::mem::replace(&mut self.place, Place::Inside);
        let begins = match place {
            Place::Start => is_one_of(word, &STATEMENTS),
            Place::Part => is_one_of(word, &PARTS),
            _ => is("SELECT"),
        };
        if begins {
            return self.operation(word);
        }
        if is("WITH") && matches!(place, Place::Start | Place::Part) {
            self.level().query = true;
            return;
        }
        if place == Place::Object {
            return self.object(word);
        }
        if self.level().target {
            if !is_one_of(word, &BEFORE_TARGETS) {
                self.begin_name(word);
            }
            return;
        }
        self.clause(word);
    }

    fn operation(&mut self, word: &str) {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        self.add(word);
        *self.level() = STATEMENT;
        self.using = is("DELETE") || is("MERGE");
        self.level().target =
            ["UPDATE", "TRUNCATE", "CALL", "EXEC", "EXECUTE", "COPY", "LOCK"].iter().any(|name| is(name));
        if is("CREATE") || is("ALTER") || is("DROP") {
            self.place = Place::Object;
        } else if is("EXPLAIN") || is("ANALYZE") || is("DESCRIBE") {
            self.place = Place::Start;
        }
    }

    /// After `CREATE`: `OR REPLACE TEMPORARY` and so on, then the kind of object.
    fn object(&mut self, word: &str) {
        if is_one_of(word, &OBJECTS) {
            self.add(word);
            self.level().target = true;
        } else {
            self.place = Place::Object;
        }
    }

    fn clause(&mut self, word: &str) {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        let distinct = self.distinct;
        let using = self.using && is("USING");
        let level = self.level();
        if !level.query {
            return;
        }
        if (is("FROM") && !distinct) || using {
            (level.tables, level.target) = (true, true);
        } else if is("JOIN") || is("INTO") {
            level.target = true;
        } else if is_one_of(word, &AFTER_TABLES) {
            level.tables = false;
        }
    }
}
