//! Where requests go: endpoints, headers, certificates, and what is not supported.

use super::*;

#[test]
fn the_general_endpoint_is_a_base_and_a_signals_own_is_used_as_it_is() {
    let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for (base, traces) in [
        ("http://c", "http://c/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("HTTPS://c/otlp//", "https://c/otlp/v1/traces"),
        ("http://[::1]:9/p?x=1", "http://[::1]:9/p/v1/traces?x=1"),
    ] {
        assert_eq!(accepted(&[(general, base)]).traces.otlp.endpoint.as_str(), traces);
    }
    let c = accepted(&[(general, "http://all"), ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs:1")]);
    assert_eq!(c.logs.otlp.endpoint.as_str(), "https://logs:1/");
    assert_eq!(c.logs.otlp.endpoint.uri().path(), "/");
    assert_eq!(c.metrics.otlp.endpoint.as_str(), "http://all/v1/metrics");
    let c = accepted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/custom/")]);
    assert_eq!(c.traces.otlp.endpoint.as_str(), "http://t/custom/");
}

#[test]
fn for_grpc_only_the_origin_counts_and_the_scheme_may_be_missing() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    assert_eq!(accepted(&[grpc]).logs.otlp.endpoint.as_str(), "http://localhost:4317");
    for (endpoint, secure, plain) in [
        ("c:4317", "https://c:4317", "http://c:4317"),
        ("c", "https://c", "http://c"),
        ("http://c:4317/v1/traces?x=1", "http://c:4317", "http://c:4317"),
        ("https://c", "https://c", "https://c"),
        ("[::1]:4317", "https://[::1]:4317", "http://[::1]:4317"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        assert_eq!(accepted(&[grpc, endpoint]).traces.otlp.endpoint.as_str(), secure);
        assert_eq!(accepted(&[grpc, endpoint, insecure]).traces.otlp.endpoint.as_str(), plain);
    }
    let c = accepted(&[
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "m:1"),
        ("OTEL_EXPORTER_OTLP_METRICS_INSECURE", "true"),
    ]);
    assert_eq!(c.metrics.otlp.endpoint.as_str(), "http://m:1");
    assert_eq!(c.traces.otlp.endpoint.as_str(), "http://localhost:4318/v1/traces");
}

#[test]
fn a_malformed_endpoint_is_one_mistake_and_the_default_is_used() {
    for value in [
        "collector:4318",
        "localhost",
        "ftp://c",
        "http://",
        "http://:4318",
        "http://c:99999",
        "http://[x]",
        "http://a b",
    ] {
        let (c, mistakes) = resolve(&[("OTEL_EXPORTER_OTLP_ENDPOINT", value)]);
        assert_eq!(mistakes.len(), 1, "{value}: {mistakes:?}");
        let start = format!("OTEL_EXPORTER_OTLP_ENDPOINT={value:?}: accepted is an http:// or https:// URL");
        assert!(mistakes[0].starts_with(&start), "{mistakes:?}");
        assert!(mistakes[0].ends_with("; using http://localhost:4318"), "{mistakes:?}");
        assert_eq!(c.traces.otlp.endpoint.as_str(), "http://localhost:4318/v1/traces");
    }
    let pairs =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "c:1")];
    let line = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=\"c:1\": accepted is an http:// or https:// URL; using http://all/v1/traces";
    assert_eq!(mistaken(&pairs, line).traces.otlp.endpoint.as_str(), "http://all/v1/traces");
    let pairs = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "unix:///x")];
    let line = "OTEL_EXPORTER_OTLP_ENDPOINT=\"unix:///x\": accepted is an http:// or https:// URL or host:port; using http://localhost:4317";
    assert_eq!(mistaken(&pairs, line).traces.otlp.endpoint.as_str(), "http://localhost:4317");
}

#[test]
fn an_endpoint_knows_host_port_and_scheme() {
    for (text, host, port, https) in [
        ("http://c", "c", 80, false),
        ("https://c", "c", 443, true),
        ("https://u:p@[::1]:4318/x", "::1", 4318, true),
    ] {
        let endpoint = Endpoint::parse(text).unwrap();
        assert_eq!((endpoint.host_and_port(), endpoint.is_https()), ((host, port), https));
    }
}

#[test]
fn credentials_of_an_endpoint_are_sent_as_a_header_and_shown_redacted() {
    let endpoint = Endpoint::parse("https://Aladdin:open%20sesame@c/x?key=k3y").unwrap();
    assert_eq!(endpoint.authorization().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert!(endpoint.authorization().unwrap().is_sensitive());
    assert_eq!(
        (endpoint.as_str(), endpoint.uri().to_string()),
        ("https://c/x?key=k3y", endpoint.as_str().to_owned())
    );
    assert_eq!(endpoint.to_string(), "https://REDACTED:REDACTED@c/x?REDACTED");
    assert_eq!(format!("{endpoint:?}"), "\"https://REDACTED:REDACTED@c/x?REDACTED\"");
    for (user, header) in [("ab", "Basic YWI6"), ("ab:", "Basic YWI6"), ("a:bc", "Basic YTpiYw==")] {
        let endpoint = Endpoint::parse(&format!("http://{user}@c")).unwrap();
        assert_eq!(endpoint.authorization().unwrap(), header);
    }
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://ab@c");
    let value = |c: Config| c.logs.otlp.headers.iter().next().unwrap().1.clone();
    assert_eq!(value(accepted(&[general])), "Basic YWI6");
    let own = ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x");
    assert_eq!(value(accepted(&[general, own])), "Bearer x");
}

#[test]
fn a_blank_or_bad_setting_of_one_signal_does_not_mask_that_of_all() {
    let all = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "k=v"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "7"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ];
    for own in ["HEADERS", "TIMEOUT", "COMPRESSION", "PROTOCOL"] {
        let name = format!("OTEL_EXPORTER_OTLP_TRACES_{own}");
        for value in [" ", "nonsense"] {
            let mut pairs = all.to_vec();
            pairs.push((&name, value));
            let (c, mistakes) = resolve(&pairs);
            let otlp = c.traces.otlp;
            assert_eq!(otlp.headers.iter().len(), 1);
            assert_eq!(
                (otlp.timeout, otlp.compression, otlp.protocol),
                (Some(ms(7)), Compression::Gzip, Protocol::HttpJson)
            );
            let using = format!("; using the value of OTEL_EXPORTER_OTLP_{own}");
            assert_eq!(mistakes.len(), usize::from(value == "nonsense"));
            assert!(mistakes.iter().all(|line| line.ends_with(&using)), "{mistakes:?}");
        }
    }
    let c = accepted(&[all[1], ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "8")]);
    assert_eq!((c.traces.otlp.timeout, c.logs.otlp.timeout), (Some(ms(8)), Some(ms(7))));
}

#[test]
fn header_values_are_decoded_and_a_bad_header_is_left_out_without_its_value() {
    let parse = |text: &str| {
        let headers = Headers::parse(text)?;
        assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
        Ok::<_, String>(
            headers.iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect::<Vec<_>>(),
        )
    };
    assert_eq!(parse("X-Key = a%2Cb%3D , b=1;m,,x-key=2").unwrap(), ["x-key=2", "b=1;m"]);
    assert_eq!(parse("a=Basic abc==").unwrap(), ["a=Basic abc=="]);
    for bad in ["s3cret", "s3c ret=1", "k=s3cret%0Ax", "k=s3cret%", "k=s3cret\u{e9}"] {
        let line = parse(bad).unwrap_err();
        assert!(line.starts_with("entry 1 ") && !line.contains("ret"), "{line}");
    }
    let line = "OTEL_EXPORTER_OTLP_HEADERS=******: entry 2 (bad) has no valid value; \
                accepted is name=value,name=value with percent-encoded values; using good";
    let c = mistaken(&[("OTEL_EXPORTER_OTLP_HEADERS", "good=1,bad=%zz")], line);
    assert_eq!(format!("{:?}", c.traces.otlp.headers), r#"{"good"}"#);
}

#[test]
fn certificate_files_are_read_before_they_are_believed() {
    let certificate =
        TempFile::holding("text before\n-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n");
    let key = TempFile::holding("-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----\n");
    let (cert, key) = (certificate.path(), key.path());
    let c = accepted(&[
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", cert),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", cert),
        ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", key),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key),
    ]);
    assert_eq!(c.logs.otlp.certificate.as_deref(), Some(Path::new(cert)));
    assert_eq!(c.metrics.otlp.client_certificate.as_deref(), Some(Path::new(cert)));
    assert_eq!(c.traces.otlp.client_key.as_deref(), Some(Path::new(key)));
    let missing = format!("{cert}.missing");
    let folder = std::env::temp_dir();
    for (path, why) in [
        (missing.as_str(), "cannot be read (entity not found)"),
        (folder.to_str().unwrap(), "is not a file"),
        (key, "holds no such PEM section"),
    ] {
        let line = format!(
            "OTEL_EXPORTER_OTLP_CERTIFICATE={path:?}: {why}; accepted is a PEM file of certificates; \
             using the system's certificates"
        );
        assert_eq!(
            mistaken(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", path)], &line).traces.otlp.certificate,
            None
        );
    }
}

#[test]
fn half_a_client_identity_is_a_mistake_and_not_used() {
    let certificate = TempFile::holding("-----BEGIN CERTIFICATE-----\n");
    let key = TempFile::holding("-----BEGIN PRIVATE KEY-----\n");
    let neither = |otlp: &Otlp| otlp.client_certificate.is_none() && otlp.client_key.is_none();
    for (name, path, missing) in [
        ("CLIENT_CERTIFICATE", certificate.path(), "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        ("CLIENT_KEY", key.path(), "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
        ("LOGS_CLIENT_KEY", key.path(), "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
    ] {
        let name = format!("OTEL_EXPORTER_OTLP_{name}");
        let (c, mistakes) = resolve(&[(&name, path)]);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("{name}={path:?}: {missing} is not set; ")), "{mistakes:?}");
        assert!(neither(&c.traces.otlp) && neither(&c.logs.otlp));
    }
    // the half that cannot be read is the only mistake
    let pairs = [
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.path()),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/none"),
    ];
    let (c, mistakes) = resolve(&pairs);
    assert!(
        neither(&c.traces.otlp) && mistakes.len() == 1 && mistakes[0].contains("\"/none\""),
        "{mistakes:?}"
    );
}

#[test]
fn what_is_not_supported_is_said_once_and_has_no_effect() {
    for name in ["OTEL_EXPORTER_ZIPKIN_TIMEOUT", "OTEL_EXPORTER_ZIPKIN_ENDPOINT"] {
        let (c, mistakes) = resolve(&[(name, "5")]);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        let line = &mistakes[0];
        assert!(
            line.starts_with(&format!("{name}=\"5\": "))
                && line.contains("not supported")
                && line.ends_with("; ignored")
        );
        assert_eq!(shown(&c), shown(&accepted(&[])));
        accepted(&[(name, " ")]);
    }
}
