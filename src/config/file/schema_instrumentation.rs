//! The part of the schema that is about instrumentation libraries, one of its experiments: what is captured, and by which names.

use super::schema::{FOREIGN, MAYBE, Shape, TEXT, TEXTS, field, object};

pub(super) static INSTRUMENTATION: Shape = object(&[
    field("general", &GENERAL, ""),
    field("cpp", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("dotnet", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("erlang", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("go", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("java", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("js", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("php", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("python", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("ruby", &FOREIGN, "").ignored(OTHER_LANGUAGE),
    field("rust", &FOREIGN, "")
        .ignored("no instrumentation has settings of its own; see distribution.tracewell"),
    field("swift", &FOREIGN, "").ignored(OTHER_LANGUAGE),
]);

const OTHER_LANGUAGE: &str = "it is for another language";

static GENERAL: Shape = object(&[
    field("http", &HTTP, ""),
    field("code", &FOREIGN, "").ignored(STABLE_ONLY),
    field("db", &FOREIGN, "").ignored(STABLE_ONLY),
    field("gen_ai", &FOREIGN, "").ignored(STABLE_ONLY),
    field("messaging", &FOREIGN, "").ignored(STABLE_ONLY),
    field("rpc", &FOREIGN, "").ignored(STABLE_ONLY),
    field("peer", &FOREIGN, "").ignored("peers are not mapped"),
    field("sanitization", &FOREIGN, "").ignored("see redaction"),
    field("stability_opt_in_list", &MAYBE, "").ignored(STABLE_ONLY),
]);

const STABLE_ONLY: &str = "the stable semantic conventions are emitted, and no others";

static HTTP: Shape = object(&[
    field("semconv", &FOREIGN, "").ignored(STABLE_ONLY),
    field("client", &HTTP_SIDE_CLIENT, ""),
    field("server", &HTTP_SIDE_SERVER, ""),
]);

static HTTP_SIDE_CLIENT: Shape = object(&[
    field("request_captured_headers", &TEXTS, "").ignored(HEADERS_IN_CODE),
    field("response_captured_headers", &TEXTS, "").ignored(HEADERS_IN_CODE),
    field("known_methods", &METHODS, "").ignored("the server's list is that of both sides"),
]);

static HTTP_SIDE_SERVER: Shape = object(&[
    field("request_captured_headers", &TEXTS, ""),
    field("response_captured_headers", &TEXTS, ""),
    field("known_methods", &METHODS, "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH, QUERY"),
]);

static METHODS: Shape = Shape::List { of: &TEXT, least: 0 };

const HEADERS_IN_CODE: &str = "headers of outgoing calls are chosen in code, on the layer";
