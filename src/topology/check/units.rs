//! Spans of time as written: a whole number and its unit.

use std::time::Duration;

/// `100ms`, `5s`, `1m`, `2h`, `1d`. None: not that, or longer than ten years.
pub fn span(text: &str) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(3650 * 86_400);
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let span = Duration::from_millis(number.checked_mul(unit_ms)?);
    (span <= LONGEST).then_some(span)
}

/// The shortest way to write a span.
pub fn print(span: Duration) -> String {
    let ms = span.as_millis();
    for (unit_ms, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if ms >= unit_ms && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_needs_its_unit() {
        assert_eq!(span("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(span("2h"), Some(Duration::from_secs(7200)));
        for wrong in [
            "",
            "5",
            "s",
            "1.5s",
            "-1s",
            "5 s",
            "5S",
            "99999999999999999999s",
            "9999999d",
        ] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
        assert_eq!(print(Duration::from_secs(90)), "90s");
        assert_eq!(print(Duration::from_secs(3600)), "1h");
    }
}
