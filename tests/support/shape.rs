//! Compares an answer with a recorded one: same keys in the same order, same
//! types, same values, except for what differs in every run.

use serde_json::Value;
use uuid::Uuid;

/// What is different, one sentence each. Additional keys are welcome; ids that
/// are recorded as UUIDs and instants need only be of their kind.
pub fn differences(recorded: &Value, ours: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("$", recorded, ours, &mut found);
    found
}

fn compare(at: &str, recorded: &Value, ours: &Value, found: &mut Vec<String>) {
    match (recorded, ours) {
        (Value::Object(then), Value::Object(now)) => {
            let expected: Vec<_> = then.keys().collect();
            let kept: Vec<_> = now.keys().filter(|key| then.contains_key(*key)).collect();
            if expected != kept {
                found.push(format!("{at}: keys {expected:?} became {kept:?}"));
            }
            for (key, value) in then {
                if let Some(own) = now.get(key) {
                    compare(&format!("{at}.{key}"), value, own, found);
                }
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            if then.len() != now.len() {
                found.push(format!("{at}: {} items became {}", then.len(), now.len()));
            }
            for (index, (value, own)) in then.iter().zip(now).enumerate() {
                compare(&format!("{at}[{index}]"), value, own, found);
            }
        }
        (Value::String(then), Value::String(now)) if is_uuid(then) && is_uuid(now) => {}
        (Value::String(then), Value::String(now)) if is_instant(then) && is_instant(now) => {}
        (then, now) if then == now => {}
        (then, now) => found.push(format!("{at}: {then} became {now}")),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

/// `2026-11-23T06:25:34.000Z`.
fn is_instant(text: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).all(|(own, place)| match place {
            'd' => own.is_ascii_digit(),
            literal => own == literal,
        })
}
