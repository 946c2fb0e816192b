//! The fields of a key in a body: what it opens, until when, how often. Each
//! is absent, `null` where it can be taken away, or of its type.

use parlor_schemas::{KeyLimit, Scope, Timestamp};
use serde_json::{Map, Value};

use super::chatflows::text;
use super::error::ApiError;

const DAY_MS: f64 = 86_400_000.0;
const MOST_DAYS: f64 = 36_500.0;
const DEFAULT_OVERLAP_S: i64 = 86_400;
const LONGEST_OVERLAP_S: i64 = 30 * 86_400;

type Fields = Map<String, Value>;

/// `keyName`, 1 to 200 bytes, if it is given.
///
/// # Errors
/// 400.
pub fn name(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    match text(fields, "keyName")? {
        Some(name) if name.len() > 200 => Err(ApiError::bad("keyName is too long")),
        other => Ok(other.filter(|name| !name.is_empty())),
    }
}

/// `scopes`: a list of what the key opens.
///
/// # Errors
/// 400.
pub fn scopes(fields: &mut Fields) -> Result<Option<Vec<Scope>>, ApiError> {
    let value = match fields.remove("scopes") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let mut scopes: Vec<Scope> = serde_json::from_value(value).map_err(|_| {
        ApiError::bad("scopes must be a list of predict, upsert, messages, operator")
    })?;
    if scopes.is_empty() {
        return Err(ApiError::bad(
            "scopes is empty; name one of predict, upsert, messages, operator",
        ));
    }
    let mut seen = Vec::new();
    scopes.retain(|scope| {
        !seen.contains(scope) && {
            seen.push(*scope);
            true
        }
    });
    Ok(Some(scopes))
}

/// `expiresAt` (ISO 8601) or `expiresInDays`; `Some(None)` for `null`, which
/// is a key that never expires.
///
/// # Errors
/// 400.
pub fn expiry(fields: &mut Fields, now: Timestamp) -> Result<Option<Option<Timestamp>>, ApiError> {
    match (fields.remove("expiresAt"), fields.remove("expiresInDays")) {
        (None, None) => Ok(None),
        (Some(Value::Null), None | Some(Value::Null)) | (None, Some(Value::Null)) => Ok(Some(None)),
        (Some(Value::String(at)), None | Some(Value::Null)) => {
            let bad = || ApiError::bad("expiresAt must be a date such as 2027-01-31T12:00:00Z");
            Timestamp::parse(&at).map(|at| Some(Some(at))).ok_or_else(bad)
        }
        (None | Some(Value::Null), Some(days)) => {
            let bad = || ApiError::bad("expiresInDays must be a number above 0, at most 36500");
            let days = days.as_f64().filter(|days| *days > 0.0 && *days <= MOST_DAYS);
            // In range by the line above.
            #[allow(clippy::cast_possible_truncation, reason = "in range")]
            let millis = (days.ok_or_else(bad)? * DAY_MS).ceil() as i64;
            Ok(Some(Some(now.plus_millis(millis))))
        }
        (Some(Value::String(_)), Some(_)) => {
            Err(ApiError::bad("send either expiresAt or expiresInDays, not both"))
        }
        (Some(_), _) => Err(ApiError::bad("expiresAt must be a text")),
    }
}

/// `rateLimit`: `{limitMax, limitDuration}`, both at least 1; `Some(None)` for
/// `null`, which is a key without a limit.
///
/// # Errors
/// 400.
pub fn rate_limit(fields: &mut Fields) -> Result<Option<Option<KeyLimit>>, ApiError> {
    let value = match fields.remove("rateLimit") {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(None)),
        Some(value) => value,
    };
    let limit: Option<KeyLimit> = serde_json::from_value(value).ok();
    let limit = limit.filter(|limit| limit.limit_max >= 1 && limit.limit_duration >= 1);
    let bad = || {
        ApiError::bad(
            "rateLimit must be {limitMax, limitDuration}: requests and seconds, from 1 on",
        )
    };
    limit.map(|limit| Some(Some(limit))).ok_or_else(bad)
}

/// `overlapSeconds` of a rotation, in milliseconds; a day unless it is given.
///
/// # Errors
/// 400.
pub fn overlap_ms(fields: &mut Fields) -> Result<i64, ApiError> {
    let seconds = match fields.remove("overlapSeconds") {
        None | Some(Value::Null) => Some(DEFAULT_OVERLAP_S),
        Some(value) => value.as_i64().filter(|n| (0..=LONGEST_OVERLAP_S).contains(n)),
    };
    let bad = || ApiError::bad("overlapSeconds must be a whole number from 0 to 2592000");
    seconds.map(|seconds| seconds * 1000).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        super::super::chatflows::object(value).unwrap()
    }

    #[test]
    fn an_expiry_is_a_date_or_a_number_of_days_and_null_takes_it_away() {
        let now = Timestamp::from_millis(0);
        let read = |value| expiry(&mut fields(value), now);
        assert_eq!(read(json!({})).unwrap(), None);
        assert_eq!(read(json!({"expiresAt": null})).unwrap(), Some(None));
        let day = Some(Some(Timestamp::from_millis(86_400_000)));
        assert_eq!(read(json!({"expiresAt": "1970-01-02"})).unwrap(), day);
        assert_eq!(read(json!({"expiresInDays": 1})).unwrap(), day);
        for bad in [
            json!({"expiresAt": "soon"}),
            json!({"expiresAt": 5}),
            json!({"expiresInDays": 0}),
            json!({"expiresInDays": -1}),
            json!({"expiresInDays": 1e300}),
            json!({"expiresInDays": "1"}),
            json!({"expiresAt": "1970-01-02", "expiresInDays": 1}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_scopes_and_overlaps_of_a_wrong_kind_are_refused() {
        for bad in [
            json!({}),
            json!(5),
            json!({"limitMax": 0, "limitDuration": 1}),
            json!({"limitMax": 1, "limitDuration": -1}),
            json!({"limitMax": 1e99, "limitDuration": 1}),
        ] {
            assert!(rate_limit(&mut fields(json!({"rateLimit": bad}))).is_err(), "{bad}");
        }
        for bad in [json!([]), json!("operator"), json!(["root"])] {
            assert!(scopes(&mut fields(json!({"scopes": bad}))).is_err(), "{bad}");
        }
        for bad in [json!(-1), json!(2_592_001), json!(1.5), json!("1")] {
            assert!(overlap_ms(&mut fields(json!({"overlapSeconds": bad}))).is_err(), "{bad}");
        }
        assert_eq!(overlap_ms(&mut fields(json!({}))).unwrap(), 86_400_000);
    }
}
