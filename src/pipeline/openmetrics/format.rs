//! Which text format a scraper gets: its `Accept` header in, a format and its `Content-Type` out.

/// A text exposition format with its escaping scheme.
///
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// `text/plain;version=0.0.4`, the last resort every scraper reads; without exemplars.
    #[default]
    Text0_0_4,
    /// `text/plain;version=1.0.0`.
    Text1_0_0(Escaping),
    /// `application/openmetrics-text;version=0.0.1`, with exemplars.
    OpenMetrics0_0_1,
    /// `application/openmetrics-text;version=1.0.0`, with exemplars.
    OpenMetrics1_0_0(Escaping),
}

/// How a scraper wants names that are not of the classic character set; see [`Naming`](super::naming::Naming).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Escaping {
    #[default]
    Underscores,
    AllowUtf8,
    Dots,
    Values,
}

impl Format {
    /// The supported format with the highest weight in `accept`, the first of equals; text 0.0.4 when there is none.
    ///
    /// Several `Accept` headers are to be joined by `,`. Media ranges that cannot be read are passed over.
    pub(crate) fn negotiate(accept: Option<&str>) -> Self {
        let mut best = (0.0, Self::default());
        for range in accept.unwrap_or_default().split(',') {
            if let Some((weight, format)) = Self::from_media_range(range) {
                if weight > best.0 {
                    best = (weight, format);
                }
            }
        }
        best.1
    }

    /// Whether it is OpenMetrics.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::OpenMetrics0_0_1 | Self::OpenMetrics1_0_0(_))
    }

    /// The value of the `Content-Type` header.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text0_0_4 => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text1_0_0(Escaping::Underscores) => {
                "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            Self::Text1_0_0(Escaping::AllowUtf8) => {
                "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
            Self::Text1_0_0(Escaping::Dots) => "text/plain; version=1.0.0; charset=utf-8; escaping=dots",
            Self::Text1_0_0(Escaping::Values) => "text/plain; version=1.0.0; charset=utf-8; escaping=values",
            Self::OpenMetrics0_0_1 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Self::OpenMetrics1_0_0(Escaping::Underscores) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            Self::OpenMetrics1_0_0(Escaping::AllowUtf8) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
            Self::OpenMetrics1_0_0(Escaping::Dots) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots"
            }
            Self::OpenMetrics1_0_0(Escaping::Values) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values"
            }
        }
    }

    /// The older versions know no other names than the classic ones.
    pub(super) fn escaping(self) -> Escaping {
        match self {
            Self::Text1_0_0(escaping) | Self::OpenMetrics1_0_0(escaping) => escaping,
            Self::Text0_0_4 | Self::OpenMetrics0_0_1 => Escaping::Underscores,
        }
    }

    fn from_media_range(range: &str) -> Option<(f32, Self)> {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let (mut weight, mut version, mut escaping) = (1.0, None, "underscores");
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("q") => weight = value.parse().ok()?,
                name if name.eq_ignore_ascii_case("version") => version = Some(value),
                name if name.eq_ignore_ascii_case("escaping") => escaping = value,
                _ => {}
            }
        }
        // also false for NaN
        if !(weight > 0.0 && weight <= 1.0) {
            return None;
        }
        Some((weight, Self::from_parts(&media.to_ascii_lowercase(), version, escaping)?))
    }

    fn from_parts(media: &str, version: Option<&str>, escaping: &str) -> Option<Self> {
        let escaping = match escaping {
            scheme if scheme.eq_ignore_ascii_case("underscores") => Some(Escaping::Underscores),
            scheme if scheme.eq_ignore_ascii_case("allow-utf-8") => Some(Escaping::AllowUtf8),
            scheme if scheme.eq_ignore_ascii_case("dots") => Some(Escaping::Dots),
            scheme if scheme.eq_ignore_ascii_case("values") => Some(Escaping::Values),
            _ => None,
        };
        match (media, version) {
            ("application/openmetrics-text", Some("1.0.0") | None) => escaping.map(Self::OpenMetrics1_0_0),
            ("application/openmetrics-text", Some("0.0.1")) => Some(Self::OpenMetrics0_0_1),
            ("text/plain", Some("1.0.0")) => escaping.map(Self::Text1_0_0),
            ("text/plain", Some("0.0.4") | None) | ("text/*" | "*/*", _) => Some(Self::Text0_0_4),
            _ => None,
        }
    }
}
