//! RFC 3339 text of a `SystemTime`: UTC, microseconds, no dependency.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first second RFC 3339 cannot write: 10000-01-01T00:00:00Z.
const END: i64 = 253_402_300_800;
/// The first second it can: 0000-01-01T00:00:00Z.
const START: i64 = -62_167_219_200;

/// Appends `YYYY-MM-DDTHH:MM:SS.ffffffZ` to `out`, always 27 bytes.
///
/// Fractions of a microsecond are cut towards the past, also before 1970. A time outside the years 0 to 9999 is
/// written as the nearest one inside.
pub(crate) fn rfc3339_micros(time: SystemTime, out: &mut String) {
    let (seconds, micros) = split(time);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400);
    digits(out, year, 4);
    out.push('-');
    digits(out, month, 2);
    out.push('-');
    digits(out, day, 2);
    out.push('T');
    digits(out, second_of_day / 3600, 2);
    out.push(':');
    digits(out, second_of_day / 60 % 60, 2);
    out.push(':');
    digits(out, second_of_day % 60, 2);
    out.push('.');
    digits(out, micros, 6);
    out.push('Z');
}

/// Whole seconds since 1970 (rounded down) and the microseconds above them, within the years 0 to 9999.
fn split(time: SystemTime) -> (i64, i64) {
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), i64::from(after.subsec_nanos())),
        Err(error) => before_epoch(error.duration()),
    };
    if seconds >= END {
        (END - 1, 999_999)
    } else if seconds < START {
        (START, 0)
    } else {
        (seconds, nanos / 1000)
    }
}

fn before_epoch(before: Duration) -> (i64, i64) {
    let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
    match i64::from(before.subsec_nanos()) {
        0 => (seconds, 0),
        nanos => (seconds.saturating_sub(1), 1_000_000_000 - nanos),
    }
}

/// Days since 1970-01-01 as year, month, day of the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras have 400 of them).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `value` (never negative here) with leading zeros.
fn digits(out: &mut String, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(time: SystemTime) -> String {
        let mut out = String::new();
        rfc3339_micros(time, &mut out);
        out
    }

    #[test]
    fn known_dates() {
        // the seconds are `date -u -d … +%s`
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 999_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, 1_000, "2000-03-01T00:00:00.000001Z"),
            (1_234_567_890, 123_456_789, "2009-02-13T23:31:30.123456Z"),
            (1_709_164_800, 0, "2024-02-29T00:00:00.000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
            (4_107_456_000, 0, "2100-02-28T00:00:00.000000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000000Z"),
            (253_402_300_800, 0, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text(UNIX_EPOCH + Duration::new(seconds, nanos)), expected);
        }
    }

    #[test]
    fn before_1970() {
        for (seconds, nanos, expected) in [
            (0, 1_000, "1969-12-31T23:59:59.999999Z"),
            (0, 1, "1969-12-31T23:59:59.999999Z"),
            (1, 0, "1969-12-31T23:59:59.000000Z"),
            (2_203_891_200, 0, "1900-03-01T00:00:00.000000Z"),
            (2_203_977_600, 0, "1900-02-28T00:00:00.000000Z"),
            (62_167_219_200, 0, "0000-01-01T00:00:00.000000Z"),
            (62_167_219_200, 1, "0000-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(text(UNIX_EPOCH - Duration::new(seconds, nanos)), expected);
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil_from_days(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2370, 1, 1));
    }
}
