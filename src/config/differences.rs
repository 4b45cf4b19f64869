//! In what two configurations differ.

use super::{Config, explain::value, file::CONFIG_FILE, variables};

/// The settings in which two configurations differ. `OTEL_CONFIG_FILE` stands for what no variable names.
pub(crate) fn differences(one: &Config, other: &Config) -> Vec<&'static str> {
    let differing = variables().filter(|variable| value(one, variable) != value(other, variable));
    let mut names: Vec<&'static str> = differing.map(|variable| variable.name).collect();
    if unnamed(one) != unnamed(other) && !names.contains(&CONFIG_FILE) {
        names.push(CONFIG_FILE);
    }
    names
}

/// What only a file can say, in a form that can be compared. It holds secrets.
fn unnamed(config: &Config) -> String {
    let (traces, metrics, logs) = (&config.traces, &config.metrics, &config.logs);
    let first = [&traces.otlp, &metrics.otlp, &logs.otlp];
    let more = traces.more.iter().chain(&logs.more).map(|output| &output.otlp);
    let more = more.chain(metrics.more.iter().map(|output| &output.otlp));
    let headers: Vec<_> = first
        .into_iter()
        .chain(more)
        .map(|otlp| {
            otlp.headers.iter().map(|(name, value)| (name.clone(), value.as_bytes().to_vec())).collect()
        })
        .collect::<Vec<Vec<_>>>();
    let components = config.components.iter().map(|component| (component, &component.properties));
    let resource = (&config.resource.schema_url, &config.resource.detected);
    format!(
        "{headers:?} {:?} {:?} {:?} {:?} {:?} {resource:?} {:?}",
        traces.more,
        metrics.more,
        logs.more,
        metrics.views,
        metrics.cardinality,
        components.collect::<Vec<_>>(),
    )
}
