//! Rows as a damaged disk may give them.

use std::convert::Infallible;

use parlor_schemas::{ChatId, ChatType, ChatflowId, Halves, NewTurn, Timestamp, Usage};
use serde_json::json;
use uuid::Uuid;

use super::keys::{self, TurnPlace};
use super::{answer_keys, answers, key_kinds, parcel, record, runs};

fn turn() -> NewTurn {
    NewTurn {
        question_id: Uuid::from_u128(1),
        answer_id: Uuid::from_u128(2),
        question: "How long?".repeat(20),
        answer: "Long.".to_owned(),
        asked_at: Timestamp::from_millis(1_700_000_000_000),
        answered_at: Timestamp::from_millis(-1),
        chat_id: ChatId::parse("chat").unwrap(),
        chat_type: ChatType::External,
        memory_type: "Buffer Memory".to_owned(),
        lead_email: Some("a@b.test".to_owned()),
        file_uploads: Some(json!([{"name": "a.png"}])),
        answer_columns: json!({"sourceDocuments": [0.1, 1e300]}).as_object().unwrap().clone(),
        usage: Usage { input_tokens: 5, output_tokens: 6 },
        memory_state: Some(json!({"summary": "so far"})),
        follow_up_prompts: Some("[\"And?\"]".to_owned()),
    }
}

#[test]
fn a_turn_that_is_read_from_any_bytes_is_written_and_read_again() {
    let whole = record::encode(Halves::BOTH, &turn()).unwrap();
    let bare = NewTurn {
        lead_email: None,
        file_uploads: None,
        answer_columns: serde_json::Map::new(),
        usage: Usage::default(),
        memory_state: None,
        follow_up_prompts: None,
        ..turn()
    };
    let bare = record::encode(Halves { question: true, answer: false }, &bare).unwrap();
    parlor_fuzz::check!([whole, bare], |bytes: &[u8]| {
        let Ok(found) = record::decode(bytes) else { return };
        let time = record::answered_at(bytes);
        assert_eq!(time, Some(found.body.answered_at));
        let written = record::encode(found.halves, &found.body).unwrap();
        assert_eq!(record::decode(&written), Ok(found));
    });
}

fn key_seeds() -> Vec<Vec<u8>> {
    let place = TurnPlace { ordinal: 7, seq: 9 };
    let mut seeds = vec![keys::turn(place), keys::part(place, 3), keys::owner(7)];
    seeds.push(keys::message(&Uuid::from_u128(5)));
    seeds.push(keys::message_value(place, 1));
    seeds.push(keys::session_value(7));
    for kind in [b"s", b"d", b"c", b"x", b"i", b"a", b"b"] {
        seeds.push([kind, [1; 16].as_slice(), b"\0\x01s", &[0; 25]].concat());
    }
    seeds
}

#[test]
fn a_key_that_is_read_is_the_key_that_would_be_written() {
    parlor_fuzz::check!(key_seeds(), |bytes: &[u8]| {
        let same = |written: Option<Vec<u8>>| assert!(written.is_none_or(|key| key == bytes));
        same(keys::place_of_turn(bytes).map(keys::turn));
        same(key_kinds::place_of_part(bytes).map(|(at, part)| keys::part(at, part)));
        same(key_kinds::ordinal_of_owner(bytes).map(keys::owner));
        same(key_kinds::id_of_message(bytes).map(|id| keys::message(&id)));
        same(keys::grave_of(bytes).map(|(chatflow, grave)| keys::grave(&chatflow, grave)));
        same(
            keys::place_of_date(bytes)
                .and_then(|at| Some(keys::date(&key_kinds::chatflow_of_index(bytes)?, at))),
        );
        same(answer_keys::place_of_answer(bytes).map(answer_keys::answer));
        same(answer_keys::place_of_part(bytes).map(|(at, part)| answer_keys::part(at, part)));
        same(answer_keys::idempotency_key(bytes).map(|key| answer_keys::idempotency(&key)));
        same(keys::place_of_message_value(bytes).map(|(at, role)| keys::message_value(at, role)));
        same(keys::ordinal_of_session_value(bytes).map(keys::session_value));
        same(keys::session_of_owner_value(bytes).map(|key| keys::owner_value(&key)));
        let _ = (key_kinds::kind_of(bytes), key_kinds::key_of_session(bytes));
        let _ = keys::ordinal_of_chat(bytes);
    });
}

#[test]
fn a_parcel_opens_under_its_own_key_alone_and_undamaged() {
    let seal = |payload: &[u8]| parcel::seal(1, b"key", payload).unwrap().head;
    let seeds = vec![seal(b"payload"), seal(b""), seal(&[7; 300])];
    parlor_fuzz::check!(seeds, |bytes: &[u8]| {
        let part = |_| Ok::<_, Infallible>(None::<Vec<u8>>);
        if let Ok(Ok(payload)) = parcel::open(1, b"key", bytes, part) {
            assert_eq!(parcel::seal(1, b"key", &payload).unwrap().head, bytes);
            assert!(parcel::open(1, b"kez", bytes, part).unwrap().is_err());
            assert!(parcel::open(2, b"key", bytes, part).unwrap().is_err());
        }
        let _ = (answers::decode(bytes), answers::key_of_head(bytes));
    });
}

#[test]
fn the_entries_of_a_whole_run_are_written_as_they_were_read() {
    let at = keys::date(
        &ChatflowId::from_bytes([1; 16]),
        keys::DatePlace {
            time: Timestamp::from_millis(7),
            turn: TurnPlace { ordinal: 7, seq: 9 },
            role: 0,
        },
    );
    let id = keys::message(&Uuid::from_u128(5));
    let dates = runs::BY_DATE.encode(&[(at.clone(), Vec::new()), (at.clone(), Vec::new())]);
    let owners = runs::BY_ORDINAL.encode(&[(keys::owner(7), vec![7; 40])]);
    parlor_fuzz::check!([dates, owners], |bytes: &[u8]| {
        for (kind, key) in [
            (&runs::BY_DATE, at.as_slice()),
            (&runs::BY_ID, &id),
            (&runs::BY_ORDINAL, &keys::owner(7)),
        ] {
            let (entries, is_whole) = runs::entries(&runs::Kind::with(kind.run, key), bytes);
            let written = kind.encode(&entries);
            assert!(bytes.starts_with(&written));
            assert_eq!(written.len() == bytes.len(), is_whole);
        }
    });
}
