//! Which events go where, beside the one filter that all of them have in common.

use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;

use super::outlets::Ways;
use crate::config::{self, LogsConfig};

/// Filters beside that of `RUST_LOG`.
#[derive(Debug, Default, PartialEq)]
pub(in crate::pipeline) struct Rules {
    /// Of each sink; `None` = as `RUST_LOG`.
    sinks: Vec<Option<Targets>>,
    on_failure: Option<Targets>,
    sampled: Option<Targets>,
    /// The ways out of what `RUST_LOG` takes.
    common: Option<Ways>,
}

impl Rules {
    /// Those of the configuration, for sinks in the order stdout, stderr, files; without stdout and stderr if `silent`.
    ///
    /// # Errors
    /// The sentence that says which filter cannot be read.
    pub(in crate::pipeline) fn new(config: &LogsConfig, silent: bool) -> Result<Self, String> {
        let filter = |text: &Option<String>| text.as_deref().map(config::levels).transpose();
        let mut sinks = Vec::new();
        if !silent {
            sinks.push(filter(&config.stdout)?);
            if config.stderr.is_some() {
                sinks.push(filter(&config.stderr)?);
            }
        }
        for file in &config.files {
            sinks.push(filter(&file.filter)?);
        }
        let (on_failure, sampled) = (filter(&config.on_failure.filter)?, filter(&config.sampled)?);
        let follows = sinks.iter().enumerate().filter(|(_, rule)| rule.is_none());
        let common = follows.fold(Ways::RECORDS, |ways, (index, _)| ways.and(Ways::sink(index)));
        Ok(Self { sinks, on_failure, sampled, common: Some(common) })
    }

    /// Whether every event that `RUST_LOG` takes goes every way, and no other event any.
    pub(in crate::pipeline) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    fn all(&self) -> impl Iterator<Item = &Targets> {
        self.sinks.iter().flatten().chain(&self.on_failure).chain(&self.sampled)
    }

    /// Whether any of them may want the event.
    pub(in crate::pipeline) fn want(&self, metadata: &Metadata<'_>) -> bool {
        self.all().any(|rule| takes(rule, metadata))
    }

    pub(in crate::pipeline) fn max_level(&self) -> LevelFilter {
        let level = |rule: &Targets| {
            let levels = rule.iter().map(|(_, level)| level).chain(rule.default_level());
            levels.max().unwrap_or(LevelFilter::OFF)
        };
        self.all().map(level).max().unwrap_or(LevelFilter::OFF)
    }

    /// Whether it is wanted inside of a sampled trace.
    pub(super) fn want_sampled(&self, metadata: &Metadata<'_>) -> bool {
        self.sampled.as_ref().is_some_and(|rule| takes(rule, metadata))
    }

    /// Whether it is kept back in case its request or task fails.
    pub(super) fn want_on_failure(&self, metadata: &Metadata<'_>) -> bool {
        self.on_failure.as_ref().is_some_and(|rule| takes(rule, metadata))
    }

    /// Whether anything is kept back at all.
    pub(super) fn hold(&self) -> bool {
        self.on_failure.is_some()
    }

    /// The ways out of what `RUST_LOG` takes.
    pub(super) fn common(&self) -> Ways {
        self.common.unwrap_or(Ways::ALL)
    }

    /// The sinks whose own filter takes the event.
    pub(super) fn own(&self, metadata: &Metadata<'_>) -> Ways {
        let rules = self.sinks.iter().enumerate();
        let take = rules.filter(|(_, rule)| rule.as_ref().is_some_and(|rule| takes(rule, metadata)));
        take.fold(Ways::NONE, |ways, (index, _)| ways.and(Ways::sink(index)))
    }
}

fn takes(rule: &Targets, metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && rule.would_enable(metadata.target(), metadata.level())
}
