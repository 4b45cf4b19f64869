//! The program `tracewell`: what it prints, and the exit codes that a pipeline of builds relies on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    process::{Command, Output},
};

fn tracewell(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tracewell"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

const FINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config_file/everything.yaml");

#[test]
fn check_says_all_that_is_wrong_and_exits_by_it() {
    let (code, text) = tracewell(&["config", "check", FINE], &[]);
    assert_eq!((code, text.contains("0 mistakes, 0 warnings")), (0, true), "{text}");
    let bad = std::env::temp_dir().join(format!("tracewell-{}.yaml", uuid::Uuid::new_v4()));
    fs::write(
        &bad,
        "file_format: \"1.1\"\ndisabled: maybe\nlog_lvl: info\nother: {}\n\
         tracer_provider: {processors: [mine: {key: planted-secret}]}\n",
    )
    .unwrap();
    let path = bad.to_str().unwrap();
    for (code, text) in [
        tracewell(&["config", "check", path], &[]),
        tracewell(&["config", "check"], &[("OTEL_CONFIG_FILE", path)]),
        tracewell(&["config", "print", path], &[]),
    ] {
        assert_eq!(code, 1, "{text}");
        for expected in [
            "error: disabled (line 2)=\"maybe\": accepted is true or false; using false",
            "error: log_lvl (line 3)=\"info\": unknown key; did you mean log_level?",
            "warning: other (line 4): unknown key",
            "note: tracer_provider.processors[0].mine: the program must register the span processor \"mine\"",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("planted-secret"), "{text}");
    }
    fs::remove_file(bad).unwrap();
    let (code, text) = tracewell(&["config", "check", "/nowhere.yaml"], &[]);
    assert!(code == 1 && text.contains("cannot be read"), "{text}");
    // without a file the variables count
    assert_eq!(tracewell(&["config", "check"], &[]).0, 0);
    let (code, text) = tracewell(&["config", "check"], &[("TRACEWELL_DRAIN_MS", "soon")]);
    assert!(code == 1 && text.contains("TRACEWELL_DRAIN_MS=\"soon\""), "{text}");
}

#[test]
fn print_shows_each_value_and_where_it_comes_from() {
    let variables = [
        ("TRACEWELL_ADMIN_TOKEN", "planted-secret"),
        ("COLLECTOR", "http://me:planted-secret@127.0.0.1:1"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let (code, text) = tracewell(&["config", "print", FINE], &variables);
    assert!(code == 0 && !text.contains("planted-secret"), "{text}");
    let line = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_default().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("TRACEWELL_ADMIN_TOKEN"), "environment ******");
    assert_eq!(line("OTEL_TRACES_SAMPLER_ARG"), "file: tracer_provider.sampler 0.5");
    assert_eq!(line("TRACEWELL_DRAIN_MS"), "file: distribution.tracewell.drain_ms 1000");
    assert_eq!(line("TRACEWELL_SHUTDOWN_MS"), "default 5000");
    assert_eq!(line("OTEL_METRIC_EXPORT_INTERVAL"), "file: meter_provider.readers[0].periodic.interval 2000");
}

#[test]
fn a_command_that_is_not_understood_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["config"],
        &["config", "chek"],
        &["config", "check", "a", "b"],
        &["config", "check", "--x"],
    ] {
        let (code, text) = tracewell(arguments, &[]);
        assert!(code == 2 && text.starts_with("usage: "), "{arguments:?}: {text}");
    }
    for help in ["--help", "-h", "help"] {
        assert_eq!(tracewell(&[help], &[]).0, 0);
    }
}
