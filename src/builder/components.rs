//! Components that the program registers by name, for a configuration file to ask for (specification, configuration/sdk.md
//! "Register PluginComponentProvider").

use std::{collections::HashMap, fmt::Display, time::Duration};

use opentelemetry_sdk::{
    logs::{BatchConfigBuilder as LogBatch, BatchLogProcessor, LogExporter, LogProcessor},
    metrics::{PeriodicReader, exporter::PushMetricExporter},
    trace::{BatchConfigBuilder as SpanBatch, BatchSpanProcessor, SpanExporter, SpanProcessor},
};
use serde_json::Value;

use crate::{
    builder::Builder,
    config::{Batch, Component, ComponentKind, Mistake},
    otel::RegisterComponents,
    pipeline::Additions,
};

/// Puts a component into what is added to the pipeline.
type Provider = Box<dyn Fn(&Component, &mut Additions) -> Result<(), String>>;

/// What was registered.
#[derive(Default)]
pub(crate) struct Components {
    providers: HashMap<(ComponentKind, String), Provider>,
    /// What was registered twice.
    pub(crate) problems: Vec<String>,
}

/// The SDK's processor wakes up for each delay.
const SHORTEST: Duration = Duration::from_millis(10);

impl Components {
    fn register(&mut self, kind: ComponentKind, name: String, provider: Provider) {
        let known = self.providers.contains_key(&(kind, name.clone()));
        if known {
            self.problems.push(format!("{kind} {name:?} is registered twice; accepted is once"));
            return;
        }
        self.providers.insert((kind, name), provider);
    }

    /// Creates what the configuration asks for. What cannot be had is left out and reported.
    pub(crate) fn create(&self, asked: &[Component], additions: &mut Additions) -> Vec<Mistake> {
        asked.iter().filter_map(|component| self.one(component, additions).err()).collect()
    }

    fn one(&self, component: &Component, additions: &mut Additions) -> Result<(), Mistake> {
        let wrong = |problem: String| Mistake::new(component.path.clone(), "", problem, "").without_value();
        let Some(provider) = self.providers.get(&(component.kind, component.name.clone())) else {
            let known = self.providers.keys().filter(|(kind, _)| *kind == component.kind);
            let mut known: Vec<&str> = known.map(|(_, name)| name.as_str()).collect();
            known.sort_unstable();
            let registered = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let kind = component.kind;
            let what =
                format!("no such {kind}; accepted are built-in ones and registered ones ({registered})");
            return Err(wrong(what));
        };
        provider(component, additions).map_err(wrong)
    }
}

impl RegisterComponents for Builder {
    fn register_span_exporter<X, E>(
        mut self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<X, E> + 'static,
    ) -> Self
    where
        X: SpanExporter + 'static,
        E: Display,
    {
        let provider: Provider = Box::new(move |component, additions| {
            let exporter = create(&component.properties).map_err(|error| error.to_string())?;
            let mut config = SpanBatch::default();
            if let Some(batch) = component.batch {
                config = config
                    .with_max_queue_size(batch.max_queue_size)
                    .with_max_export_batch_size(batch.max_export_batch_size)
                    .with_scheduled_delay(delay(&batch));
            }
            let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config.build()).build();
            additions.span_processors.push(Box::new(processor));
            Ok(())
        });
        self.components.register(ComponentKind::SpanExporter, name.into(), provider);
        self
    }

    fn register_span_processor<P, E>(
        mut self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<P, E> + 'static,
    ) -> Self
    where
        P: SpanProcessor + 'static,
        E: Display,
    {
        let provider: Provider = Box::new(move |component, additions| {
            let processor = create(&component.properties).map_err(|error| error.to_string())?;
            additions.span_processors.push(Box::new(processor));
            Ok(())
        });
        self.components.register(ComponentKind::SpanProcessor, name.into(), provider);
        self
    }

    fn register_log_exporter<X, E>(
        mut self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<X, E> + 'static,
    ) -> Self
    where
        X: LogExporter + 'static,
        E: Display,
    {
        let provider: Provider = Box::new(move |component, additions| {
            let exporter = create(&component.properties).map_err(|error| error.to_string())?;
            let mut config = LogBatch::default();
            if let Some(batch) = component.batch {
                config = config
                    .with_max_queue_size(batch.max_queue_size)
                    .with_max_export_batch_size(batch.max_export_batch_size)
                    .with_scheduled_delay(delay(&batch));
            }
            let processor = BatchLogProcessor::builder(exporter).with_batch_config(config.build()).build();
            additions.log_processors.push(Box::new(processor));
            Ok(())
        });
        self.components.register(ComponentKind::LogExporter, name.into(), provider);
        self
    }

    fn register_log_processor<P, E>(
        mut self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<P, E> + 'static,
    ) -> Self
    where
        P: LogProcessor + 'static,
        E: Display,
    {
        let provider: Provider = Box::new(move |component, additions| {
            let processor = create(&component.properties).map_err(|error| error.to_string())?;
            additions.log_processors.push(Box::new(processor));
            Ok(())
        });
        self.components.register(ComponentKind::LogProcessor, name.into(), provider);
        self
    }

    fn register_metric_exporter<X, E>(
        mut self,
        name: impl Into<String>,
        create: impl Fn(&Value) -> Result<X, E> + 'static,
    ) -> Self
    where
        X: PushMetricExporter,
        E: Display,
    {
        let provider: Provider = Box::new(move |component, additions| {
            let exporter = create(&component.properties).map_err(|error| error.to_string())?;
            let interval = component.interval.unwrap_or(Duration::from_secs(60));
            let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
            additions.readers.push(Box::new(move |builder| builder.with_reader(reader)));
            Ok(())
        });
        self.components.register(ComponentKind::MetricExporter, name.into(), provider);
        self
    }
}

fn delay(batch: &Batch) -> Duration {
    batch.schedule_delay.max(SHORTEST)
}
