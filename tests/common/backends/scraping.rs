//! A Prometheus that scrapes: pages in every translation and escaping, and the example shop's own.

use std::{fs, time::Duration};

use tracewell::{
    Telemetry,
    config::{PrometheusPage, Translation},
    otel::api::{
        Context, KeyValue,
        metrics::MeterProvider as _,
        trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
    },
};

use super::{ANSWER_TIMEOUT, Backends, Dir, Http, Mutex, Ports, Process, STARTS, programs, wait_until};
use crate::common::storefront::Storefront;

/// One target of its own job.
struct Job {
    name: &'static str,
    target: String,
    /// A further line of the job.
    also: &'static str,
}

impl Backends {
    /// Starts Prometheus alone, with these jobs instead of the file's (none).
    fn scraping(jobs: &[Job]) -> Result<Self, String> {
        let mut tries = 1;
        loop {
            let binaries = programs::Binaries::find()?;
            let dir = Dir::new().map_err(|error| format!("no folder for Prometheus: {error}"))?;
            let file = dir.path().join("scraping.yaml");
            let mut text =
                "global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n".to_owned();
            for Job { name, target, also } in jobs {
                text.push_str(&format!(
                    "  - job_name: {name}\n    static_configs: [{{ targets: ['{target}'] }}]\n"
                ));
                text.push_str(&format!("    {also}\n"));
            }
            fs::write(&file, text).map_err(|error| error.to_string())?;
            let ports = Ports::free().map_err(|error| format!("no free ports: {error}"))?;
            let mut program = programs::prometheus(&binaries, &ports, &dir.path().join("prometheus"));
            program.args[0] = format!("--config.file={}", file.display());
            let backends = Self { http: Http::new(), ports, processes: Mutex::default(), dir };
            match backends.start_all(vec![program]) {
                Ok(()) => return Ok(backends),
                Err(_) if tries < STARTS && backends.lock().iter().any(Process::lost_a_port) => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A histogram and a counter, each measured in a sampled trace, on a page of the exporter's own port.
fn exporting(translation: Translation) -> (Telemetry, String) {
    let variables = [
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "0"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_SERVICE_NAME", "scraped"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=größer"),
    ];
    let telemetry = Telemetry::builder()
        .with_env(variables)
        .with_stdout(false)
        .with_prometheus_page(PrometheusPage::default().with_translation(translation))
        .build()
        .unwrap();
    let meter = telemetry.meter_provider().meter("shop");
    let waits = meter.f64_histogram("wait.time").with_unit("s").with_description("Waits \"in\" s.\n").build();
    let logins = meter.u64_counter("log.ins").with_unit("{login}").build();
    let trace = SpanContext::new(
        TraceId::from(TRACE),
        SpanId::from(7_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let _current = Context::new().with_remote_span_context(trace).attach();
    waits.record(0.007, &[KeyValue::new("http.route", "/a \"b\"\n")]);
    logins.add(3, &[]);
    let address = telemetry.prometheus_address().unwrap().to_string();
    (telemetry, address)
}

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

pub(crate) fn prometheus_scrapes_every_page() {
    let exporters: Vec<_> = [
        Translation::UnderscoreEscapingWithSuffixes,
        Translation::UnderscoreEscapingWithoutSuffixes,
        Translation::NoUTF8EscapingWithSuffixes,
        Translation::NoTranslation,
    ]
    .into_iter()
    .map(|translation| (translation, exporting(translation)))
    .collect();
    let mut shop = Storefront::start("scraped", &[("OTEL_METRICS_EXPORTER", "none")]);
    let mut jobs: Vec<Job> = exporters
        .iter()
        .map(|(name, (_, target))| Job { name: name.as_str(), target: target.clone(), also: "" })
        .collect();
    let untranslated = || exporters[3].1.1.clone();
    let scheme = |name, also| Job { name, target: untranslated(), also };
    jobs.push(scheme("underscores", "metric_name_escaping_scheme: underscores"));
    jobs.push(scheme("dots", "metric_name_escaping_scheme: dots"));
    jobs.push(scheme("values", "metric_name_escaping_scheme: values"));
    let admin = wait_until(ANSWER_TIMEOUT, || {
        shop.said()
            .lines()
            .find_map(|line| line.strip_prefix("admin listening on http://").map(str::to_owned))
    });
    let admin = admin.unwrap_or_else(|| panic!("{}", shop.said()));
    jobs.push(Job { name: "storefront", target: admin, also: "" });
    let prometheus = Backends::scraping(&jobs).unwrap_or_else(|error| panic!("{error}"));

    // 1 only when the whole page could be read
    let up = prometheus.wait_prometheus_query("up == 1", |found| found.len() == jobs.len());
    assert_eq!(up.len(), jobs.len());
    let trace = format!("{TRACE:032x}");
    for (job, histogram, route) in [
        ("UnderscoreEscapingWithSuffixes", "wait_time_seconds", "http_route"),
        ("UnderscoreEscapingWithoutSuffixes", "wait_time", "http_route"),
        ("NoUTF8EscapingWithSuffixes", "wait.time_seconds", "http.route"),
        ("NoTranslation", "wait.time", "http.route"),
        ("underscores", "wait_time", "http_route"),
        ("dots", "wait_dot_time", "http_dot_route"),
        ("values", "U__wait_2e_time", "U__http_2e_route"),
    ] {
        let selector = format!("{{\"{histogram}_bucket\",job=\"{job}\"}}");
        let exemplars = prometheus.wait_prometheus_exemplars(&selector, |found| !found.is_empty());
        assert!(
            exemplars.iter().all(|found| found.trace_id == trace && found.value == 0.007),
            "{exemplars:?}"
        );
        let buckets = prometheus.prometheus_query(&selector).unwrap();
        assert!(buckets.iter().all(|bucket| bucket.labels[route] == "/a \"b\"\n"), "{buckets:?}");
    }
    let target = prometheus.prometheus_query("target_info{job=\"NoTranslation\"}").unwrap();
    assert_eq!(target[0].labels["deployment.environment.name"], "größer");
    let scoped = prometheus
        .prometheus_query("log_ins_total{job=\"UnderscoreEscapingWithSuffixes\",otel_scope_name=\"shop\"}")
        .unwrap();
    assert_eq!((scoped.len(), scoped[0].value), (1, 3.0));
    a_request_to_the_shop(&prometheus, &shop);
    let status = shop.terminate();
    assert!(status.success(), "{status}: {}", shop.said());
}

/// It is there with its trace: nobody else visits.
fn a_request_to_the_shop(prometheus: &Backends, shop: &Storefront) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        client.get(format!("{}/products/3", shop.shop)).send().await.unwrap().status()
    });
    assert_eq!(answer, 200);
    let selector =
        "http_server_request_duration_seconds_bucket{job=\"storefront\",http_route=\"/products/{id}\"}";
    let exemplars = prometheus.wait_prometheus_exemplars(selector, |found| !found.is_empty());
    assert!(exemplars.iter().all(|found| found.trace_id.len() == 32), "{exemplars:?}");
}
