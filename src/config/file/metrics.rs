//! Readers, their exporters, and views.

use std::time::Duration;

use super::{
    create::{Create, patterns},
    exporters::{Chosen, component, limit},
    node::{At, number},
};
use crate::config::{
    Aggregation, CardinalityLimits, Component, ComponentKind, ExemplarFilter, Exporter, HistogramAggregation,
    InstrumentType, MetricOutput, MetricsConfig, PrometheusPage, Signal, Temporality, Translation,
    ViewConfig, values::Word as _, vars::parse,
};

/// The kinds of instruments in the schema's words, in the order of [`InstrumentType::ALL`].
const TYPES: [&str; 7] = [
    "counter",
    "gauge",
    "histogram",
    "observable_counter",
    "observable_gauge",
    "observable_up_down_counter",
    "up_down_counter",
];

/// The specification's (metrics/sdk.md "Explicit Bucket Histogram Aggregation").
const DEFAULT_BOUNDARIES: [f64; 15] =
    [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0];

impl Create<'_> {
    pub(super) fn metrics(&mut self, at: Option<At<'_>>, config: &mut MetricsConfig) {
        config.exporters.clear();
        let Some(at) = at else { return self.absent("OTEL_METRICS_EXPORTER", "meter_provider") };
        let filter = at.text("exemplar_filter").and_then(ExemplarFilter::from_word);
        config.exemplar_filter = filter.unwrap_or(ExemplarFilter::TraceBased);
        self.place("OTEL_METRICS_EXEMPLAR_FILTER", &at, "exemplar_filter");
        let mut first = true;
        for reader in at.get("readers").iter().flat_map(At::items) {
            let Some((name, reader)) = reader.choice() else { continue };
            self.cardinality(&reader, config);
            match name {
                "periodic" => self.periodic(&reader, config, &mut first),
                _ => self.pull(&reader, config),
            }
        }
        if config.exporters.is_empty() {
            self.places.insert("OTEL_METRICS_EXPORTER".to_owned(), at.path.key("readers").to_string());
        }
        config.views = at.get("views").iter().flat_map(At::items).map(|view| self.view(&view)).collect();
    }

    fn periodic(&mut self, at: &At<'_>, config: &mut MetricsConfig, first: &mut bool) {
        let Some(exporter) = at.get("exporter") else { return };
        let millis = |key: &str| at.count(key).map(|millis| Duration::from_millis(millis.into()));
        // the schema allows 0; without a pause there would be nothing but exports
        let interval =
            millis("interval").map_or(config.interval, |interval| interval.max(Duration::from_millis(1)));
        let timeout = limit(millis("timeout"), config.timeout);
        let chosen = match self.exporter(&exporter, Signal::Metrics, &config.otlp) {
            Some(chosen) => chosen,
            None => return,
        };
        let (kind, otlp) = match chosen {
            Chosen::Ours(kind, otlp) => (kind, *otlp),
            Chosen::Registered(name, at) => {
                let component = component(ComponentKind::MetricExporter, name, &at);
                self.components.push(Component { interval: Some(interval), ..component });
                return;
            }
        };
        let Some((_, settings)) = exporter.choice() else { return };
        let temporality = match settings.text("temporality_preference") {
            Some("delta") => Temporality::Delta,
            Some("low_memory") => Temporality::LowMemory,
            _ => Temporality::Cumulative,
        };
        let histogram =
            settings.text("default_histogram_aggregation").and_then(HistogramAggregation::from_word);
        let histogram = histogram.unwrap_or(HistogramAggregation::ExplicitBucket);
        if *first {
            *first = false;
            config.exporters.insert(0, kind);
            (config.interval, config.timeout, config.otlp) = (interval, timeout, otlp);
            (config.temporality, config.histogram) = (temporality, histogram);
            self.place("OTEL_METRIC_EXPORT_INTERVAL", at, "interval");
            self.place("OTEL_METRIC_EXPORT_TIMEOUT", at, "timeout");
            self.first(Signal::Metrics, kind, &exporter);
            let prefix = "OTEL_EXPORTER_OTLP_METRICS";
            self.place(&format!("{prefix}_TEMPORALITY_PREFERENCE"), &settings, "temporality_preference");
            let key = "default_histogram_aggregation";
            self.place(&format!("{prefix}_DEFAULT_HISTOGRAM_AGGREGATION"), &settings, key);
            return;
        }
        if histogram != config.histogram {
            let used = config.histogram.as_str();
            match settings.get("default_histogram_aggregation") {
                Some(at) => {
                    let problem = "accepted is one for all readers: the first one's";
                    self.report.wrong(&at.path, at.node, problem, used);
                }
                None => {
                    let what = format!("its histograms are as the first reader's: {used}");
                    self.report.notice(&settings.path, settings.node, &what);
                }
            }
        }
        config.more.push(MetricOutput { exporters: vec![kind], interval, timeout, temporality, otlp });
    }

    fn pull(&mut self, at: &At<'_>, config: &mut MetricsConfig) {
        let Some((name, prometheus)) = at.get("exporter").as_ref().and_then(At::choice) else { return };
        if name != "prometheus/development" {
            return self.not_ours(ComponentKind::PullExporter, &prometheus, "prometheus/development");
        }
        if config.exporters.contains(&Exporter::Prometheus) {
            let problem = "accepted is one prometheus exporter";
            return self.report.wrong(&prometheus.path, prometheus.node, problem, "the first one");
        }
        config.exporters.push(Exporter::Prometheus);
        if config.exporters.len() == 1 {
            self.places.insert("OTEL_METRICS_EXPORTER".to_owned(), prometheus.path.to_string());
        }
        config.prometheus = ("localhost".to_owned(), 9464);
        if let (Some(text), Some(host)) = (prometheus.text("host"), prometheus.get("host")) {
            match parse::host(text) {
                Ok(host) => config.prometheus.0 = host,
                Err(_) => {
                    self.report.wrong(
                        &host.path,
                        host.node,
                        "accepted is a host name or an IP address",
                        "localhost",
                    );
                }
            }
        }
        if let Some(port) = prometheus.count("port").and_then(|port| u16::try_from(port).ok()) {
            config.prometheus.1 = port;
        }
        config.page = page(&prometheus);
        self.place("OTEL_EXPORTER_PROMETHEUS_HOST", &prometheus, "host");
        self.place("OTEL_EXPORTER_PROMETHEUS_PORT", &prometheus, "port");
    }

    /// One set of limits for all readers: they share what is aggregated.
    fn cardinality(&mut self, at: &At<'_>, config: &mut MetricsConfig) {
        let Some(at) = at.get("cardinality_limits") else { return };
        let limits =
            CardinalityLimits { default: at.count("default"), by_type: TYPES.map(|kind| at.count(kind)) };
        if config.cardinality == CardinalityLimits::default() {
            config.cardinality = limits;
        } else if config.cardinality != limits {
            self.report.wrong(
                &at.path,
                at.node,
                "accepted is one set for all readers: the first one's",
                "that",
            );
        }
    }

    fn view(&mut self, at: &At<'_>) -> ViewConfig {
        let mut view = ViewConfig::default();
        if let Some(selector) = at.get("selector") {
            let text = |key: &str| selector.text(key).map(str::to_owned);
            view.instrument = text("instrument_name");
            view.kind = selector.text("instrument_type").and_then(instrument_type);
            view.unit = text("unit");
            view.meter = text("meter_name");
            view.meter_version = text("meter_version");
            view.meter_schema_url = text("meter_schema_url");
        }
        if let Some(stream) = at.get("stream") {
            let text = |key: &str| stream.text(key).map(str::to_owned);
            view.name = text("name");
            view.description = text("description");
            view.cardinality_limit = stream.count("aggregation_cardinality_limit");
            view.attribute_keys = stream.get("attribute_keys").map(|at| patterns(&at));
            view.aggregation = stream.get("aggregation").and_then(|at| self.aggregation(&at));
            // two metrics of one name are none
            let single = view.instrument.as_ref().is_some_and(|name| !name.contains(['*', '?']));
            if let Some(name) = stream.get("name").filter(|_| view.name.is_some() && !single) {
                let problem = "accepted is a name only with an instrument_name without * and ?";
                self.report.wrong(&name.path, name.node, problem, "the instruments' own");
                view.name = None;
            }
        }
        view
    }

    fn aggregation(&mut self, at: &At<'_>) -> Option<Aggregation> {
        let (name, at) = at.choice()?;
        let record_min_max = at.bool("record_min_max").unwrap_or(true);
        Some(match name {
            "drop" => Aggregation::Drop,
            "last_value" => Aggregation::LastValue,
            "sum" => Aggregation::Sum,
            "explicit_bucket_histogram" => {
                let boundaries = at.get("boundaries").map(|list| {
                    let bounds: Vec<f64> = list.items().filter_map(|at| number(&at.node.value)).collect();
                    (list, bounds)
                });
                let usable = boundaries.and_then(|(list, bounds)| {
                    let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]);
                    if !ascending {
                        self.report.wrong(
                            &list.path,
                            list.node,
                            "accepted are numbers in ascending order",
                            "the default",
                        );
                    }
                    ascending.then_some(bounds)
                });
                let boundaries = usable.unwrap_or_else(|| DEFAULT_BOUNDARIES.to_vec());
                Aggregation::ExplicitBuckets { boundaries, record_min_max }
            }
            "base2_exponential_bucket_histogram" => Aggregation::ExponentialBuckets {
                max_scale: scale(&at),
                max_size: at.count("max_size").unwrap_or(160),
                record_min_max,
            },
            _ => return None,
        })
    }
}

/// How `/metrics` looks. Format 1.0 says two of these the other way round.
fn page(at: &At<'_>) -> PrometheusPage {
    let shown = |key: &str, without: &str| at.bool(key).or(at.bool(without).map(|without| !without));
    PrometheusPage {
        translation: match at.text("translation_strategy") {
            Some("underscore_escaping_without_suffixes/development") => {
                Translation::UnderscoreEscapingWithoutSuffixes
            }
            Some("no_utf8_escaping_with_suffixes/development") => Translation::NoUTF8EscapingWithSuffixes,
            Some("no_translation/development") => Translation::NoTranslation,
            _ => Translation::UnderscoreEscapingWithSuffixes,
        },
        scope_labels: shown("scope_info_enabled", "without_scope_info").unwrap_or(true),
        target_info: shown("target_info_enabled/development", "without_target_info/development")
            .unwrap_or(true),
    }
}

fn scale(at: &At<'_>) -> i8 {
    let given = at.get("max_scale").and_then(|at| number(&at.node.value));
    // the schema has seen to it that it is between -10 and 20
    given.map_or(20, |scale| scale as i8)
}

fn instrument_type(word: &str) -> Option<InstrumentType> {
    let at = TYPES.iter().position(|known| *known == word)?;
    InstrumentType::ALL.get(at).copied()
}
