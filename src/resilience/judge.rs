//! What a result means: for the breaker, and for whether to try again.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Method, Response, StatusCode, header};

/// What a result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The target is well; also when it rightly refused.
    Good,
    /// A failure that may pass.
    Retry,
    /// A failure that may pass, but not before this time.
    RetryAfter(Duration),
    /// A failure that the next attempt would repeat, or that must not be tried twice.
    Fail,
}

/// Says what a result means. Implemented for closures `Fn(&E) -> Verdict`, for which every `Ok` is good.
pub trait Judge<T, E> {
    /// What it means.
    fn verdict(&self, result: &Result<T, E>) -> Verdict;

    /// What a log shall say about a result that is not good.
    ///
    /// # Errors
    ///
    /// Those of the formatter.
    fn describe(&self, result: Result<&T, &E>, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// What an attempt without an answer in its time means.
    fn timed_out(&self) -> Verdict {
        Verdict::Retry
    }
}

impl<T, E, F> Judge<T, E> for F
where
    F: Fn(&E) -> Verdict,
    E: fmt::Display,
{
    fn verdict(&self, result: &Result<T, E>) -> Verdict {
        result.as_ref().map_or_else(self, |_| Verdict::Good)
    }

    fn describe(&self, result: Result<&T, &E>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match result {
            Ok(_) => f.write_str("success"),
            Err(error) => error.fmt(f),
        }
    }
}

/// Judges HTTP answers.
///
/// Tried again are errors and 5xx (but 501 and 505), 408 and 429, of requests that are idempotent by their method (RFC
/// 9110 section 9.2.2) or carry an `Idempotency-Key`. Other 4xx are good answers: the target is well. `Retry-After` is
/// honoured, as seconds and as a date, up to [the limit](super::Retry::with_delays).
#[derive(Debug, Clone, Copy)]
pub struct HttpJudge {
    repeatable: bool,
}

impl HttpJudge {
    /// The judge of answers to this request.
    pub fn of<B>(request: &http::Request<B>) -> Self {
        Self::for_request(request.method(), request.headers())
    }

    /// The judge of answers to a request of this method with these headers.
    #[must_use]
    pub fn for_request(method: &Method, headers: &HeaderMap) -> Self {
        let idempotent =
            [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE]
                .contains(method)
                || method.as_str() == "QUERY";
        Self { repeatable: idempotent || headers.contains_key("idempotency-key") }
    }

    /// The same for a request that cannot be sent again.
    #[must_use]
    pub fn once(self) -> Self {
        Self { repeatable: false }
    }

    /// What an answer with this code and these headers means.
    #[must_use]
    pub fn answer(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        self.as_allowed(match status {
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => Verdict::Fail,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => after(headers),
            status if status.is_server_error() => after(headers),
            _ => Verdict::Good,
        })
    }

    /// A verdict as far as the request may be repeated.
    #[must_use]
    pub fn as_allowed(&self, verdict: Verdict) -> Verdict {
        if self.repeatable || verdict == Verdict::Good { verdict } else { Verdict::Fail }
    }
}

impl<B, E: fmt::Display> Judge<Response<B>, E> for HttpJudge {
    fn verdict(&self, result: &Result<Response<B>, E>) -> Verdict {
        match result {
            Err(_) => self.as_allowed(Verdict::Retry),
            Ok(response) => self.answer(response.status(), response.headers()),
        }
    }

    fn timed_out(&self) -> Verdict {
        self.as_allowed(Verdict::Retry)
    }

    fn describe(&self, result: Result<&Response<B>, &E>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match result {
            Ok(response) => write!(f, "the answer was {}", response.status()),
            Err(error) => error.fmt(f),
        }
    }
}

fn after(headers: &HeaderMap) -> Verdict {
    retry_after(headers, SystemTime::now()).map_or(Verdict::Retry, Verdict::RetryAfter)
}

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(http_date(text)?.duration_since(now).unwrap_or_default())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that may be sent today (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split([' ', ':']);
    let day: u64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock = [0_u64; 3];
    for (part, below) in clock.iter_mut().zip([24, 60, 61]) {
        *part = parts.next()?.parse().ok().filter(|part| *part < below)?;
    }
    // days since 1970-03-01's calendar, which begins in March so that the leap day comes last
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    let seconds = days.checked_sub(719_468)? * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2];
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(request: http::request::Builder, status: u16, after: Option<&str>) -> Verdict {
        let mut response = Response::builder().status(status);
        if let Some(after) = after {
            response = response.header("retry-after", after);
        }
        HttpJudge::of(&request.body(()).unwrap()).verdict(&Ok::<_, String>(response.body(()).unwrap()))
    }

    #[test]
    fn only_what_may_pass_and_may_be_repeated_is_tried_again() {
        let get = || http::Request::get("/");
        for status in [200, 302, 400, 404, 409] {
            assert_eq!(verdict(get(), status, None), Verdict::Good);
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(verdict(get(), status, None), Verdict::Retry);
        }
        assert_eq!(verdict(get(), 501, None), Verdict::Fail);
        let post = || http::Request::post("/");
        assert_eq!(verdict(post(), 503, None), Verdict::Fail);
        assert_eq!(verdict(post(), 404, None), Verdict::Good);
        assert_eq!(verdict(post().header("Idempotency-Key", "1"), 503, None), Verdict::Retry);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = verdict(http::Request::get("/"), 503, Some("7"));
        assert_eq!(seconds, Verdict::RetryAfter(Duration::from_secs(7)));
        assert_eq!(verdict(http::Request::get("/"), 503, Some("soon")), Verdict::Retry);
        let at = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
        assert_eq!(
            http_date("Thu, 29 Feb 2024 00:00:00 GMT").unwrap(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_164_800)
        );
        assert_eq!(http_date("yesterday"), None);
    }
}
