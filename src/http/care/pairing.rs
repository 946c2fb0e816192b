//! Puts questions and answers that come in as lines together to turns. Lines
//! of several sessions may be mixed, as in a list by date.

use std::collections::VecDeque;

use super::lines::HalfTurn;
use crate::store::ImportedTurn;

/// Questions that may wait for their answer.
const MAX_WAITING: usize = 256;

/// Bytes of lines that may wait.
const MAX_WAITING_BYTES: usize = 32 * 1024 * 1024;

/// The questions whose answer has not come yet, oldest first.
#[derive(Default)]
pub(super) struct Pairing {
    waiting: VecDeque<HalfTurn>,
    n_bytes: usize,
}

impl Pairing {
    /// Takes a message; the turns that are ready with it, in order.
    pub fn take(&mut self, half: HalfTurn) -> Vec<ImportedTurn> {
        let mut ready = Vec::new();
        let at = self.waiting.iter().position(|question| question.key == half.key);
        let question = at.and_then(|at| self.waiting.remove(at));
        self.n_bytes -= question.as_ref().map_or(0, |question| question.n_bytes);
        match question {
            Some(question) if half.halves.answer && is_of(&half, &question) => {
                ready.push(joined(question, half));
            }
            question => {
                ready.extend(question.map(alone));
                if half.halves.question {
                    self.n_bytes += half.n_bytes;
                    self.waiting.push_back(half);
                } else {
                    ready.push(alone(half));
                }
            }
        }
        while self.waiting.len() > MAX_WAITING || self.n_bytes > MAX_WAITING_BYTES {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.n_bytes -= oldest.n_bytes;
            ready.push(alone(oldest));
        }
        ready
    }

    /// What never got an answer.
    pub fn rest(self) -> impl Iterator<Item = ImportedTurn> {
        self.waiting.into_iter().map(alone)
    }
}

/// Whether an answer belongs to a question: the same chat, and the same turn
/// where the lines name one.
fn is_of(answer: &HalfTurn, question: &HalfTurn) -> bool {
    answer.turn == question.turn && answer.body.chat_id == question.body.chat_id
}

fn alone(half: HalfTurn) -> ImportedTurn {
    ImportedTurn { key: half.key, halves: half.halves, body: half.body }
}

fn joined(question: HalfTurn, answer: HalfTurn) -> ImportedTurn {
    let mut body = answer.body;
    body.question_id = question.body.question_id;
    body.question = question.body.question;
    body.asked_at = question.body.asked_at;
    body.lead_email = question.body.lead_email;
    body.file_uploads = question.body.file_uploads;
    ImportedTurn { key: answer.key, halves: parlor_schemas::Halves::BOTH, body }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::super::lines;
    use super::*;

    fn half(session: &str, role: &str, turn: Option<u64>) -> HalfTurn {
        let line = json!({
            "id": Uuid::new_v4(), "role": role, "content": role, "chatId": session,
            "chatflowid": "54d84c37-3f57-4c00-841d-17f95e783c4d", "turn": turn,
            "createdDate": "2026-11-23T07:57:02.037Z",
        });
        lines::read(line.to_string().as_bytes(), None).unwrap()
    }

    /// Session and number of messages of each turn that is ready.
    fn shown(turns: impl IntoIterator<Item = ImportedTurn>) -> Vec<(String, u64)> {
        let one = |turn: ImportedTurn| (turn.key.session.to_string(), turn.halves.count());
        turns.into_iter().map(one).collect()
    }

    #[test]
    fn mixed_sessions_are_taken_apart_and_lone_messages_stay_alone() {
        let mut pairing = Pairing::default();
        let mut ready = Vec::new();
        for (session, role) in [
            ("a", "userMessage"),
            ("b", "userMessage"),
            ("a", "apiMessage"),
            ("a", "apiMessage"),
            ("b", "userMessage"),
            ("b", "apiMessage"),
            ("c", "userMessage"),
        ] {
            ready.extend(pairing.take(half(session, role, None)));
        }
        ready.extend(pairing.rest());
        let expected = [("a", 2), ("a", 1), ("b", 1), ("b", 2), ("c", 1)];
        assert_eq!(shown(ready), expected.map(|(session, n)| (session.to_owned(), n)));
    }

    #[test]
    fn halves_of_two_turns_are_not_joined() {
        let mut pairing = Pairing::default();
        assert!(pairing.take(half("a", "userMessage", Some(1))).is_empty());
        let ready = pairing.take(half("a", "apiMessage", Some(2)));
        assert_eq!(shown(ready), [("a".to_owned(), 1), ("a".to_owned(), 1)]);
    }

    #[test]
    fn an_answer_of_another_chat_of_the_session_is_not_joined() {
        let in_chat = |mut half: HalfTurn, chat: &str| {
            half.body.chat_id = parlor_schemas::ChatId::parse(chat).unwrap();
            half
        };
        let mut pairing = Pairing::default();
        assert!(pairing.take(in_chat(half("a", "userMessage", None), "one")).is_empty());
        let ready = pairing.take(in_chat(half("a", "apiMessage", None), "two"));
        assert_eq!(shown(ready), [("a".to_owned(), 1), ("a".to_owned(), 1)]);
    }

    #[test]
    fn no_more_questions_wait_than_are_allowed() {
        let mut pairing = Pairing::default();
        for n in 0..=MAX_WAITING {
            let ready = pairing.take(half(&format!("s{n}"), "userMessage", None));
            assert_eq!(ready.len(), usize::from(n == MAX_WAITING));
        }
    }
}
