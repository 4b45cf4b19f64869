//! Behaviour of the configuration, row by row.

mod explanation;
mod kinds;
mod otlp;
mod secrets;
mod settings;
mod table;

use std::{
    collections::HashSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn resolve(pairs: Pairs<'_>) -> (Config, Vec<String>) {
    let (config, mistakes) = Config::resolve(&Source::from_pairs(pairs.iter().copied()));
    (config, mistakes.iter().map(Mistake::to_string).collect())
}

/// The configuration of variables that hold no mistake.
#[track_caller]
fn accepted(pairs: Pairs<'_>) -> Config {
    let (config, mistakes) = resolve(pairs);
    assert!(mistakes.is_empty(), "{pairs:?}: {mistakes:?}");
    config
}

/// The configuration of variables with exactly this mistake.
#[track_caller]
fn mistaken(pairs: Pairs<'_>, line: &str) -> Config {
    let (config, mistakes) = resolve(pairs);
    assert_eq!(mistakes, [line], "{pairs:?}");
    config
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn shown(config: &Config) -> String {
    format!("{config:?}")
}

/// A file of its own that is gone at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn holding(content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracewell-{}.pem", uuid::Uuid::new_v4()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
