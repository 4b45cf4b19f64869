//! The caller's span, as W3C Trace Context (Level 2, sections 3.2 and 3.3) has it in headers: read for propagators, and,
//! where nothing else was sent, for a request's own span without a context in between.

use std::{str::FromStr as _, sync::LazyLock};

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceState},
};

pub(crate) const PARENT: &str = "traceparent";
pub(crate) const STATE: &str = "tracestate";
pub(crate) const BAGGAGE: &str = "baggage";

/// Sampled, and a random trace id.
pub(crate) const FLAGS: TraceFlags = TraceFlags::new(0x03);
/// Characters of `traceparent` in version 00.
const PARENT_LENGTH: usize = 55;
/// Members of `tracestate`.
const MAX_MEMBERS: usize = 32;
/// Characters of `tracestate`, commas included.
const MAX_STATE: usize = 512;
/// Members longer than this go first.
const LONG_MEMBER: usize = 128;

/// The fields of the propagator for which [`Sent`] stands: it is known by having these, and not a copy of them.
pub(crate) static FIELDS: LazyLock<[String; 3]> =
    LazyLock::new(|| [PARENT, STATE, BAGGAGE].map(str::to_owned));

/// What of a request's headers is asked for with every request, found in one pass: a header is looked at faster than a
/// name is looked up.
#[derive(Debug, Default)]
pub(crate) struct Sent<'a> {
    parent: Option<&'a HeaderValue>,
    /// There are two of them.
    ambiguous: bool,
    state: bool,
    baggage: bool,
    pub(crate) host: Option<&'a HeaderValue>,
    pub(crate) user_agent: Option<&'a HeaderValue>,
    pub(crate) content_length: Option<&'a HeaderValue>,
}

impl<'a> Sent<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut sent = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            match name.len() {
                4 if name == "host" && sent.host.is_none() => sent.host = Some(value),
                7 if name == BAGGAGE => sent.baggage = true,
                10 if name == STATE => sent.state = true,
                10 if name == "user-agent" && sent.user_agent.is_none() => sent.user_agent = Some(value),
                11 if name == PARENT => sent.ambiguous = sent.parent.replace(value).is_some(),
                14 if name == "content-length" && sent.content_length.is_none() => {
                    sent.content_length = Some(value);
                }
                _ => {}
            }
        }
        sent
    }

    /// Whether a propagator has more to find than the parent.
    pub(crate) fn has_baggage(&self) -> bool {
        self.baggage
    }

    /// The caller's span.
    pub(crate) fn parent(&self, headers: &HeaderMap) -> Option<SpanContext> {
        let parent = self.parent?.to_str().ok()?;
        if self.ambiguous {
            return None;
        }
        if !self.state {
            return parent_of(parent, &[]);
        }
        let states: Vec<&str> =
            headers.get_all(STATE).iter().filter_map(|state| state.to_str().ok()).collect();
        parent_of(parent, &states)
    }
}

/// The span of a `traceparent` and its `tracestate` headers; `None` where the former is not exactly what it should be.
pub(crate) fn parent_of(parent: &str, states: &[&str]) -> Option<SpanContext> {
    let (trace_id, span_id, flags) = parsed(parent.trim_matches([' ', '\t']))?;
    let state = if states.is_empty() { None } else { bounded(states) };
    let state = state.and_then(|state| TraceState::from_str(&state).ok()).unwrap_or(TraceState::NONE);
    let context = SpanContext::new(trace_id, span_id, flags, true, state);
    context.is_valid().then_some(context)
}

/// `{version}-{trace id}-{parent id}-{flags}`; later versions may go on after another dash.
fn parsed(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let bytes = text.as_bytes();
    if bytes.len() < PARENT_LENGTH || !text.is_ascii() {
        return None;
    }
    let dashes = [2, 35, 52].iter().all(|at| bytes[*at] == b'-');
    let [version] = hex(&bytes[..2])?;
    let ends = match version {
        0 => bytes.len() == PARENT_LENGTH,
        0xff => false,
        _ => bytes.get(PARENT_LENGTH).is_none_or(|byte| *byte == b'-'),
    };
    if !dashes || !ends {
        return None;
    }
    let trace_id = TraceId::from_bytes(hex(&bytes[3..35])?);
    let span_id = SpanId::from_bytes(hex(&bytes[36..52])?);
    let [flags] = hex(&bytes[53..55])?;
    // flags of other meanings are not ours to pass on
    Some((trace_id, span_id, TraceFlags::new(flags) & FLAGS))
}

/// The value of each digit; what is none has more than four bits.
static DIGITS: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// Two lower-case digits for each byte, without a branch for each.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (mut bytes, mut all) = ([0; N], 0);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| DIGITS[usize::from(digit)]);
        all |= high | low;
        *byte = high << 4 | low & 15;
    }
    (all < 16).then_some(bytes)
}

/// The members of all headers of the name, as one text within the limits; `None` = none.
pub(crate) fn bounded(headers: &[&str]) -> Option<String> {
    let members = headers.iter().flat_map(|header| header.split(','));
    let members = members.map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty());
    let mut kept: Vec<&str> = members.take(MAX_MEMBERS).collect();
    let mut length = kept.iter().map(|member| member.len() + 1).sum::<usize>().checked_sub(1)?;
    while length > MAX_STATE {
        let long = kept.iter().rposition(|member| member.len() > LONG_MEMBER);
        let removed = kept.remove(long.unwrap_or(kept.len() - 1));
        length = length.saturating_sub(removed.len() + 1);
    }
    let fits = |member: &&str| member.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (!kept.is_empty() && kept.iter().all(fits)).then(|| kept.join(","))
}
