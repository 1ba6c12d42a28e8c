//! Numbers for people: three digits and a unit. It must never be used where a program reads.

use crate::measure::{Claim, Sense};

/// A latency: `98.4 µs`, `1.95 ms`, `3.5 s`; a dash for none.
pub(crate) fn latency(us: f64) -> String {
    match us {
        us if us <= 0.0 => "–".to_owned(),
        us if us < 1_000.0 => format!("{} µs", digits(us)),
        us if us < 1_000_000.0 => format!("{} ms", digits(us / 1_000.0)),
        us => format!("{} s", digits(us / 1_000_000.0)),
    }
}

/// A count a second: `10.1 k`, `1.52 M`; a dash for none.
pub(crate) fn rate(per_s: f64) -> String {
    match per_s {
        n if n <= 0.0 => "–".to_owned(),
        n if n < 1_000.0 => digits(n),
        n if n < 1_000_000.0 => format!("{} k", digits(n / 1_000.0)),
        n => format!("{} M", digits(n / 1_000_000.0)),
    }
}

/// Bytes: `2.48 MB`, `3.1 GB`, in powers of ten as networks and disks count; a dash for none.
pub(crate) fn bytes(n: f64) -> String {
    match n {
        n if n <= 0.0 => "–".to_owned(),
        n if n < 1_000.0 => format!("{n:.0} B"),
        n if n < 1e6 => format!("{} kB", digits(n / 1e3)),
        n if n < 1e9 => format!("{} MB", digits(n / 1e6)),
        n => format!("{} GB", digits(n / 1e9)),
    }
}

/// A share of one: `12 %`.
pub(crate) fn share(of_one: f64) -> String {
    format!("{:.0} %", of_one * 100.0)
}

/// A multiple: `1.08`; a dash for none.
pub(crate) fn multiple(n: f64) -> String {
    if n <= 0.0 { "–".to_owned() } else { digits(n) }
}

/// A count with its noun: `1 round`, `9 rounds`.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A claim's value: a multiple, or something large in its own unit.
pub(crate) fn value(n: f64) -> String {
    if n >= 10_000.0 { rate(n) } else { digits(n) }
}

/// A claim's limit as a sign and a value: `≤ 1.20`.
pub(crate) fn limit(claim: &Claim) -> String {
    let sign = match claim.sense {
        Sense::AtMost => '≤',
        Sense::AtLeast => '≥',
    };
    format!("{sign} {}", value(claim.limit))
}

/// Three digits, more only in front of the point.
pub(crate) fn digits(n: f64) -> String {
    match n.abs() {
        a if a >= 99.95 => format!("{n:.0}"),
        a if a >= 9.995 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_at_every_size() {
        assert_eq!(latency(98.43), "98.4 µs");
        assert_eq!(latency(1_953.0), "1.95 ms");
        assert_eq!(latency(3_500_000.0), "3.50 s");
        assert_eq!(latency(0.0), "–");
        assert_eq!(rate(10_123.0), "10.1 k");
        assert_eq!(rate(1_520_000.0), "1.52 M");
        assert_eq!(bytes(2_480_000.0), "2.48 MB");
        assert_eq!(bytes(256.0), "256 B");
        assert_eq!(multiple(99.99), "100");
    }
}
