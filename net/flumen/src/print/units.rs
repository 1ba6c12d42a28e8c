//! Numbers as people read them: counts with commas, bytes, spans and times. Pure.

use flumen_model::UnixMillis;
use std::time::Duration;

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 line`, `2 lines`
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

const SIZES: [(&str, f64); 5] = [
    ("KiB", 1024.0),
    ("MiB", 1048576.0),
    ("GiB", 1073741824.0),
    ("TiB", 1099511627776.0),
    ("PiB", 1125899906842624.0),
];

/// `512 B`, `1.5 KiB`, `20.0 MiB`
pub(crate) fn bytes(number: u64) -> String {
    let number_f = number as f64;
    // A value that would round to 1024.0 of a unit is 1.0 of the next.
    let unit = SIZES.iter().rev().find(|(_, factor)| number_f >= factor * 0.99995);
    match unit {
        Some((unit, factor)) => format!("{:.1} {unit}", number_f / factor),
        None => format!("{number} B"),
    }
}

/// `85 µs`, `1.24 ms`, `3.50 s`, `2 min 5 s`, `3 h 7 min`, `2 d 5 h`
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 if span.as_micros() < 1_000 => format!("{} µs", span.as_micros()),
        0 => format!("{:.2} ms", span.as_secs_f64() * 1e3),
        1..60 => format!("{:.2} s", span.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `2026-03-01T12:00:00.25Z`, or the bare milliseconds when they are no time of a calendar.
pub(crate) fn time(time: UnixMillis) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => time.0.to_string(),
    }
}

/// How many of something happen in a second; 0 when no time went by.
pub(crate) fn per_second(number: u64, took: Duration) -> u64 {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 { (number as f64 / seconds) as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_a_comma_at_every_thousand() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123456, "123,456"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!((counted(1, "line").as_str(), counted(0, "line").as_str()), ("1 line", "0 lines"));
    }

    #[test]
    fn bytes_never_show_a_thousand_of_a_unit() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1048575, "1.0 MiB"),
            (20 << 20, "20.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn spans_are_short_whatever_their_length() {
        for (micros, text) in [
            (0, "0 µs"),
            (85, "85 µs"),
            (1_240, "1.24 ms"),
            (3_500_000, "3.50 s"),
            (125_000_000, "2 min 5 s"),
            (11_220_000_000, "3 h 7 min"),
            (190_800_000_000, "2 d 5 h"),
        ] {
            assert_eq!(span(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(UnixMillis(1_772_366_400_250)), "2026-03-01T12:00:00.25Z");
        assert_eq!(time(UnixMillis(i64::MAX)), i64::MAX.to_string());
    }

    #[test]
    fn no_time_is_no_rate() {
        assert_eq!(per_second(5, Duration::ZERO), 0);
        assert_eq!(per_second(5, Duration::from_millis(500)), 10);
    }
}
