//! What is shown of queries: never a literal, in no dialect.

use super::{MAX_INPUT, MAX_SUMMARY, MAX_TEXT, read};

#[track_caller]
fn assert_shown(system: &str, sql: &str, text: &str, summary: &str) {
    let shown = read(system, sql);
    assert_eq!((shown.text.as_str(), shown.summary.as_deref().unwrap_or("")), (text, summary), "{sql}");
}

#[test]
fn literals_of_every_kind_are_hidden() {
    for (sql, text) in [
        ("SELECT 'it''s', \"Name\" FROM t", "SELECT ?, \"Name\" FROM t"),
        (
            "SELECT E'a\\'b', X'1F', B'01', N'x', U&'d\\0061t', 1.5e-3, .5, 0xFF, 1_000",
            "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?",
        ),
        ("SELECT $$it's$$, $a$ $$ $a$, $1, true", "SELECT ?, ?, $1, ?"),
        ("SELECT a -- it's 5\n, /* 'x' /* nested */ 7 */ b", "SELECT a , b"),
        (
            "SELECT a::int8, b[1:5], DATE '2020-01-01' - INTERVAL '1 day'",
            "SELECT a::int8, b[?:?], DATE ? - INTERVAL ?",
        ),
        (
            "WHERE a IN (1, 'b',  $3 ) AND b in ($1,$2) AND c IN (1)",
            "WHERE a IN (? ) AND b in (?) AND c IN (?)",
        ),
        ("WHERE a IN (1, f(2), 3)", "WHERE a IN (?, f(?), ?)"),
        ("  SELECT\n\t1 ;  ", "SELECT ? ;"),
        // where this one ends depends on a setting
        ("SELECT 'C:\\', 'password'", "SELECT ?"),
        ("SELECT 'open", "SELECT ?"),
        ("SELECT $x$ open", "SELECT ?"),
        ("SELECT /* open 'x'", "SELECT ?"),
    ] {
        assert_eq!(read("postgresql", sql).text, text, "{sql}");
    }
}

#[test]
fn each_dialect_has_its_own_quotes() {
    let all = "SELECT \"s\", `n`, [1], :1, q'[it's]'";
    for (system, text) in [
        ("mysql", "SELECT ?, `n`, [?], :?, q?s]?"),
        ("sqlite", "SELECT ?, `n`, [1], :1, q?s]?"),
        ("oracle.db", "SELECT \"s\", `n`, [?], :1, ?"),
        ("other_sql", "SELECT ?, `n`, [?], :1, ?"),
    ] {
        assert_eq!(read(system, all).text, text, "{system}");
    }
    assert_shown(
        "sqlite",
        "SELECT \"t\".\"a\" FROM \"t\" WHERE \"t\".a = \"x\"",
        "SELECT \"t\".\"a\" FROM \"t\" WHERE \"t\".a = ?",
        "SELECT \"t\"",
    );
    assert_shown("mysql", "SELECT 1 # it's\nFROM t", "SELECT ? FROM t", "SELECT t");
    assert_shown(
        "microsoft.sql_server",
        "EXEC [dbo].[p] @a = N'x'",
        "EXEC [dbo].[p] @a = ?",
        "EXEC [dbo].[p]",
    );
    assert_shown("microsoft.sql_server", "SELECT $12.50, 'C:\\' FROM t", "SELECT ??, ? FROM t", "SELECT t");
    assert_shown(
        "sqlite",
        "SELECT a FROM t WHERE a LIKE ?1 ESCAPE '\\' LIMIT 5",
        "SELECT a FROM t WHERE a LIKE ?1 ESCAPE ? LIMIT ?",
        "SELECT t",
    );
    // nobody knows whether comments nest there
    assert_shown("other_sql", "SELECT a /* /* */ 'x' */ FROM t", "SELECT a ?", "SELECT");
}

#[test]
fn summaries_are_the_conventions_examples() {
    for (sql, summary) in [
        ("SELECT * FROM wuser_table WHERE username = ?", "SELECT wuser_table"),
        (
            "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = ?",
            "INSERT shipping_details SELECT orders",
        ),
        ("SELECT * FROM songs, artists WHERE songs.artist_id == artists.id", "SELECT songs artists"),
        (
            "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)",
            "SELECT SELECT orders customers",
        ),
        // a string is never shown, not even as a table
        ("SELECT * FROM \"song list\", 'artists'", "SELECT \"song list\""),
        ("CALL some_stored_procedure", "CALL some_stored_procedure"),
    ] {
        assert_eq!(read("postgresql", sql).summary.as_deref(), Some(summary), "{sql}");
    }
}

#[test]
fn summaries_know_clauses_from_functions() {
    for (sql, summary) in [
        (
            "select extract(year from o.day) from shop.\"orders\" o, only lines",
            "select shop.\"orders\" lines",
        ),
        ("SELECT a FROM t WHERE a IS DISTINCT FROM b FOR UPDATE", "SELECT t"),
        ("WITH r AS (SELECT 1 FROM a) UPDATE b SET x = r.x FROM r", "SELECT a UPDATE b r"),
        ("INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = 1 RETURNING a", "INSERT t"),
        ("DELETE FROM a USING b WHERE a.x = b.x", "DELETE a b"),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "CREATE INDEX i"),
        ("CREATE OR REPLACE TEMPORARY TABLE t AS SELECT * FROM u", "CREATE TABLE t SELECT u"),
        ("SELECT 1 FROM (a JOIN b ON a.x = b.x), c", "SELECT a b c"),
        ("BEGIN; UPDATE t SET a = 1; COMMIT", "BEGIN UPDATE t COMMIT"),
        ("EXPLAIN ANALYZE SELECT 1 FROM t", "EXPLAIN ANALYZE SELECT t"),
        ("SELECT 1 UNION ALL SELECT 2 FROM t", "SELECT SELECT t"),
        ("SAVEPOINT _sqlx_savepoint_1", "SAVEPOINT"),
        ("SET password TO secret", "SET"),
    ] {
        assert_eq!(read("postgresql", sql).summary.as_deref(), Some(summary), "{sql}");
    }
    assert_eq!(read("postgresql", "hunter2 is my password").summary, None);
}

#[test]
fn text_and_summary_are_bounded() {
    let many = format!("SELECT * FROM t WHERE id IN ({})", vec!["12"; 10_000].join(", "));
    assert_shown("postgresql", &many, "SELECT * FROM t WHERE id IN (?)", "SELECT t");
    let columns = format!("SELECT {} FROM t", vec!["column"; 10_000].join(", "));
    let shown = read("postgresql", &columns);
    assert!(shown.text.len() <= MAX_TEXT + 3 && shown.text.ends_with("..."), "{}", shown.text.len());
    let tables: Vec<_> = (0..100).map(|table| format!("table_{table}")).collect();
    let summary = read("postgresql", &format!("SELECT 1 FROM {}", tables.join(", "))).summary.unwrap();
    assert!(summary.len() <= MAX_SUMMARY && summary.len() > 240, "{summary}");
    assert!(summary.rsplit(' ').next().unwrap().starts_with("table_"), "{summary}");
    let deep = "(".repeat(MAX_INPUT * 2);
    assert!(read("postgresql", &deep).text.len() <= MAX_TEXT + 3);
    let beyond = format!("SELECT {}'secret'", " ".repeat(MAX_INPUT));
    assert_eq!(read("postgresql", &beyond).text, "SELECT...");
}

/// A pseudo-random sequence, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one_of<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const SYSTEMS: [&str; 7] =
    ["postgresql", "mysql", "sqlite", "oracle.db", "microsoft.sql_server", "clickhouse", "other_sql"];

/// A literal of this system with the secret inside, between characters that try to end it too early.
fn literal(dice: &mut Dice, system: &str) -> String {
    let noise = ["", "''", " ", "-- ", "/*", "*/", "$$", "\"\"", ";", "\\\\", "`", "x", "\n", "(", "FROM "];
    let inside = format!("{}secret{}", dice.one_of(&noise), dice.one_of(&noise));
    match (system, dice.below(6)) {
        ("postgresql", 0) => format!("$q${inside}$q$"),
        ("postgresql", 1) => format!("E'{inside}\\'secret'"),
        ("mysql", 0) => format!("\"{}\"", inside.replace('"', "\"\"")),
        ("mysql", 1) => format!("'{inside}\\'secret'"),
        ("sqlite", 0) => format!("\"{}\"", inside.replace('"', "\"\"")),
        ("oracle.db", 0) => format!("q'[{}]'", inside.replace("''", "'")),
        (_, 2) => format!("N'{inside}'"),
        (_, 3) => "5ecret5".to_owned(),
        _ => format!("'{inside}'"),
    }
}

#[test]
fn no_literal_survives() {
    let mut dice = Dice(7);
    let pieces = [
        "SELECT",
        "FROM",
        "t",
        "WHERE",
        "a",
        "=",
        "<",
        ",",
        "(",
        ")",
        "IN (",
        "AND",
        "INSERT INTO",
        "VALUES (",
        ".",
        "::int",
        "$1",
        "?",
        ":p",
        "-- why\n",
        "/* why */",
        "JOIN",
        "UPDATE",
        "SET",
        "5",
        "x'1f'",
        "LIMIT",
        "||",
        "TRIM(",
        ";",
        "->>",
    ];
    for round in 0..30_000 {
        let system = SYSTEMS[round % SYSTEMS.len()];
        let mut sql = String::new();
        for _ in 0..dice.below(14) {
            if dice.below(3) == 0 {
                // after an operator or a parenthesis, where a string can stand
                sql.push_str(dice.one_of(&["= ", "(", ", ", "|| "]));
                sql.push_str(&literal(&mut dice, system));
            } else {
                sql.push_str(dice.one_of(&pieces));
            }
            sql.push(' ');
        }
        let shown = read(system, &sql);
        let all = format!("{} {}", shown.text, shown.summary.unwrap_or_default());
        assert!(!all.contains("secret") && !all.contains("5ecret"), "{system}: {sql}\n{all}");
    }
}

#[test]
fn any_text_is_read_to_its_end() {
    let mut dice = Dice(11);
    let pieces = [
        "'", "\"", "`", "[", "]", "$", "$a$", "\\", "--", "/*", "*/", "#", "q'", "E'", "U&'", "é", "日",
        "\u{0}", "\n", " ", "1", ".", "e+", ":", "?", "(", ")", ",", ";", "FROM", "SELECT", "IN", "a", "0x",
    ];
    for round in 0..30_000 {
        let system = SYSTEMS[round % SYSTEMS.len()];
        let sql: String = (0..dice.below(30)).map(|_| dice.one_of(&pieces)).collect();
        let shown = read(system, &sql);
        assert!(shown.text.len() <= MAX_TEXT + 3, "{sql}");
        assert!(shown.summary.is_none_or(|summary| summary.len() <= MAX_SUMMARY), "{sql}");
    }
}
