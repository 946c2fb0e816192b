//! Whether a call may be repeated, and after what pause.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use uuid::Uuid;

/// A provider that asks for a longer pause is not waited for: the error with
/// its `Retry-After` serves the caller better than a longer silence.
const MAX_PAUSE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The pause after which a refused call makes sense again, if it does. 529 is
/// Anthropic's "overloaded"; the rest of the 5xx will refuse again.
pub(super) fn after(status: u16, asked: Option<Duration>, n_retries: u32) -> Option<Duration> {
    if !matches!(status, 408 | 409 | 429 | 500 | 502 | 503 | 504 | 529) {
        return None;
    }
    match asked {
        // A little longer: what the provider tells many it tells alike.
        Some(asked) => (asked <= MAX_PAUSE).then(|| asked.mul_f64(1.0 + random() / 5.0)),
        None => Some(jittered(n_retries)),
    }
}

/// 100 to 200 ms, twice that before the second retry: callers who failed
/// together do not return together.
pub(super) fn jittered(n_retries: u32) -> Duration {
    let longest = FIRST_PAUSE * 2_u32.saturating_pow(n_retries);
    longest.mul_f64(1.0 - random() / 2.0)
}

/// From 0 up to 1.
pub(super) fn random() -> f64 {
    let [random, ..] = *Uuid::new_v4().as_bytes();
    f64::from(random) / 256.0
}

/// The pause in `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
pub(super) fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let asked = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(asked).ok()?;
    // A date that has passed asks for no pause.
    Some((date.with_timezone(&Utc) - Utc::now()).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_only_what_may_pass_is_tried_again_and_no_long_pause_is_waited_for() {
        let seconds = |n| Some(Duration::from_secs(n));
        for _ in 0..100 {
            let pause = after(429, seconds(10), 0).unwrap();
            assert!((10.0..12.0).contains(&pause.as_secs_f64()), "{pause:?}");
        }
        assert_eq!(after(429, seconds(11), 0), None);
        assert_eq!(after(503, seconds(0), 0), seconds(0));
        for status in [400, 401, 404, 413, 501, 505] {
            assert_eq!(after(status, None, 0), None, "{status}");
        }
        for status in [408, 409, 429, 500, 502, 503, 504, 529] {
            assert!(after(status, None, 0).is_some(), "{status}");
        }
    }

    #[test]
    fn p8_the_pause_doubles_and_is_shortened_by_half_at_most() {
        for _ in 0..100 {
            assert!((100..=200).contains(&jittered(0).as_millis()));
            assert!((200..=400).contains(&jittered(1).as_millis()));
        }
    }

    #[test]
    fn a_pause_is_read_as_seconds_and_as_a_date() {
        let read = |value: &str| {
            asked_for(&HeaderMap::from_iter([(
                reqwest::header::RETRY_AFTER,
                value.parse().unwrap(),
            )]))
        };
        assert_eq!(read(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(read("Sat, 21 Oct 2215 07:28:00 GMT") > Some(MAX_PAUSE));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }
}
