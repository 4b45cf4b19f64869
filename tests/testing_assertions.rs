//! An assertion that holds says nothing; one that does not shows what was there instead.

use std::{any::Any, panic, sync::Once};

use opentelemetry::KeyValue;
use tracewell::{
    requests::{NewEntry, Registry},
    testing::Capture,
};

/// What the assertion says when it fails.
#[track_caller]
fn says(assert: impl FnOnce()) -> String {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                usual(info);
            }
        }));
    });
    EXPECTED.set(true);
    let failed = panic::catch_unwind(panic::AssertUnwindSafe(assert));
    EXPECTED.set(false);
    let problem: Box<dyn Any + Send> = failed.err().unwrap_or_else(|| panic!("the assertion holds"));
    problem.downcast_ref::<String>().cloned().unwrap_or_else(|| panic!("no message"))
}

thread_local! {
    static EXPECTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Two orders; the second is refused.
fn shop() -> Capture {
    let capture = Capture::builder().with_sequential_ids(1).build();
    let _guard = capture.set_default();
    let prices = capture.meter("shop").f64_histogram("price").with_boundaries(vec![10.0]).build();
    tracing::info_span!("checkout", user = "anna").in_scope(|| {
        tracing::info_span!("pay", amount = 12, currency = "EUR").in_scope(|| {
            tracing::info!(left = 2, "paid");
            prices.record(12.5, &[KeyValue::new("currency", "EUR")]);
        });
    });
    tracing::info_span!("checkout", user = "bert").in_scope(|| {
        tracing::info_span!("pay", amount = 7, otel.status_code = "ERROR").in_scope(|| {
            tracing::error!(left = "none", "refused");
        });
    });
    prices.record(3.0, &[KeyValue::new("currency", "USD")]);
    capture
}

const TREE: &str = "\
captured:
  checkout
    pay
      INFO paid left=2
  checkout
    pay error
      ERROR refused left=none";

#[test]
fn what_holds_narrows_down_to_one() {
    let capture = shop();
    let pay = capture.assert_span("pay").child_of("checkout").kind("internal").times(2);
    let refused = pay.clone().error().lacks("currency").logged("refused").times(1);
    assert_eq!(refused.get().attributes().i64("amount"), Some(7));
    let paid = pay.has("amount", 12).has("currency", "EUR").no_error().within("checkout").times(1);
    assert_eq!(paid.get().trace_id(), "00000000000000000000000000000001");
    capture.assert_span("checkout").root().times(2);

    let log = capture.assert_log("paid").level("INFO").in_span("pay").within("checkout").has("left", 2);
    assert_eq!(log.get().span_id(), paid.get().span_id());
    capture.assert_metric("price").times(2).value(15.5).count(2);
    let euro = capture.assert_metric("price").has("currency", "EUR").count(1).exemplar_of("pay");
    assert_eq!(euro.get().exemplars()[0].span_id(), paid.get().span_id());
    capture.assert_nothing_active();
}

#[test]
fn a_span_that_is_not_there_shows_the_tree() {
    let capture = shop();
    assert_eq!(says(|| drop(capture.assert_span("ship"))), format!("no span \"ship\" has ended\n{TREE}"));
    let nothing = Capture::new();
    assert_eq!(
        says(|| drop(nothing.assert_span("ship"))),
        "no span \"ship\" has ended\nnothing was captured"
    );
    let _guard = nothing.set_default();
    let _open = tracing::info_span!("ship").entered();
    assert_eq!(
        says(|| drop(nothing.assert_span("ship"))),
        "no span \"ship\" has ended\ncaptured:\n  ship (open)"
    );
}

#[test]
fn an_attribute_shows_what_it_is_instead_with_its_type() {
    let capture = shop();
    assert_eq!(
        says(|| drop(capture.assert_span("pay").child_of("checkout").has("amount", "12"))),
        format!(
            "no span \"pay\" as a child of \"checkout\" with amount = \"12\"\n\
             instead:\n  \"pay\": amount = 12\n  \"pay\": amount = 7\n{TREE}"
        )
    );
    assert_eq!(
        says(|| drop(capture.assert_span("checkout").has("username", "anna"))),
        format!(
            "no span \"checkout\" with username = \"anna\"\ninstead:\n  \
             \"checkout\": no username, but user = \"anna\"\n  \"checkout\": no username, but user = \"bert\"\n{TREE}"
        )
    );
    assert_eq!(
        says(|| drop(capture.assert_span("checkout").lacks("user"))),
        format!(
            "no span \"checkout\" without user\ninstead:\n  \
             \"checkout\": user = \"anna\"\n  \"checkout\": user = \"bert\"\n{TREE}"
        )
    );
}

#[test]
fn a_place_shows_where_it_stands_instead() {
    let capture = shop();
    let lines = "instead:\n  \"pay\": in \"checkout\"\n  \"pay\": in \"checkout\"";
    for (assert, demand) in [
        ((|c| drop(c.assert_span("pay").child_of("ship"))) as fn(&Capture), " as a child of \"ship\""),
        (|c| drop(c.assert_span("pay").within("ship")), " within \"ship\""),
        (|c| drop(c.assert_span("pay").root()), " as a root"),
    ] {
        assert_eq!(says(|| assert(&capture)), format!("no span \"pay\"{demand}\n{lines}\n{TREE}"));
    }
    assert_eq!(
        says(|| drop(capture.assert_log("paid").in_span("checkout"))),
        format!(
            "no log record \"paid\" in span \"checkout\"\ninstead:\n  \
             INFO \"paid\": in \"pay\" in \"checkout\"\n{TREE}"
        )
    );
    assert!(
        says(|| drop(capture.assert_span("checkout").child_of("x"))).contains("\"checkout\": in no span")
    );
}

#[test]
fn errors_logs_and_numbers_show_what_there_was() {
    let capture = shop();
    for (assert, first_lines) in [
        (
            (|c| drop(c.assert_span("pay").has("amount", 12).error())) as fn(&Capture),
            "no span \"pay\" with amount = 12 with an error\ninstead:\n  \
             \"pay\": no error, amount = 12, currency = \"EUR\"",
        ),
        (
            |c| drop(c.assert_span("pay").has("amount", 7).no_error()),
            "no span \"pay\" with amount = 7 without an error\ninstead:\n  \"pay\": error, amount = 7",
        ),
        (
            |c| drop(c.assert_span("pay").has("amount", 7).logged("paid")),
            "no span \"pay\" with amount = 7 that logged \"paid\"\ninstead:\n  \"pay\": logged \"refused\"",
        ),
        (
            |c| drop(c.assert_span("pay").kind("client").times(2)),
            "no span \"pay\" of kind client\ninstead:\n  \"pay\": of kind internal\n  \"pay\": of kind internal",
        ),
        (
            |c| drop(c.assert_span("checkout").linked_to("pay")),
            "no span \"checkout\" linked to \"pay\"\ninstead:\n  \"checkout\": no links\n  \"checkout\": no links",
        ),
        (
            |c| drop(c.assert_span("checkout").times(1)),
            "2 of span \"checkout\", not 1\nfound:\n  \"checkout\": user = \"anna\"\n  \"checkout\": user = \"bert\"",
        ),
        (
            |c| drop(c.assert_log("refused").level("WARN")),
            "no log record \"refused\" of level WARN\ninstead:\n  ERROR \"refused\": of level ERROR",
        ),
        (
            |c| drop(c.assert_log("refused").in_no_span()),
            "no log record \"refused\" in no span\ninstead:\n  ERROR \"refused\": in \"pay\" in \"checkout\"",
        ),
    ] {
        assert_eq!(says(|| assert(&capture)), format!("{first_lines}\n{TREE}"));
    }
}

#[test]
fn a_metric_shows_its_points_and_where_their_exemplars_lead() {
    let capture = shop();
    let said = says(|| drop(capture.assert_metric("prices")));
    assert!(said.starts_with("no metric \"prices\" was measured\nmeasured:\n  "), "{said}");
    assert!(said.contains("\n  price\n") && said.ends_with(TREE), "{said}");

    let (euro, dollar) =
        ("1 measurement, 12.5 (currency = \"EUR\")", "1 measurement, 3.0 (currency = \"USD\")");
    let said = says(|| drop(capture.assert_metric("price").count(3)));
    assert!(said.starts_with("point of \"price\": 2 measurements, not 3\npoints:\n"), "{said}");
    assert!(said.contains(euro) && said.contains(dollar), "{said}");
    assert_eq!(
        says(|| drop(capture.assert_metric("price").has("currency", "USD").value(4.0))),
        format!("point of \"price\" with currency = \"USD\": 3.0, not 4.0\npoints:\n  {dollar}\n{TREE}")
    );
    assert_eq!(
        says(|| drop(capture.assert_metric("price").has("currency", "EUR").exemplar_of("checkout"))),
        format!(
            "no point of \"price\" with currency = \"EUR\" with an exemplar of span \"checkout\"\ninstead:\n  \
             {euro}: 12.5 leads to \"pay\"\n{TREE}"
        )
    );
    assert_eq!(
        says(|| drop(capture.assert_metric("price").has("currency", "USD").exemplar_of("pay"))),
        format!(
            "no point of \"price\" with currency = \"USD\" with an exemplar of span \"pay\"\ninstead:\n  \
             {dollar}: no exemplars\n{TREE}"
        )
    );
    capture.clear();
    let said = says(|| drop(capture.assert_metric("price").has("currency", "EUR").exemplar_of("pay")));
    let ids = "leads to trace 00000000000000000000000000000001, span 0000000000000002\nnothing was captured";
    assert!(said.ends_with(ids), "{said}");
}

#[test]
fn what_is_still_active_is_listed() {
    let capture = Capture::builder().with_sequential_ids(1).build();
    let request = capture.requests().start(NewEntry::request("GET").with_path("/slow").with_route("/slow"));
    request.set_stage("waiting");
    let task = capture.requests().start(NewEntry::task("report"));
    let said = says(|| capture.assert_nothing_active());
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "still active:"), "{said}");
    assert!(lines[1].starts_with("  request ") && lines[1].contains("path=/slow"), "{said}");
    assert!(lines[1].ends_with("stage=waiting"), "{said}");
    assert!(lines[2].starts_with("  task ") && lines[2].contains(" report "), "{said}");
    drop((request, task));
    capture.assert_nothing_active();

    let small = Registry::new(1);
    let _both = [small.start(NewEntry::request("GET")), small.start(NewEntry::request("GET"))];
    let said = says(|| tracewell::testing::assert_nothing_active(&small));
    assert!(said.contains("and 1 requests for which there was no room in the table"), "{said}");
}
