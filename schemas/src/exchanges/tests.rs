//! What is packed comes back as it was, whatever the texts are.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chat_message::ChatType;
use crate::exchange::PastUploads;
use crate::ids::ChatId;
use crate::time::Timestamp;
use crate::turn::{Halves, NewTurn, Usage};

type Parts = (u64, bool, bool, [String; 2], Option<String>, Option<[String; 2]>);

fn view((seq, question, answer, texts, state, uploads): &Parts) -> Exchange<'_> {
    Exchange {
        seq: *seq,
        halves: Halves { question: *question, answer: *answer },
        question: &texts[0],
        answer: &texts[1],
        memory_state: state.as_deref(),
        uploads: uploads.as_ref().map(|[chat, files]| PastUploads { chat, files }),
    }
}

/// Any text: control characters and emoji too, some of it longer than one length letter tells.
fn text() -> impl Strategy<Value = String> {
    let any = || proptest::collection::vec(any::<char>(), 0..30);
    (any(), 0..200_usize).prop_map(|(text, n)| text.into_iter().collect::<String>().repeat(n))
}

fn parts() -> impl Strategy<Value = Parts> {
    let texts = || [text(), text()];
    let optional = (proptest::option::of(text()), proptest::option::of(texts()));
    let halves = (any::<bool>(), any::<bool>());
    (any::<u64>(), halves, texts(), optional)
        .prop_map(|(seq, (q, a), texts, (state, uploads))| (seq, q, a, texts, state, uploads))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn what_is_packed_comes_back_as_it_was(all in proptest::collection::vec(parts(), 0..12), n in 0..14_usize) {
        let mut packed = Exchanges::default();
        all.iter().for_each(|parts| packed.add(&view(parts)));
        let expected: Vec<_> = all.iter().map(view).collect();
        prop_assert_eq!(packed.iter().collect::<Vec<_>>(), expected.clone());
        let rest = packed.skip(n);
        prop_assert_eq!(rest.iter().collect::<Vec<_>>(), &expected[n.min(all.len())..]);
        prop_assert_eq!(rest.len(), all.len().saturating_sub(n));
        prop_assert_eq!(rest, packed.last(all.len().saturating_sub(n)));
    }

    #[test]
    fn any_conversation_that_forgets_its_beginning_keeps_its_end_in_little_room(
        lengths in proptest::collection::vec(0..9_000_usize, 1..60),
        most in 1..40_000_usize,
    ) {
        let (mut packed, mut expected) = (Exchanges::default(), std::collections::VecDeque::new());
        for (seq, length) in (0..).zip(lengths) {
            let turn = turn(seq, &"x".repeat(length));
            packed.push(&turn);
            expected.push_back(turn);
            while packed.weight() > most && packed.len() > 1 {
                packed = packed.skip(1);
                expected.pop_front();
            }
            packed.trim();
            let total: usize = expected.iter().map(Exchanges::weight_of).sum();
            prop_assert_eq!(packed.weight(), total);
            prop_assert!(packed.text.capacity() <= total + total / 4, "{}", packed.text.capacity());
        }
        prop_assert_eq!(packed, expected.iter().collect());
    }
}

fn turn(seq: u64, question: &str) -> Turn {
    let body = NewTurn {
        question_id: uuid::Uuid::nil(),
        answer_id: uuid::Uuid::nil(),
        question: question.to_owned(),
        answer: "an answer".to_owned(),
        asked_at: Timestamp::default(),
        answered_at: Timestamp::default(),
        chat_id: ChatId::parse("chat").unwrap(),
        chat_type: ChatType::External,
        memory_type: String::new(),
        lead_email: None,
        file_uploads: None,
        answer_columns: serde_json::Map::new(),
        usage: Usage::default(),
        memory_state: None,
        follow_up_prompts: None,
    };
    Turn::whole(seq, body)
}

#[test]
fn a_turn_is_remembered_with_its_state_and_its_files() {
    let mut with_all = turn(7, "q");
    let state = json!({"summary": "so far", "through": 6, "share": 0.1});
    let files = json!([{"name": "a.png", "mime": "image/png"}]);
    with_all.body.memory_state = Some(state.clone());
    with_all.body.file_uploads = Some(files.clone());
    with_all.halves.answer = false;
    let exchanges: Exchanges = [&turn(6, "p"), &with_all].into_iter().collect();
    let seen: Vec<_> = exchanges.iter().collect();
    assert_eq!((seen[0].seq, seen[0].memory_state, seen[0].uploads), (6, None, None));
    assert_eq!(seen[1].said().collect::<Vec<_>>(), [(crate::Role::UserMessage, "q")]);
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(seen[1].memory_state.map(value), Some(state));
    let uploads = seen[1].uploads.unwrap();
    assert_eq!((uploads.chat, value(uploads.files)), ("chat", files));
}

#[test]
fn who_reads_keeps_what_they_were_given_while_the_conversation_goes_on() {
    let mut exchanges: Exchanges = [&turn(0, "a")].into_iter().collect();
    let given = exchanges.clone();
    exchanges.push(&turn(1, "b"));
    let questions =
        |all: &Exchanges| all.iter().map(|one| one.question.to_owned()).collect::<String>();
    assert_eq!((questions(&given), questions(&exchanges)), ("a".to_owned(), "ab".to_owned()));
}

#[test]
fn a_long_conversation_is_not_copied_at_every_turn() {
    let mut exchanges = Exchanges::default();
    let mut n_copies = 0;
    for seq in 0..2_000 {
        let before = exchanges.text.as_ptr();
        exchanges.push(&turn(seq, &"x".repeat(100)));
        while exchanges.weight() > 64 * 1024 {
            exchanges = exchanges.skip(1);
        }
        exchanges.trim();
        n_copies += usize::from(seq > 100 && before != exchanges.text.as_ptr());
    }
    assert!(n_copies < 150, "{n_copies} copies");
}
