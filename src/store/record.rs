//! A turn as bytes. Fixed fields and texts are binary, because sled needs
//! about five bytes of disk for each byte given to it; what few turns have
//! (columns, uploads, usage) follows as JSON.
//!
//! halves(1) question id(16) answer id(16) asked at(8) answered at(8)
//! chat type(1), then four texts with their lengths: chat id, memory type,
//! question, answer; then the extras, empty or one JSON object.

use parlor_schemas::{ChatId, ChatType, Halves, NewTurn, Timestamp, Turn, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::error::StoreError;

/// Version of the layout above.
pub(super) const VERSION: u8 = 1;

const QUESTION: u8 = 1;
const ANSWER: u8 = 2;

fn halves_byte(halves: Halves) -> u8 {
    u8::from(halves.question) * QUESTION + u8::from(halves.answer) * ANSWER
}

/// A turn's content and which of its messages exist.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub halves: Halves,
    pub body: NewTurn,
}

impl Record {
    /// The record in its place.
    pub fn into_turn(self, seq: u64) -> Turn {
        Turn { seq, body: self.body, halves: self.halves }
    }
}

#[derive(Serialize, Deserialize)]
struct Extras {
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    lead_email: Option<String>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    file_uploads: Option<Value>,
    #[serde(rename = "c", default, skip_serializing_if = "Map::is_empty")]
    answer_columns: Map<String, Value>,
    #[serde(rename = "u", default, skip_serializing_if = "Usage::is_empty")]
    usage: Usage,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    memory_state: Option<Value>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    follow_up_prompts: Option<String>,
}

/// The payload of a turn.
///
/// # Errors
/// [`StoreError::Encode`] when a column is no JSON.
pub(super) fn encode(halves: Halves, turn: &NewTurn) -> Result<Vec<u8>, StoreError> {
    // Every field is named, so that a new one cannot be forgotten here.
    let NewTurn {
        question_id,
        answer_id,
        question,
        answer,
        asked_at,
        answered_at,
        chat_id,
        chat_type,
        memory_type,
        lead_email,
        file_uploads,
        answer_columns,
        usage,
        memory_state,
        follow_up_prompts,
    } = turn;
    let mut bytes = Vec::with_capacity(80 + question.len() + answer.len());
    bytes.push(halves_byte(halves));
    bytes.extend_from_slice(question_id.as_bytes());
    bytes.extend_from_slice(answer_id.as_bytes());
    bytes.extend_from_slice(&asked_at.millis().to_be_bytes());
    bytes.extend_from_slice(&answered_at.millis().to_be_bytes());
    bytes.push(u8::from(*chat_type == ChatType::Internal));
    for text in [chat_id.as_str(), memory_type, question, answer] {
        put_text(&mut bytes, text);
    }
    let extras = Extras {
        lead_email: lead_email.clone(),
        file_uploads: file_uploads.clone(),
        answer_columns: answer_columns.clone(),
        usage: *usage,
        memory_state: memory_state.clone(),
        follow_up_prompts: follow_up_prompts.clone(),
    };
    let json = serde_json::to_vec(&extras).map_err(StoreError::Encode)?;
    if json != b"{}" {
        bytes.extend_from_slice(&json);
    }
    Ok(bytes)
}

/// When the turn of a payload was answered.
pub(super) fn answered_at(payload: &[u8]) -> Option<Timestamp> {
    let (_, from) = payload.split_at_checked(1 + 16 + 16 + 8)?;
    from.first_chunk().map(|millis| Timestamp::from_millis(i64::from_be_bytes(*millis)))
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// In a few words what is wrong; the checksum lets only defects come here.
pub(super) fn decode(payload: &[u8]) -> Result<Record, &'static str> {
    let mut reader = Reader(payload);
    let record = reader.record().ok_or("its fields cannot be read")?;
    let extras = match reader.0 {
        [] => return Ok(record),
        json => serde_json::from_slice::<Extras>(json).map_err(|_| "its columns cannot be read")?,
    };
    let body = NewTurn {
        lead_email: extras.lead_email,
        file_uploads: extras.file_uploads,
        answer_columns: extras.answer_columns,
        usage: extras.usage,
        memory_state: extras.memory_state,
        follow_up_prompts: extras.follow_up_prompts,
        ..record.body
    };
    Ok(Record { halves: record.halves, body })
}

/// Length in groups of seven bits, lowest first, then the text.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(text.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn record(&mut self) -> Option<Record> {
        let [halves] = self.array()?;
        if halves & !(QUESTION | ANSWER) != 0 {
            return None;
        }
        let halves = Halves { question: halves & QUESTION != 0, answer: halves & ANSWER != 0 };
        let body = NewTurn {
            question_id: Uuid::from_bytes(self.array()?),
            answer_id: Uuid::from_bytes(self.array()?),
            asked_at: Timestamp::from_millis(i64::from_be_bytes(self.array()?)),
            answered_at: Timestamp::from_millis(i64::from_be_bytes(self.array()?)),
            chat_type: match self.array()? {
                [0] => ChatType::External,
                [1] => ChatType::Internal,
                _ => return None,
            },
            chat_id: ChatId::parse(&self.text()?).ok()?,
            memory_type: self.text()?,
            question: self.text()?,
            answer: self.text()?,
            lead_email: None,
            file_uploads: None,
            answer_columns: Map::new(),
            usage: Usage::default(),
            memory_state: None,
            follow_up_prompts: None,
        };
        Some(Record { halves, body })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn text(&mut self) -> Option<String> {
        let mut length = 0_usize;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let (text, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                return String::from_utf8(text.to_vec()).ok();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn turn() -> impl Strategy<Value = NewTurn> {
        let ids = any::<(u128, u128)>();
        let times = any::<(i64, i64)>();
        let texts = (".{0,200}", ".{0,200}", "[ -~🦊]{1,60}", ".{0,20}");
        let extras = (any::<Option<String>>(), any::<bool>(), any::<(u32, u32)>(), any::<bool>());
        (ids, times, texts, extras).prop_map(|(ids, times, texts, extras)| NewTurn {
            question_id: Uuid::from_u128(ids.0),
            answer_id: Uuid::from_u128(ids.1),
            question: texts.0,
            answer: texts.1,
            asked_at: Timestamp::from_millis(times.0),
            answered_at: Timestamp::from_millis(times.1),
            chat_id: ChatId::parse(&texts.2).unwrap(),
            chat_type: if extras.3 { ChatType::Internal } else { ChatType::External },
            memory_type: texts.3,
            lead_email: extras.0,
            file_uploads: extras.1.then(|| json!([{"name": "a.png", "type": "file"}])),
            answer_columns: extras
                .3
                .then(|| ("sourceDocuments".into(), json!([1])))
                .into_iter()
                .collect(),
            usage: Usage { input_tokens: extras.2.0.into(), output_tokens: extras.2.1.into() },
            memory_state: extras.1.then(|| json!({"summary": "so far"})),
            follow_up_prompts: extras.3.then(|| "[\"And then?\"]".to_owned()),
        })
    }

    proptest! {
        #[test]
        fn a_turn_comes_back_as_it_was(turn in turn(), question: bool, answer: bool) {
            let record = Record { halves: Halves { question, answer }, body: turn };
            let bytes = encode(record.halves, &record.body).unwrap();
            prop_assert_eq!(decode(&bytes).unwrap(), record);
        }

        #[test]
        fn a_turn_that_is_cut_short_is_no_turn(turn in turn(), keep in 0.0f64..1.0) {
            let bytes = encode(Halves::BOTH, &turn).unwrap();
            let cut = (bytes.len() as f64 * keep) as usize;
            // A cut exactly before the extras is a turn without them; the
            // checksum of the parcel is what finds that one.
            let same = decode(&bytes[..cut]).is_ok_and(|record| record.body == turn);
            prop_assert!(!same);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }
    }
}
