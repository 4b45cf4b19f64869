//! Every file of `collector-config/` is read by the program it is for, or by that program's own library.

use std::{collections::BTreeSet, fs, path::Path};

use crate::stack::{config, run};

/// What is started together, in its order.
const COLLECTORS: [&[&str]; 11] = [
    &["local/otelcol.yaml"],
    &["local/otelcol.yaml", "local/otelcol-self.yaml"],
    &["local/otelcol.yaml", "local/otelcol-file.yaml"],
    &["local/otelcol.yaml", "local/otelcol-file-only.yaml"],
    &["agent/otelcol.yaml"],
    &["agent/otelcol.yaml", "agent/kubernetes.yaml"],
    &["agent/otelcol.yaml", "stream/agent.yaml"],
    &["gateway/otelcol.yaml"],
    &["gateway/otelcol.yaml", "gateway/tail-sampling.yaml"],
    &["gateway/otelcol.yaml", "stream/gateway.yaml"],
    &["gateway/otelcol.yaml", "gateway/tail-sampling.yaml", "stream/gateway.yaml"],
];
/// The one component that the Collector under test lacks.
const UNVALIDATED: &str = "agent/load-balancing.yaml";

fn validate(files: &[&str]) -> Result<String, String> {
    let paths: Vec<_> = files.iter().map(|file| config(file)).collect();
    let mut args = vec!["validate"];
    for path in &paths {
        args.extend(["--config", path]);
    }
    run("otelcol", &args, &[("K8S_NODE_NAME", "node")])
}

/// Collector, Jaeger and Loki check their files themselves; none of the Collector's is left out.
pub(crate) fn collectors() {
    for files in COLLECTORS {
        validate(files).unwrap_or_else(|error| panic!("{error}"));
    }
    let listed: BTreeSet<_> = COLLECTORS.into_iter().flatten().copied().chain([UNVALIDATED]).collect();
    let found = ["local", "agent", "gateway", "stream"].into_iter().flat_map(|folder| {
        let files = fs::read_dir(config(folder)).unwrap().map(|entry| entry.unwrap().path());
        let collectors = files.filter(|path| is_collector(path));
        collectors.map(move |path| format!("{folder}/{}", path.file_name().unwrap().to_string_lossy()))
    });
    for file in found {
        assert!(listed.contains(file.as_str()), "{file} is checked by nothing");
    }
    // all of it is known but the exporter itself; README and UNVALIDATED.md say so
    let error = validate(&["agent/otelcol.yaml", UNVALIDATED]).unwrap_err();
    assert!(error.contains(r#"unknown type: "load_balancing" for id: "load_balancing""#), "{error}");
    assert_eq!(error.matches("unknown").count(), 1, "{error}");
    assert!(fs::read_to_string(config("UNVALIDATED.md")).unwrap().contains(UNVALIDATED));
}

fn is_collector(path: &Path) -> bool {
    let yaml = path.extension().is_some_and(|extension| extension == "yaml");
    yaml && !path.ends_with("local/jaeger.yaml")
        && fs::read_to_string(path).unwrap().lines().any(|line| line == "service:")
}

/// Prometheus' own tester: every alert fires when it should and is silent before.
pub(crate) fn rules() {
    run("promtool", &["check", "config", &config("local/prometheus.yaml")], &[]).unwrap();
    run("promtool", &["test", "rules", &config("local/rules/tests.yaml")], &[]).unwrap();
    let alerts = fs::read_to_string(config("local/rules/tracewell.yaml")).unwrap();
    let tests = fs::read_to_string(config("local/rules/tests.yaml")).unwrap();
    let runbook = fs::read_to_string(config("runbook.md")).unwrap();
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {name}")), "{name} is not tested");
        assert!(runbook.contains(&format!("`{name}`")), "{name} is not in the runbook");
    }
    for anchor in
        alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: collector-config/runbook.md#"))
    {
        assert!(runbook.contains(&format!("<a id=\"{anchor}\">")), "the runbook has no entry {anchor}");
    }
}

/// Compose's own loader, and Kubernetes' types with unknown fields refused.
pub(crate) fn compose_and_kubernetes() {
    let services = run("checks", &["compose", &config("local/compose.yaml")], &[]).unwrap();
    for name in ["grafana", "jaeger", "loki", "otelcol", "prometheus"] {
        let line = services.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        let tag = line.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
        assert!(tag.contains('.') && tag != "latest", "{line} is not pinned");
    }
    for (folder, expected) in [
        ("agent", ["DaemonSet otelcol-agent", "NetworkPolicy otelcol-agent", "ClusterRole otelcol-agent"]),
        (
            "gateway",
            [
                "StatefulSet otelcol-gateway",
                "PodDisruptionBudget otelcol-gateway",
                "HorizontalPodAutoscaler otelcol-gateway",
            ],
        ),
    ] {
        let objects = run("checks", &["kubernetes", &config(folder)], &[]).unwrap();
        for object in expected {
            assert!(objects.lines().any(|line| line == object), "{folder} has no {object}:\n{objects}");
        }
    }
}
