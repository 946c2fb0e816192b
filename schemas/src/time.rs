//! Instants as Flowise prints them: ISO 8601, UTC, milliseconds, `Z`.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-11-23T07:57:02.037Z"))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The system's clock, now. Order of turns never depends on it.
    pub fn now() -> Self {
        Self(Utc::now().timestamp_millis())
    }

    /// From milliseconds since the epoch.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Reads a date as people and programs write it: ISO 8601 with or without a
    /// time and a zone (UTC where none is given), the forms in which JavaScript
    /// prints its dates, and an American or English day with or without a time.
    /// A zone whose `+` became a blank in an unescaped URL is read as it was
    /// meant. A bare number is no date: nobody can tell seconds, milliseconds
    /// and years apart.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let instant = zoned(text).or_else(|| local(text)).or_else(|| day(text))?;
        Some(Self(instant.timestamp_millis()))
    }

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// This much later; the ends of time are not passed.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// From a date as Flowise writes it in `api.json`: `23-Nov-26`, its first
    /// moment in UTC.
    pub fn from_short_date(text: &str) -> Option<Self> {
        let date = chrono::NaiveDate::parse_from_str(text, "%d-%b-%y").ok()?;
        Some(Self(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()))
    }
}

/// A date with its zone.
fn zoned(text: &str) -> Option<DateTime<Utc>> {
    // JavaScript names the zone once more, in words.
    let text = text.split_once(" (").map_or(text, |(instant, _)| instant);
    let text = match text.rsplit_once(' ') {
        Some((instant, zone)) if is_offset(zone) && instant.contains(['T', ':']) => {
            format!("{instant}+{zone}")
        }
        _ => text.replace("GMT ", "GMT+"),
    };
    let iso = DateTime::parse_from_rfc3339(&text).or_else(|_| DateTime::parse_from_rfc2822(&text));
    let formats = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%a %b %d %Y %H:%M:%S GMT%z"];
    let other = || formats.iter().find_map(|form| DateTime::parse_from_str(&text, form).ok());
    iso.ok().or_else(other).map(|instant| instant.to_utc())
}

/// `02:00` or `0200`, what is left of `+02:00` when its sign is gone.
fn is_offset(zone: &str) -> bool {
    let n_digits = zone.bytes().filter(u8::is_ascii_digit).count();
    n_digits == 4 && (zone.len() == 4 || (zone.len() == 5 && zone.as_bytes()[2] == b':'))
}

/// A date with a time and no zone.
fn local(text: &str) -> Option<DateTime<Utc>> {
    // What JavaScript writes before AM and PM is a narrow space.
    let text = text.replace('\u{202f}', " ");
    let days = ["%Y-%m-%dT", "%Y-%m-%d ", "%Y/%m/%d ", "%m/%d/%Y ", "%m/%d/%Y, "];
    let times = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p"];
    let forms = days.iter().flat_map(|day| times.iter().map(move |time| format!("{day}{time}")));
    let mut read = forms.filter_map(|form| NaiveDateTime::parse_from_str(&text, &form).ok());
    Some(read.next()?.and_utc())
}

/// The first moment of a day.
fn day(text: &str) -> Option<DateTime<Utc>> {
    let forms = ["%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%B %d, %Y", "%d %B %Y", "%a %b %d %Y"];
    let day = forms.iter().find_map(|form| NaiveDate::parse_from_str(text, form).ok())?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = DateTime::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&instant.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text)
            .map(|instant| Self(instant.timestamp_millis()))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_people_write_it() {
        let day = "2026-11-23T00:00:00.000Z";
        for (text, expected) in [
            ("2026-11-23", day),
            ("11/23/2026", day),
            ("2026-11-23T00:00", day),
            ("2026-11-23T00:00:00", day),
            ("2026-11-23 00:00:00", day),
            ("2026-11-23T00:00:00.000Z", day),
            ("2026-11-23T02:00:00+02:00", day),
            ("2026-11-23T02:00:00 02:00", day),
            ("2026-11-23 02:00:00 02:00", day),
            ("2026-11-23 00:00", day),
            ("2026-11-23T00:00Z", day),
            ("2026-11-23T02:00:00+0200", day),
            ("2026-11-23T02:00+02:00", day),
            ("2026-11-23 02:00:00.000+02:00", day),
            ("Mon, 23 Nov 2026 00:00:00 GMT", day),
            ("Mon Nov 23 2026 02:00:00 GMT+0200 (Central European Standard Time)", day),
            ("Mon Nov 23 2026 02:00:00 GMT 0200 (Central European Standard Time)", day),
            ("Mon Nov 23 2026", day),
            ("Thu Nov 26 2026", "2026-11-26T00:00:00.000Z"),
            ("11/23/2026 00:00", day),
            ("11/23/2026, 12:00:00 AM", day),
            ("11/23/2026, 12:00:00\u{202f}AM", day),
            ("2026/11/23", day),
            ("2026/11/23 00:00:00", day),
            ("Nov 23, 2026", day),
            ("November 23, 2026", day),
            ("23 Nov 2026", day),
            ("1/2/2026", "2026-01-02T00:00:00.000Z"),
            ("2026-11-22T22:30:00.5-01:30", "2026-11-23T00:00:00.500Z"),
        ] {
            let read = Timestamp::parse(text).map(|instant| instant.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "soon",
            "1795411531349",
            "2026",
            "2026-13-01",
            "23/11/2026",
            "2026-11-23x",
            "2026-11-23 2026",
            "Tue Nov 23 2026",
            "0000",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_instant_is_printed_with_milliseconds_and_z_and_read_back() {
        let instant = Timestamp::from_millis(1_795_420_622_037);
        let text = serde_json::to_string(&instant).unwrap();
        assert_eq!(text, "\"2026-11-23T07:57:02.037Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), instant);
    }

    #[test]
    fn a_date_of_flowises_key_file_is_its_first_moment() {
        let midnight = Timestamp::from_short_date("23-Nov-26").unwrap();
        assert_eq!(midnight.to_string(), "2026-11-23T00:00:00.000Z");
        for other in ["", "2026-11-23", "32-Nov-26", "23-Nov-26x"] {
            assert_eq!(Timestamp::from_short_date(other), None, "{other}");
        }
    }
}
