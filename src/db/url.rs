//! What a connection URL says about its database, without who connects.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parts of a URL that may be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) system: Cow<'static, str>,
    pub(super) namespace: Option<String>,
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
}

impl Url {
    pub(super) fn read(url: &str) -> Self {
        let (scheme, rest) = url.split_once(':').unwrap_or(("", ""));
        let system = system(scheme);
        if system == "sqlite" {
            // a file, which is the database
            let path = rest.trim_start_matches("//").split(['?', '#']).next().unwrap_or_default();
            return Self { system, namespace: decoded(path), ..Self::default() };
        }
        let rest = without_broken_password(rest.strip_prefix("//").unwrap_or(""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // a password may have an unescaped @
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (address, port) = match host.rsplit_once(':') {
            Some((address, port)) if !port.contains(']') => (address, port.parse().ok()),
            _ => (host, None),
        };
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let socket =
            pairs.find(|(key, _)| matches!(*key, "host" | "socket")).and_then(|(_, path)| decoded(path));
        Self {
            system,
            namespace: decoded(path),
            address: socket.or_else(|| decoded(address.trim_matches(['[', ']']))),
            port,
        }
    }
}

/// What follows a password that has an unescaped `/`, `?` or `#`: clients refuse such a URL, but it is not to be shown.
fn without_broken_password(rest: &str) -> &str {
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((_, port)) = authority.split_once(':').filter(|_| !authority.contains(['@', '['])) else {
        return rest;
    };
    // a host with a port may be followed by an @ in its parameters, but by none in its path
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let suspect = if is_port { after.split('?').next().unwrap_or(after) } else { after };
    suspect.rfind('@').map_or(rest, |at| &after[at + 1..])
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}

/// `db.system.name` by the scheme, as clients write it.
fn system(scheme: &str) -> Cow<'static, str> {
    match scheme.split('+').next().unwrap_or(scheme) {
        "postgres" | "postgresql" => "postgresql".into(),
        "mysql" => "mysql".into(),
        "mariadb" => "mariadb".into(),
        "sqlite" => "sqlite".into(),
        "mssql" | "sqlserver" => "microsoft.sql_server".into(),
        "redis" | "rediss" | "valkey" => "redis".into(),
        "mongodb" => "mongodb".into(),
        "" => "other_sql".into(),
        other => other.to_lowercase().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_read(url: &str, system: &str, namespace: &str, address: &str, port: Option<u16>) {
        let read = Url::read(url);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        assert_eq!(
            (&*read.system, text(&read.namespace), text(&read.address), read.port),
            (system, namespace.to_owned(), address.to_owned(), port),
            "{url}"
        );
        assert!(!format!("{read:?}").contains("hunter2"), "{url}");
    }

    #[test]
    fn a_url_says_who_is_asked_and_not_who_asks() {
        assert_read("postgres://shop:hunter2@db:5433/shop?sslmode=x", "postgresql", "shop", "db", Some(5433));
        assert_read("postgres://shop:hunter2@p@[::1]:1/a%20b", "postgresql", "a b", "::1", Some(1));
        assert_read("postgresql:///shop?host=/run/postgresql", "postgresql", "shop", "/run/postgresql", None);
        assert_read("postgres://shop@%2Frun%2Fpg:5432", "postgresql", "", "/run/pg", Some(5432));
        assert_read("mysql://hunter2@db", "mysql", "", "db", None);
        assert_read("sqlite:///data/shop.db?mode=ro", "sqlite", "/data/shop.db", "", None);
        assert_read("sqlite::memory:", "sqlite", ":memory:", "", None);
        assert_read("mongodb+srv://a:hunter2@m.net/x", "mongodb", "x", "m.net", None);
        assert_read("hunter2", "other_sql", "", "", None);
        for password in ["hunter2/x", "x/hunter2", "x?hunter2", "x#hunter2", "1/hunter2"] {
            assert_read(
                &format!("postgres://shop:{password}@db:5433/a"),
                "postgresql",
                "a",
                "db",
                Some(5433),
            );
        }
        assert_read("postgres://db:5433/a?application_name=b@c", "postgresql", "a", "db", Some(5433));
    }
}
