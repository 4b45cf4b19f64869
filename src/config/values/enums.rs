//! Settings that are one word out of a few, spelled as in the environment.

use std::{fmt, time::Duration};

/// What takes this long is slow: a request to the access log, a span to the queue that keeps some before others.
pub(crate) const SLOW: Duration = Duration::from_secs(1);

/// A setting that is one word out of a few.
pub(in crate::config) trait Word: Copy + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    /// Case does not matter.
    fn from_word(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.word().eq_ignore_ascii_case(text))
    }
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* #[doc = concat!(" (`", $word, "`)")] $variant,)+
        }

        impl $name {
            /// The word that stands for it in the environment.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn word(self) -> &'static str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Which finished requests get a completion record (`TRACEWELL_ACCESS_LOG`).
    #[non_exhaustive]
    AccessLog {
        /// None.
        Off = "off",
        /// Those that failed.
        Errors = "errors",
        /// Those that failed or were slow.
        Slow = "slow",
        /// Every one.
        All = "all",
    }
}

words! {
    /// How OTLP request bodies are compressed.
    #[non_exhaustive]
    Compression {
        /// Not at all.
        None = "none",
        /// gzip.
        Gzip = "gzip",
    }
}

words! {
    /// What tells where the service runs (`OTEL_RUST_RESOURCE_DETECTORS`).
    #[non_exhaustive]
    Detector {
        /// The host's name and architecture.
        Host = "host",
        /// The operating system.
        Os = "os",
        /// The process's id and program.
        Process = "process",
        /// The container's id.
        Container = "container",
        /// The pod, its namespace and node.
        Kubernetes = "kubernetes",
    }
}

words! {
    /// Which item is dropped when a queue is full. Under each, errors (spans with the status Error, log records from ERROR
    /// on) and spans of a second or more are kept rather than the rest, up to half of the queue.
    #[non_exhaustive]
    DropPolicy {
        /// The one that comes: what was there first is sent.
        Newest = "newest",
        /// The one that waits longest: the queue holds what happened last.
        Oldest = "oldest",
    }
}

words! {
    /// Which measurements may become exemplars.
    ExemplarFilter {
        /// Every one.
        AlwaysOn = "always_on",
        /// None; costs nothing.
        AlwaysOff = "always_off",
        /// Those made inside a sampled span.
        TraceBased = "trace_based",
    }
}

words! {
    /// Which headers of trusted proxies count (`TRACEWELL_PROXY_HEADERS`).
    #[non_exhaustive]
    ProxyHeaders {
        /// Those that are there; where there are both kinds, what both say. A proxy that writes one kind passes the other
        /// one on as the client wrote it.
        Any = "any",
        /// `Forwarded` (RFC 7239) alone.
        Forwarded = "forwarded",
        /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port` alone.
        XForwarded = "x-forwarded",
    }
}

words! {
    /// Where a signal goes.
    #[non_exhaustive]
    Exporter {
        /// To an OTLP receiver.
        Otlp = "otlp",
        /// To stdout.
        Console = "console",
        /// Served for Prometheus to scrape; metrics only.
        Prometheus = "prometheus",
    }
}

words! {
    /// How names become those of Prometheus on `/metrics` (`translation_strategy` of the specification's Prometheus
    /// exporter).
    #[non_exhaustive]
    Translation {
        /// `http.server.request.duration` in seconds becomes `http_server_request_duration_seconds`; counters end with
        /// `_total`.
        UnderscoreEscapingWithSuffixes = "UnderscoreEscapingWithSuffixes",
        /// `http_server_request_duration`.
        UnderscoreEscapingWithoutSuffixes = "UnderscoreEscapingWithoutSuffixes",
        /// `http.server.request.duration_seconds`, for scrapers that know UTF-8 names; others get it escaped.
        NoUTF8EscapingWithSuffixes = "NoUTF8EscapingWithSuffixes",
        /// `http.server.request.duration`.
        NoTranslation = "NoTranslation",
    }
}

words! {
    /// What a histogram without a view of its own becomes.
    HistogramAggregation {
        /// Fixed bucket boundaries.
        ExplicitBucket = "explicit_bucket_histogram",
        /// Exponential buckets that fit themselves to the values.
        Base2Exponential = "base2_exponential_bucket_histogram",
    }
}

words! {
    /// How log lines look.
    #[non_exhaustive]
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Pretty = "pretty",
        /// `name=value` pairs.
        Logfmt = "logfmt",
        /// One JSON object a line, with the names of the Elastic Common Schema.
        Ecs = "ecs",
    }
}

words! {
    /// When a file of log lines is rotated whatever its size (`TRACEWELL_LOG_FILE_ROTATION`).
    #[non_exhaustive]
    LogRotation {
        /// By its size alone.
        Never = "never",
        /// At each full hour, UTC.
        Hourly = "hourly",
        /// At midnight, UTC.
        Daily = "daily",
    }
}

words! {
    /// A set of defaults; explicit settings win over it.
    #[non_exhaustive]
    Preset {
        /// The specification's defaults.
        Production = "production",
        /// Telemetry is sent each second, and the console's store is on.
        Development = "development",
        /// Telemetry is sent almost at once.
        Test = "test",
    }
}

words! {
    /// How context travels between services.
    #[non_exhaustive]
    Propagator {
        /// W3C Trace Context: `traceparent` and `tracestate`.
        TraceContext = "tracecontext",
        /// W3C Baggage.
        Baggage = "baggage",
        /// Zipkin's B3 in one header; both forms are read.
        B3 = "b3",
        /// Zipkin's B3 in many headers; both forms are read.
        B3Multi = "b3multi",
    }
}

words! {
    /// What of our own voice is heard on stderr (`OTEL_LOG_LEVEL`). We say nothing below `info`.
    #[non_exhaustive]
    LogLevel {
        /// Nothing.
        None = "none",
        /// What a person must act upon.
        Error = "error",
        /// And what is lost or not as configured.
        Warn = "warn",
        /// And what is back to normal.
        Info = "info",
        /// The same.
        Debug = "debug",
        /// The same.
        Trace = "trace",
    }
}

words! {
    /// How OTLP is spoken.
    Protocol {
        /// Protobuf over gRPC.
        Grpc = "grpc",
        /// Protobuf over HTTP.
        HttpProtobuf = "http/protobuf",
        /// JSON over HTTP.
        HttpJson = "http/json",
    }
}

words! {
    /// What becomes of a trace that a caller has begun.
    #[non_exhaustive]
    RemoteParent {
        /// What its caller decided, where the sampler is parent-based.
        Follow = "follow",
        /// It is decided like a trace that starts here: by the rules, and by the sampler for such traces.
        Ignore = "ignore",
    }
}

words! {
    /// One of the three signals.
    Signal {
        /// Spans.
        Traces = "traces",
        /// Metrics.
        Metrics = "metrics",
        /// Log records.
        Logs = "logs",
    }
}

words! {
    /// What a sum or histogram reports at each export.
    Temporality {
        /// The total since the start.
        Cumulative = "cumulative",
        /// The change since the last export.
        Delta = "delta",
        /// Delta for synchronous counters and histograms, cumulative for the others.
        LowMemory = "lowmemory",
    }
}

impl AccessLog {
    /// Whether something that ended like this gets its completion record.
    pub(crate) fn wants(self, completed: bool, duration: Duration) -> bool {
        match self {
            Self::Off => false,
            Self::Errors => !completed,
            Self::Slow => !completed || duration >= SLOW,
            Self::All => true,
        }
    }
}

impl Signal {
    /// The path of its OTLP/HTTP requests below a base endpoint.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }
}
