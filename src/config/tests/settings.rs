//! Lists, samplers, limits, addresses and names: what goes where.

use super::*;

#[test]
fn exporters_are_lists_and_what_is_known_of_a_list_is_used() {
    let c = accepted(&[
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "Prometheus, otlp,,console"),
        ("OTEL_LOGS_EXPORTER", "otlp,OTLP"),
    ]);
    assert_eq!(c.traces.exporters, []);
    assert_eq!(c.metrics.exporters, [Exporter::Prometheus, Exporter::Otlp, Exporter::Console]);
    assert_eq!(c.logs.exporters, [Exporter::Otlp]);
    let accepted = "accepted is a list of otlp, console; or none";
    for (value, why, used, exporters) in [
        ("zipkin", "\"zipkin\" is deprecated and not supported; ", "otlp", vec![Exporter::Otlp]),
        (
            "console,logging",
            "\"logging\" is deprecated and not supported; ",
            "console",
            vec![Exporter::Console],
        ),
        (
            "jaeger,what",
            "\"jaeger\" is deprecated and not supported, \"what\" is unknown; ",
            "otlp",
            vec![Exporter::Otlp],
        ),
        ("console,none", "\"none\" must stand alone; ", "console", vec![Exporter::Console]),
        ("prometheus", "\"prometheus\" is for metrics only; ", "otlp", vec![Exporter::Otlp]),
        (",", "", "otlp", vec![Exporter::Otlp]),
    ] {
        let line = format!("OTEL_TRACES_EXPORTER={value:?}: {why}{accepted}; using {used}");
        assert_eq!(mistaken(&[("OTEL_TRACES_EXPORTER", value)], &line).traces.exporters, exporters);
    }
}

#[test]
fn propagators_keep_their_order_without_duplicates() {
    let set = |value| accepted(&[("OTEL_PROPAGATORS", value)]).propagators;
    assert_eq!(set("Baggage,tracecontext,baggage"), [Propagator::Baggage, Propagator::TraceContext]);
    assert_eq!(set("none"), []);
    assert_eq!(set("b3,B3MULTI,b3"), [Propagator::B3, Propagator::B3Multi]);
    for (name, why) in [
        ("jaeger", "is deprecated and not supported"),
        ("xray", "is not supported yet"),
        ("ottrace", "is deprecated and not supported"),
    ] {
        let value = format!("{name},tracecontext");
        let line = format!(
            "OTEL_PROPAGATORS={value:?}: {name:?} {why}; \
             accepted is a list of tracecontext, baggage, b3, b3multi; or none; using tracecontext"
        );
        assert_eq!(mistaken(&[("OTEL_PROPAGATORS", &value)], &line).propagators, [Propagator::TraceContext]);
    }
}

#[test]
fn samplers_are_known_in_any_case_and_shown_in_the_specifications_words() {
    for (name, arg, expected) in [
        ("always_on", "", "always_on"),
        ("ALWAYS_OFF", "", "always_off"),
        ("traceidratio", "", "traceidratio{1}"),
        ("TraceIdRatio", "0.25", "traceidratio{0.25}"),
        ("parentbased_always_on", "0.5", "parentbased_always_on"),
        ("parentbased_always_off", "", "parentbased_always_off"),
        ("ParentBased_TraceIdRatio", "0.1", "parentbased_traceidratio{0.1}"),
        ("parentbased_traceidratio", "0", "parentbased_traceidratio{0}"),
    ] {
        let c = accepted(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", arg)]);
        assert_eq!(c.traces.sampler.to_string(), expected);
    }
    for name in ["jaeger_remote", "parentbased_jaeger_remote", "xray", "sometimes", "parentbased_"] {
        let pairs = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://x")];
        let (c, mistakes) = resolve(&pairs);
        assert_eq!(c.traces.sampler.to_string(), "parentbased_always_on");
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("OTEL_TRACES_SAMPLER={name:?}: ")), "{mistakes:?}");
        assert!(mistakes[0].ends_with("; using parentbased_always_on"), "{mistakes:?}");
    }
}

#[test]
fn a_sampling_share_outside_zero_to_one_is_a_mistake() {
    for arg in ["1.5", "-0.1", "NaN", "inf", "10%", "half"] {
        let line = format!("OTEL_TRACES_SAMPLER_ARG={arg:?}: accepted is a number from 0 to 1; using 1");
        let pairs = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", arg)];
        assert_eq!(mistaken(&pairs, &line).traces.sampler, Sampler::TraceIdRatio(1.0));
    }
    let line = "OTEL_TRACES_SAMPLER_ARG=\"0.1\": accepted is a share only with a traceidratio sampler in \
                OTEL_TRACES_SAMPLER; using parentbased_always_on";
    mistaken(&[("OTEL_TRACES_SAMPLER_ARG", "0.1")], line);
}

#[test]
fn a_batch_is_never_larger_than_its_queue() {
    let sizes = |c: &Config| (c.traces.batch.max_queue_size, c.traces.batch.max_export_batch_size);
    let queue = ("OTEL_BSP_MAX_QUEUE_SIZE", "100");
    assert_eq!(sizes(&accepted(&[queue])), (100, 100));
    let line = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=\"200\": accepted is at most the queue's size, 100; using 100";
    assert_eq!(sizes(&mistaken(&[queue, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200")], line)), (100, 100));
    let line =
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=\"x\": accepted is a whole number from 1 to 2147483647; using 100";
    assert_eq!(sizes(&mistaken(&[queue, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "x")], line)), (100, 100));
}

#[test]
fn the_general_attribute_limit_stands_in_for_those_that_are_not_set() {
    let c = accepted(&[("OTEL_ATTRIBUTE_COUNT_LIMIT", "10"), ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "3")]);
    let limits = c.traces.limits;
    assert_eq!((limits.attributes, limits.attributes_per_event, limits.attributes_per_link), (10, 3, 10));
    assert_eq!((limits.events, limits.links), (128, 128));
}

#[test]
fn lists_keep_what_is_good_and_name_what_is_not() {
    let c = accepted(&[
        ("TRACEWELL_CHECKS_DISABLED", " database , disk,"),
        ("TRACEWELL_ADMIN_ALLOW", "10.0.0.0/8, ::1"),
        ("TRACEWELL_TRUSTED_PROXIES", "10.0.0.0/8"),
        ("TRACEWELL_PROXY_HEADERS", "X-Forwarded"),
        ("TRACEWELL_PUBLIC_ENDPOINT", "true"),
        ("TRACEWELL_BAGGAGE_ATTRIBUTES", "tenant,app.user"),
        ("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET,purge"),
    ]);
    assert_eq!(c.admin.checks_disabled, ["database", "disk"]);
    assert_eq!(c.admin.allow.len(), 2);
    assert_eq!(c.http.known_methods, ["GET", "purge"]);
    assert_eq!(c.http.trusted_proxies, [IpRange::parse("10.0.0.0/8").unwrap()]);
    assert_eq!(c.http.proxy_headers, ProxyHeaders::XForwarded);
    assert!(c.http.public_endpoint);
    assert_eq!(c.http.baggage_attributes, ["tenant", "app.user"]);
    let line = "TRACEWELL_ADMIN_ALLOW=\"10.0.0.0/33,::1\": \"10.0.0.0/33\" is not one; \
                accepted is a list of IP addresses and ranges such as 10.0.0.0/8; using ::1/128";
    assert_eq!(mistaken(&[("TRACEWELL_ADMIN_ALLOW", "10.0.0.0/33,::1")], line).admin.allow.len(), 1);
    let line = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS=\"G T,PUT\": \"G T\" is not one; \
                accepted is a list of HTTP methods, case-sensitive; using PUT";
    let pairs = [("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "G T,PUT")];
    assert_eq!(mistaken(&pairs, line).http.known_methods, ["PUT"]);
}

#[test]
fn operator_addresses_and_the_filter_are_read() {
    let c = accepted(&[
        ("TRACEWELL_ADMIN_ADDR", "localhost:0"),
        ("TRACEWELL_ADMIN_TOKEN", "t0ken"),
        ("RUST_LOG", "warn,my_crate[span{id=1}]=trace"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "[::1]"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "0"),
    ]);
    assert_eq!(c.admin.addr, Some("127.0.0.1:0".parse().unwrap()));
    assert_eq!(c.admin.token.unwrap().expose(), "t0ken");
    assert_eq!(c.logs.filter, "warn,my_crate[span{id=1}]=trace");
    assert_eq!(c.metrics.prometheus, ("::1".to_owned(), 0));
}

#[test]
fn resource_attributes_are_decoded_and_the_service_name_has_its_own_place() {
    let attributes = "team=a%2Cb, k%3D1 = v%20w ,team=last,service.name=from-attributes,empty=,";
    let c = accepted(&[("OTEL_RESOURCE_ATTRIBUTES", attributes)]);
    assert_eq!(c.resource.service_name.as_deref(), Some("from-attributes"));
    let pairs: Vec<_> = c.resource.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("team", "last"), ("k=1", "v w"), ("empty", "")]);
    let c = accepted(&[("OTEL_RESOURCE_ATTRIBUTES", attributes), ("OTEL_SERVICE_NAME", "named")]);
    assert_eq!(c.resource.service_name.as_deref(), Some("named"));
    assert!(c.resource.attributes.iter().all(|(key, _)| key != "service.name"));
}

#[test]
fn one_malformed_pair_discards_all_resource_attributes_with_one_mistake() {
    for (value, why) in [
        ("a=1,b", "pair 2 has no \"=\""),
        ("a=%ff", "pair 1 is not percent-encoded UTF-8"),
        ("a=100%,b=2", "pair 1 is not percent-encoded UTF-8"),
        ("a=%4", "pair 1 is not percent-encoded UTF-8"),
        ("a=1,service.name=x,=2", "pair 3 has no key"),
    ] {
        let line = format!(
            "OTEL_RESOURCE_ATTRIBUTES={value:?}: {why}, so none is used; \
             accepted is name=value,name=value with \",\", \"=\" and \"%\" percent-encoded; ignored"
        );
        let c = mistaken(&[("OTEL_RESOURCE_ATTRIBUTES", value)], &line);
        assert_eq!((c.resource.service_name, c.resource.attributes.len()), (None, 0));
    }
}

#[test]
fn ranges_hold_what_they_say_in_both_families() {
    for (range, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
        ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
        ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
        ("0.0.0.0/0", "255.1.2.3", "::1"),
        ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
        ("fd00::/8", "fdff::1", "fe00::1"),
        ("::1", "::1", "::2"),
        ("::/1", "7fff::", "8000::"),
    ] {
        let parsed = IpRange::parse(range).unwrap();
        assert!(parsed.contains(inside.parse::<IpAddr>().unwrap()), "{range} {inside}");
        assert!(!parsed.contains(outside.parse::<IpAddr>().unwrap()), "{range} {outside}");
    }
    assert!(IpRange::parse("::/0").unwrap().contains("8000::".parse().unwrap()));
    for bad in [
        "",
        "10.0.0",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "localhost",
        "::ffff:1.2.3.4/",
    ] {
        assert!(IpRange::parse(bad).unwrap_err().contains("10.0.0.0/8"), "{bad}");
    }
}
