//! Every variable: the table of what there is, and the reading of it all into a [`Config`].

mod misspelt;
mod otlp;
pub(super) mod parse;
mod reader;
mod table;

use self::{
    otlp::otlp,
    reader::{Reader, partly},
    table::{
        ACCESS_LOG, ADMIN_ADDR, ADMIN_ALLOW, ADMIN_CANCEL, ADMIN_TOKEN, ATTRIBUTE_COUNT_LIMIT,
        ATTRIBUTE_VALUE_LENGTH_LIMIT, BAGGAGE_ATTRIBUTES, BLRP_EXPORT_TIMEOUT, BLRP_MAX_EXPORT_BATCH_SIZE,
        BLRP_MAX_QUEUE_SIZE, BLRP_SCHEDULE_DELAY, BSP_EXPORT_TIMEOUT, BSP_MAX_EXPORT_BATCH_SIZE,
        BSP_MAX_QUEUE_SIZE, BSP_SCHEDULE_DELAY, CHECKS_DISABLED, CONFIG_FILE, CONSOLE, CONSOLE_LINKS,
        CONSOLE_MAX_AGE, CONSOLE_MAX_BYTES, DRAIN, EVENT_ATTRIBUTE_COUNT_LIMIT, EXCEPTION_SIGNAL,
        HTTP_KNOWN_METHODS, HTTP_REQUEST_HEADERS, HTTP_RESPONSE_HEADERS, LEAN_SPANS,
        LINK_ATTRIBUTE_COUNT_LIMIT, LIVENESS_STALL, LOG_CODE, LOG_FILE, LOG_FILE_BACKUPS, LOG_FILE_FILTER,
        LOG_FILE_FORMAT, LOG_FILE_MAX_BYTES, LOG_FILE_ROTATION, LOG_FORMAT, LOG_LEVEL, LOG_ON_FAILURE,
        LOG_ON_FAILURE_BYTES, LOG_ON_FAILURE_TOTAL_BYTES, LOG_RATE, LOG_REPEATS, LOG_SAMPLED,
        LOG_SPAN_FIELDS, LOG_STDERR, LOG_STDOUT, LOGRECORD_ATTRIBUTE_COUNT_LIMIT,
        LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT, LOGS_DROP, LOGS_EXPORTER, METRIC_ATTRIBUTES,
        METRIC_EXPORT_INTERVAL, METRIC_EXPORT_TIMEOUT, METRICS_EXEMPLAR_FILTER, METRICS_EXPORTER,
        METRICS_HISTOGRAM, METRICS_TEMPORALITY, PRESET, PRESTOP, PROMETHEUS_HOST, PROMETHEUS_PORT,
        PROPAGATORS, PROXY_HEADERS, PUBLIC_ENDPOINT, REDACT_EXCEPT, REDACT_NAMES, RELOAD, RELOAD_SIGHUP,
        REQUEST_LOG_LINES, RESOURCE_ATTRIBUTES, RESOURCE_DETECTORS, RUST_LOG, SAMPLING_REMOTE_PARENT,
        SAMPLING_RULES, SDK_DISABLED, SERVICE_NAME, SHUTDOWN, SPAN_ATTRIBUTE_COUNT_LIMIT,
        SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT, SPAN_EVENT_COUNT_LIMIT, SPAN_LINK_COUNT_LIMIT, STRICT, STUCK,
        STUCK_TASKS, TRACES_DROP, TRACES_EXPORTER, TRACES_SAMPLER, TRACES_SAMPLER_ARG, TRUSTED_PROXIES,
        UNSUPPORTED,
    },
};
use super::{
    AdminConfig, Batch, CardinalityLimits, Config, ConsoleConfig, HttpConfig, LogFile, LogLimits, LogsConfig,
    MetricsConfig, Mistake, OnFailure, PrometheusPage, RedactionConfig, ReloadConfig, RequestsConfig,
    ResourceConfig, Sampler, ShutdownConfig, Signal, Source, SpanLimits, TracesConfig, file,
};

pub(crate) use self::misspelt::misspelt_level;
pub(super) use self::reader::Bad;
pub use self::table::{Variable, table};

/// Name of the resource attribute that `OTEL_SERVICE_NAME` wins over.
const SERVICE_NAME_ATTRIBUTE: &str = "service.name";

/// Reads the configuration file if one is named, else every variable.
pub(super) fn resolve(source: &Source) -> (Config, Vec<Mistake>) {
    let chosen = file::chosen(source);
    let misspelt = misspelt::variables(source, chosen.is_some());
    let (config, mut mistakes) = match chosen {
        Some((variable, path)) => file::resolve(source, variable, &path),
        None => resolve_variables(source),
    };
    mistakes.extend(misspelt);
    (config, mistakes)
}

/// Reads every variable.
pub(super) fn resolve_variables(source: &Source) -> (Config, Vec<Mistake>) {
    let mut reader = Reader::new(source);
    let r = &mut reader;
    r.preset = r.get(&PRESET, parse::word);
    // nothing to choose: exceptions are log records
    r.get(&EXCEPTION_SIGNAL, parse::exception_signal);
    let config = Config {
        disabled: r.get(&SDK_DISABLED, parse::boolean),
        strict: r.get(&STRICT, parse::boolean),
        log_level: r.get(&LOG_LEVEL, parse::word),
        preset: r.preset,
        attribute_limits: (
            r.get(&ATTRIBUTE_COUNT_LIMIT, parse::count),
            r.read(&ATTRIBUTE_VALUE_LENGTH_LIMIT, "no limit", parse::count),
        ),
        resource: resource(r),
        propagators: r.get(&PROPAGATORS, parse::propagators),
        traces: traces(r),
        metrics: metrics(r),
        logs: logs(r),
        admin: admin(r),
        shutdown: ShutdownConfig {
            flush: r.get(&SHUTDOWN, parse::millis),
            drain: r.get(&DRAIN, parse::millis),
            prestop: r.get(&PRESTOP, parse::millis),
        },
        http: HttpConfig {
            known_methods: r.get(&HTTP_KNOWN_METHODS, parse::methods),
            trusted_proxies: r.optional(&TRUSTED_PROXIES, parse::ranges).unwrap_or_default(),
            proxy_headers: r.get(&PROXY_HEADERS, parse::word),
            public_endpoint: r.get(&PUBLIC_ENDPOINT, parse::boolean),
            baggage_attributes: r.optional(&BAGGAGE_ATTRIBUTES, parse::tokens).unwrap_or_default(),
            request_headers: r.optional(&HTTP_REQUEST_HEADERS, parse::header_names).unwrap_or_default(),
            response_headers: r.optional(&HTTP_RESPONSE_HEADERS, parse::header_names).unwrap_or_default(),
        },
        requests: RequestsConfig {
            stuck: r.get(&STUCK, parse::timeout),
            stuck_tasks: r.get(&STUCK_TASKS, parse::timeout),
            log_lines: r.get(&REQUEST_LOG_LINES, parse::log_lines),
            metric_attributes: r.optional(&METRIC_ATTRIBUTES, parse::attribute_names).unwrap_or_default(),
            lean_spans: r.get(&LEAN_SPANS, parse::boolean),
        },
        reload: ReloadConfig {
            every: r.get(&RELOAD, parse::timeout),
            sighup: r.get(&RELOAD_SIGHUP, parse::boolean),
        },
        redaction: RedactionConfig {
            names: r.optional(&REDACT_NAMES, parse::names).unwrap_or_default(),
            except: r.optional(&REDACT_EXCEPT, parse::names).unwrap_or_default(),
        },
        components: Vec::new(),
        file: None,
    };
    r.optional(&CONFIG_FILE, parse::text);
    for (name, why) in UNSUPPORTED {
        if let Some(value) = source.get(name) {
            r.add(Mistake::new(*name, &value, *why, ""));
        }
    }
    (config, reader.into_mistakes())
}

fn resource(r: &mut Reader<'_>) -> ResourceConfig {
    let mut attributes = r.optional(&RESOURCE_ATTRIBUTES, parse::attributes).unwrap_or_default();
    let place = attributes.iter().position(|(key, _)| key == SERVICE_NAME_ATTRIBUTE);
    let name = place.map(|place| attributes.remove(place).1).filter(|name| !name.trim().is_empty());
    ResourceConfig {
        service_name: r.optional(&SERVICE_NAME, parse::text).or(name),
        attributes,
        detectors: r.get(&RESOURCE_DETECTORS, parse::detectors),
        ..ResourceConfig::default()
    }
}

fn traces(r: &mut Reader<'_>) -> TracesConfig {
    TracesConfig {
        exporters: r.get(&TRACES_EXPORTER, |text| parse::exporters(text, Signal::Traces)),
        sampler: sampler(r),
        sampling_rules: r.optional(&SAMPLING_RULES, parse::sampling_rules).unwrap_or_default(),
        remote_parent: r.get(&SAMPLING_REMOTE_PARENT, parse::word),
        batch: batch(
            r,
            [&BSP_SCHEDULE_DELAY, &BSP_EXPORT_TIMEOUT, &BSP_MAX_QUEUE_SIZE, &BSP_MAX_EXPORT_BATCH_SIZE],
            &TRACES_DROP,
        ),
        limits: limits(r),
        otlp: otlp(r, Signal::Traces),
        more: Vec::new(),
    }
}

fn sampler(r: &mut Reader<'_>) -> Sampler {
    match r.get(&TRACES_SAMPLER, parse::sampler) {
        Sampler::TraceIdRatio(_) => Sampler::TraceIdRatio(r.get(&TRACES_SAMPLER_ARG, parse::ratio)),
        Sampler::ParentBased(root) if matches!(*root, Sampler::TraceIdRatio(_)) => {
            Sampler::parent_based(Sampler::TraceIdRatio(r.get(&TRACES_SAMPLER_ARG, parse::ratio)))
        }
        chosen => {
            unused_argument(r, &chosen);
            chosen
        }
    }
}

/// Reports an argument that the chosen sampler does not take, unless a mistake in the sampler explains it.
fn unused_argument(r: &mut Reader<'_>, chosen: &Sampler) {
    let Some(value) = r.source.get(TRACES_SAMPLER_ARG.name) else { return };
    let (valid, used) = (parse::ratio(&value).is_ok(), chosen.to_string());
    match r.source.get(TRACES_SAMPLER.name) {
        // who sets a share alone believes it is applied
        None if valid => {
            let why =
                format!("accepted is a share only with a traceidratio sampler in {}", TRACES_SAMPLER.name);
            r.mistake(&TRACES_SAMPLER_ARG, &value, &why, &used);
        }
        None => r.mistake(&TRACES_SAMPLER_ARG, &value, "", &used),
        Some(sampler) if !valid && parse::sampler(&sampler).is_ok() => {
            r.mistake(&TRACES_SAMPLER_ARG, &value, "", &used);
        }
        Some(_) => {}
    }
}

fn batch(
    r: &mut Reader<'_>,
    [delay, timeout, queue, size]: [&'static Variable; 4],
    drop: &'static Variable,
) -> Batch {
    let (max_queue_size, max_export_batch_size) = sizes(r, queue, size);
    Batch {
        schedule_delay: r.get(delay, parse::millis),
        export_timeout: r.get(timeout, parse::timeout),
        max_queue_size,
        max_export_batch_size,
        drop: r.get(drop, parse::word),
    }
}

/// The sizes alone. A small queue below the default batch is no mistake; an explicit batch above its queue is.
fn sizes(r: &mut Reader<'_>, queue: &'static Variable, batch: &'static Variable) -> (usize, usize) {
    let queue = r.get(queue, parse::size);
    let default = parse::size(batch.default_in(r.preset)).map_or(queue, |size| size.min(queue));
    let size = r.read(batch, &default.to_string(), |text| match parse::size(text)? {
        size if size <= queue => Ok(size),
        _ => {
            let why = format!("accepted is at most the queue's size, {queue}");
            Err(partly(why, queue, queue.to_string()))
        }
    });
    (queue, size.unwrap_or(default))
}

fn limits(r: &mut Reader<'_>) -> SpanLimits {
    let general = r.get(&ATTRIBUTE_COUNT_LIMIT, parse::count);
    let used = general.to_string();
    let mut own = |var| r.read(var, &used, parse::count).unwrap_or(general);
    SpanLimits {
        attributes: own(&SPAN_ATTRIBUTE_COUNT_LIMIT),
        attributes_per_event: own(&EVENT_ATTRIBUTE_COUNT_LIMIT),
        attributes_per_link: own(&LINK_ATTRIBUTE_COUNT_LIMIT),
        events: r.get(&SPAN_EVENT_COUNT_LIMIT, parse::count),
        links: r.get(&SPAN_LINK_COUNT_LIMIT, parse::count),
        value_length: value_length(r, &SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT),
    }
}

fn log_limits(r: &mut Reader<'_>) -> LogLimits {
    let general = r.get(&ATTRIBUTE_COUNT_LIMIT, parse::count);
    let own = r.read(&LOGRECORD_ATTRIBUTE_COUNT_LIMIT, &general.to_string(), parse::count);
    LogLimits {
        attributes: own.unwrap_or(general),
        value_length: value_length(r, &LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT),
    }
}

/// A signal's own limit, else the general one.
fn value_length(r: &mut Reader<'_>, own: &'static Variable) -> Option<u32> {
    let none = || "no limit".to_owned();
    let general = r.read(&ATTRIBUTE_VALUE_LENGTH_LIMIT, &none(), parse::count);
    let used = general.map_or_else(none, |limit| limit.to_string());
    r.read(own, &used, parse::count).or(general)
}

fn metrics(r: &mut Reader<'_>) -> MetricsConfig {
    MetricsConfig {
        exporters: r.get(&METRICS_EXPORTER, |text| parse::exporters(text, Signal::Metrics)),
        interval: r.get(&METRIC_EXPORT_INTERVAL, parse::interval),
        timeout: r.get(&METRIC_EXPORT_TIMEOUT, parse::timeout),
        exemplar_filter: r.get(&METRICS_EXEMPLAR_FILTER, parse::word),
        temporality: r.get(&METRICS_TEMPORALITY, parse::word),
        histogram: r.get(&METRICS_HISTOGRAM, parse::word),
        prometheus: (r.get(&PROMETHEUS_HOST, parse::host), r.get(&PROMETHEUS_PORT, parse::port)),
        page: PrometheusPage::default(),
        otlp: otlp(r, Signal::Metrics),
        more: Vec::new(),
        views: Vec::new(),
        cardinality: CardinalityLimits::default(),
    }
}

fn logs(r: &mut Reader<'_>) -> LogsConfig {
    LogsConfig {
        exporters: r.get(&LOGS_EXPORTER, |text| parse::exporters(text, Signal::Logs)),
        batch: batch(
            r,
            [&BLRP_SCHEDULE_DELAY, &BLRP_EXPORT_TIMEOUT, &BLRP_MAX_QUEUE_SIZE, &BLRP_MAX_EXPORT_BATCH_SIZE],
            &LOGS_DROP,
        ),
        otlp: otlp(r, Signal::Logs),
        more: Vec::new(),
        limits: log_limits(r),
        filter: r.get(&RUST_LOG, parse::filter),
        format: r.optional(&LOG_FORMAT, parse::word),
        access_log: r.get(&ACCESS_LOG, parse::word),
        stdout: r.optional(&LOG_STDOUT, parse::levels),
        stderr: r.optional(&LOG_STDERR, parse::levels),
        files: log_file(r).into_iter().collect(),
        on_failure: OnFailure {
            filter: r.optional(&LOG_ON_FAILURE, parse::levels),
            bytes: r.get(&LOG_ON_FAILURE_BYTES, parse::size),
            total_bytes: r.get(&LOG_ON_FAILURE_TOTAL_BYTES, parse::size),
        },
        sampled: r.optional(&LOG_SAMPLED, parse::levels),
        span_fields: r.optional(&LOG_SPAN_FIELDS, parse::attribute_names).unwrap_or_default(),
        code: r.get(&LOG_CODE, parse::boolean),
        repeats: r.get(&LOG_REPEATS, parse::timeout),
        rate: Some(r.get(&LOG_RATE, parse::count)).filter(|rate| *rate > 0),
    }
}

fn log_file(r: &mut Reader<'_>) -> Option<LogFile> {
    // all of them are read: a mistake is one whether or not there is a file
    let file = LogFile {
        path: r.optional(&LOG_FILE, parse::text).unwrap_or_default().into(),
        filter: r.optional(&LOG_FILE_FILTER, parse::levels),
        format: r.get(&LOG_FILE_FORMAT, parse::word),
        max_bytes: r.get(&LOG_FILE_MAX_BYTES, parse::bytes),
        rotation: r.get(&LOG_FILE_ROTATION, parse::word),
        backups: r.get(&LOG_FILE_BACKUPS, parse::backups),
    };
    Some(file).filter(|file| !file.path.as_os_str().is_empty())
}

fn admin(r: &mut Reader<'_>) -> AdminConfig {
    let token = r.optional(&ADMIN_TOKEN, parse::secret);
    let mut cancel = r.get(&ADMIN_CANCEL, parse::boolean);
    if cancel && token.is_none() {
        let why = format!("accepted is true only with {}", ADMIN_TOKEN.name);
        r.mistake(&ADMIN_CANCEL, "true", &why, "false");
        cancel = false;
    }
    AdminConfig {
        addr: r.optional(&ADMIN_ADDR, parse::address),
        token,
        allow: r.optional(&ADMIN_ALLOW, parse::ranges).unwrap_or_default(),
        liveness_stall: r.get(&LIVENESS_STALL, parse::timeout),
        checks_disabled: r.optional(&CHECKS_DISABLED, parse::names).unwrap_or_default(),
        console: r.get(&CONSOLE, parse::boolean),
        console_store: ConsoleConfig {
            max_bytes: r.get(&CONSOLE_MAX_BYTES, parse::console_bytes),
            max_age: r.get(&CONSOLE_MAX_AGE, parse::console_age),
            links: r.optional(&CONSOLE_LINKS, parse::links).unwrap_or_default(),
        },
        cancel,
    }
}
