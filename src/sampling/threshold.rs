//! Consistent shares: a trace's randomness against a threshold, and both in `tracestate` (specification,
//! trace/tracestate-probability-sampling.md and trace/tracestate-handling.md).

use std::fmt;

use opentelemetry::{TraceId, trace::TraceState};

/// The member of `tracestate` that is OpenTelemetry's.
const MEMBER: &str = "ot";
const THRESHOLD: &str = "th";
const RANDOMNESS: &str = "rv";

/// Characters of the member's value at most.
const MAX_VALUE: usize = 256;
/// Hexadecimal digits of a randomness, and of a threshold at most.
const DIGITS: usize = 14;
/// Significant digits of a threshold that is made of a share.
const PRECISION: i32 = 4;
/// One more than the highest randomness.
const ALL: u64 = 1 << 56;

/// What a trace's randomness must not be below for the trace to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Threshold(u64);

impl Threshold {
    /// Keeps this share; `None` = none.
    pub(crate) fn of_share(share: f64) -> Option<Self> {
        let least = 1.0 / ALL as f64;
        if share.is_nan() || share < least {
            return None;
        }
        if share >= 1.0 {
            return Some(Self(0));
        }
        let exact = ALL - (share * ALL as f64).round() as u64;
        // a share near 0 has leading digits `f`, one near 1 leading zeros, that are no significant ones
        let leading = |share: f64| -(share.log2().floor() as i32 + 1) / 4;
        let digits = (PRECISION + leading(share).max(leading(1.0 - share))).clamp(1, DIGITS as i32);
        let dropped = 4 * (DIGITS as i32 - digits);
        let half = if dropped > 0 { 1_u64 << (dropped - 1) } else { 0 };
        Some(Self((exact + half) >> dropped << dropped))
    }

    /// Whether a trace is kept.
    pub(crate) fn keeps(self, randomness: u64) -> bool {
        randomness >= self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = (1..=DIGITS).contains(&text.len());
        let value = hex(text).filter(|_| digits)?;
        Some(Self(value << (4 * (DIGITS - text.len()))))
    }
}

/// Without trailing zeros, but for one.
impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:014x}", self.0);
        match digits.trim_end_matches('0') {
            "" => f.write_str("0"),
            digits => f.write_str(digits),
        }
    }
}

/// Lower-case digits only.
fn hex(text: &str) -> Option<u64> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| lower)
}

/// What decides about a trace, whoever asks: `rv`, else the last 56 bits of its id; and whether it was `rv`.
pub(crate) fn randomness(trace_id: TraceId, state: &TraceState) -> (u64, bool) {
    let explicit = sub_key(state, RANDOMNESS).filter(|text| text.len() == DIGITS).and_then(hex);
    let [.., a, b, c, d, e, f, g] = trace_id.to_bytes();
    let of_id = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    (explicit.unwrap_or(of_id), explicit.is_some())
}

/// The threshold of whoever has decided so far, if it was one.
pub(crate) fn threshold(state: &TraceState) -> Option<Threshold> {
    sub_key(state, THRESHOLD).and_then(Threshold::parse)
}

/// Whether a trace that is kept could be, by the threshold that it says it was kept by.
pub(crate) fn is_consistent(trace_id: TraceId, state: &TraceState) -> bool {
    sub_key(state, THRESHOLD).is_none()
        || threshold(state).is_some_and(|threshold| threshold.keeps(randomness(trace_id, state).0))
}

fn sub_key<'a>(state: &'a TraceState, key: &str) -> Option<&'a str> {
    let members = state.get(MEMBER)?.split(';').filter_map(|member| member.split_once(':'));
    members.into_iter().find(|(known, _)| *known == key).map(|(_, value)| value)
}

/// The state with this threshold in the place of any other; what else there is stays.
pub(crate) fn with_threshold(state: &TraceState, threshold: Option<Threshold>) -> TraceState {
    let value = state.get(MEMBER);
    if threshold.is_none() && sub_key(state, THRESHOLD).is_none() {
        return state.clone();
    }
    let is_other = |member: &&str| !member.is_empty() && member.split(':').next() != Some(THRESHOLD);
    let others: Vec<&str> = value.unwrap_or_default().split(';').filter(is_other).collect();
    let threshold = threshold.map(|threshold| format!("{THRESHOLD}:{threshold}"));
    let mut members: Vec<&str> = threshold.as_deref().into_iter().chain(others.iter().copied()).collect();
    if members.iter().map(|member| member.len() + 1).sum::<usize>() > MAX_VALUE + 1 {
        // there is no room, and what was said before is no longer true
        members = others;
    }
    let changed = match members.as_slice() {
        [] => state.delete(MEMBER),
        members => state.insert(MEMBER, members.join(";")),
    };
    changed.unwrap_or_else(|_| state.clone())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn state(header: &str) -> TraceState {
        TraceState::from_str(header).unwrap()
    }

    fn share(share: f64) -> String {
        Threshold::of_share(share).map_or("none".to_owned(), |threshold| threshold.to_string())
    }

    /// The specification's table for a precision of four digits.
    #[test]
    fn thresholds_are_the_specifications() {
        for (one_in, expected) in [
            (1, "0"),
            (2, "8"),
            (3, "aaab"),
            (4, "c"),
            (5, "cccd"),
            (8, "e"),
            (10, "e666"),
            (16, "f"),
            (100, "fd70a"),
            (1_000, "ffbe77"),
            (10_000, "fff9724"),
            (100_000, "ffff583a"),
            (1_000_000, "ffffef39"),
        ] {
            assert_eq!(share(1.0 / f64::from(one_in)), expected, "1 in {one_in}");
        }
        assert_eq!((share(0.0), share(f64::NAN), share(-1.0)), ("none".into(), "none".into(), "none".into()));
        assert_eq!((share(2.0), share(0.75)), ("0".into(), "4".into()));
        assert_eq!(share(1.0 / ALL as f64), "ffffffffffffff");
        assert_eq!(share(0.9999), "00068dc", "leading zeros are no digits, as a Collector has it");
    }

    #[test]
    fn a_share_keeps_what_every_smaller_share_keeps() {
        let shares =
            [0.0001, 0.01, 0.1, 0.25, 0.5, 0.75, 1.0].map(|share| Threshold::of_share(share).unwrap());
        // one randomness in each of 10 000 equal parts
        let kept = shares.map(|threshold| {
            (0..10_000_u64)
                .filter(|part| threshold.keeps(part * (ALL / 10_000) + ALL / 20_000))
                .collect::<Vec<_>>()
        });
        assert_eq!(kept.each_ref().map(Vec::len), [1, 100, 1000, 2500, 5000, 7500, 10_000]);
        for pair in kept.windows(2) {
            assert!(pair[0].iter().all(|part| pair[1].contains(part)));
        }
    }

    #[test]
    fn randomness_is_rv_or_the_last_seven_bytes_of_the_id() {
        let id = TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(randomness(id, &TraceState::NONE), (0x00ce_929d_0e0e_4736, false));
        assert_eq!(randomness(id, &state("ot=th:c;rv:6e6d1a75832a2f")), (0x006e_6d1a_7583_2a2f, true));
        for bad in ["ot=rv:6e6d1a75832a2", "ot=rv:6E6D1A75832A2F", "ot=rv", "x=rv:6e6d1a75832a2f"] {
            assert_eq!(randomness(id, &state(bad)), (0x00ce_929d_0e0e_4736, false), "{bad}");
        }
    }

    #[test]
    fn a_threshold_takes_the_place_of_the_one_before() {
        let with =
            |header: &str, share: f64| with_threshold(&state(header), Threshold::of_share(share)).header();
        assert_eq!(with("", 0.25), "ot=th:c");
        assert_eq!(
            with("a=1,ot=rv:6e6d1a75832a2f;th:8;x:y,b=2", 0.25),
            "ot=th:c;rv:6e6d1a75832a2f;x:y,a=1,b=2"
        );
        assert_eq!(with("a=1,ot=th:8", 0.0), "a=1");
        assert_eq!(with("a=1,ot=x:y", 0.0), "a=1,ot=x:y");
        let long = format!("ot=th:8;x:{}", "y".repeat(248));
        assert_eq!(with(&long, 0.1), long.replace("th:8;", ""), "no room");
        let id = TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert!(is_consistent(id, &state("ot=th:ce929")) && is_consistent(id, &TraceState::NONE));
        assert!(!is_consistent(id, &state("ot=th:ce93")) && !is_consistent(id, &state("ot=th:X")));
    }
}
