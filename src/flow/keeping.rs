//! What a chatflow keeps of its conversations: two keys of `apiConfig` that
//! are an addition to Flowise's.
//!
//! `retentionDays`: older messages are deleted, once a day and at each start;
//! 0 or absent keeps them for ever. `storeMessages: false`: turns are answered
//! and nothing of them is stored or remembered, not even by the session's
//! actor; what was stored before is remembered as ever.

use parlor_schemas::{Chatflow, Timestamp};
use serde_json::Value;

/// A hundred years: more is a slip of the finger.
const MAX_DAYS: u64 = 36_525;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The settings of one chatflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Whether turns are stored.
    pub stores: bool,
    /// Days after which messages are deleted; `None` keeps them for ever.
    pub retention_days: Option<u32>,
}

impl Keeping {
    /// Reads the chatflow's `apiConfig`.
    ///
    /// # Errors
    /// A sentence that names the key. Nothing may be deleted on a guess.
    pub fn of(chatflow: &Chatflow) -> Result<Self, String> {
        let settings = Chatflow::settings(chatflow.api_config.as_deref());
        let stores = match settings.get("storeMessages") {
            None | Some(Value::Null | Value::Bool(true)) => true,
            Some(Value::Bool(false)) => false,
            Some(_) => return Err("apiConfig.storeMessages must be true or false".to_owned()),
        };
        let retention_days = match settings.get("retentionDays") {
            None | Some(Value::Null) => None,
            Some(value) => days(value)?,
        };
        Ok(Self { stores, retention_days })
    }

    /// Messages of this instant and before it are to be deleted.
    pub fn delete_up_to(&self, now: Timestamp) -> Option<Timestamp> {
        let days = i64::from(self.retention_days?);
        Some(Timestamp::from_millis(now.millis() - days * DAY_MS))
    }
}

fn days(value: &Value) -> Result<Option<u32>, String> {
    let number = value.as_u64().filter(|days| *days <= MAX_DAYS);
    let number = number.and_then(|days| u32::try_from(days).ok());
    match number {
        None => Err(format!("apiConfig.retentionDays must be a number from 0 to {MAX_DAYS}")),
        Some(0) => Ok(None),
        Some(days) => Ok(Some(days)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlor_schemas::ChatflowId;

    fn keeping(api_config: &str) -> Result<Keeping, String> {
        let now = Timestamp::from_millis(0);
        let mut flow = Chatflow::new(ChatflowId::random(), "f".into(), "{}".into(), now);
        flow.api_config = Some(api_config.to_owned());
        Keeping::of(&flow)
    }

    #[test]
    fn without_a_word_everything_is_kept_for_ever() {
        let all = Keeping { stores: true, retention_days: None };
        for silent in ["", "{}", "no JSON", r#"{"retentionDays":0}"#, r#"{"retentionDays":null}"#] {
            assert_eq!(keeping(silent), Ok(all), "{silent}");
        }
    }

    #[test]
    fn days_are_counted_back_from_now_and_storing_can_be_switched_off() {
        let found = keeping(r#"{"retentionDays":30,"storeMessages":false}"#).unwrap();
        assert_eq!(found, Keeping { stores: false, retention_days: Some(30) });
        let now = Timestamp::parse("2026-03-31T12:00:00Z").unwrap();
        let expected = Timestamp::parse("2026-03-01T12:00:00Z");
        assert_eq!(found.delete_up_to(now), expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name_and_deletes_nothing() {
        for days in ["-1", "1.5", "\"30\"", "true", "1e9", "[]"] {
            let error = keeping(&format!(r#"{{"retentionDays":{days}}}"#)).unwrap_err();
            assert!(error.contains("retentionDays"), "{days}: {error}");
        }
        assert!(keeping(r#"{"storeMessages":"no"}"#).unwrap_err().contains("storeMessages"));
    }
}
