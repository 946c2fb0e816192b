//! Finds the turns among the messages of a session. Flowise stores rows: the
//! question with the date of its request, the answer with that of its end, the
//! two next to each other, because both are written when the turn is over.

use std::collections::VecDeque;

/// Questions that wait for their answer at the same time.
const WINDOW: usize = 32;

/// A message in the order of its session: by date, then by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its place in the table.
    pub place: i64,
    pub is_question: bool,
    /// Chatflow and session.
    pub session: (String, String),
    pub chat: String,
    /// The message that was written before it in the same session and chat.
    pub written_before: Option<i64>,
}

/// A turn: the places of its messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pair {
    pub question: Option<i64>,
    pub answer: Option<i64>,
    chat: String,
}

/// Takes messages and gives turns, in the order of their questions. It holds
/// [`WINDOW`] turns at most.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    session: (String, String),
    open: VecDeque<Pair>,
    /// The message before, by date.
    last: Option<i64>,
}

impl Pairing {
    /// Takes one message; the turns that nothing can be added to any more.
    pub fn push(&mut self, found: Found) -> Vec<Pair> {
        let mut ready = Vec::new();
        if found.session != self.session {
            ready = self.finish();
            self.session.clone_from(&found.session);
        }
        let place = Some(found.place);
        if found.is_question {
            self.open.push_back(Pair { question: place, answer: None, chat: found.chat });
        } else {
            match self.question_of(&found) {
                Some(pair) => pair.answer = place,
                None => {
                    self.open.push_back(Pair { question: None, answer: place, chat: found.chat })
                }
            }
        }
        self.last = place;
        while self.open.len() > WINDOW
            || self.open.front().is_some_and(|pair| pair.answer.is_some())
        {
            ready.extend(self.open.pop_front());
        }
        ready
    }

    /// The question that was written just before the answer, wherever dates put
    /// it; else the message before it, where that is a question.
    fn question_of(&mut self, answer: &Found) -> Option<&mut Pair> {
        let waits = |pair: &Pair| pair.answer.is_none() && pair.chat == answer.chat;
        let asked = |place: Option<i64>| {
            let is_it = |pair: &Pair| place.is_some() && pair.question == place && waits(pair);
            self.open.iter().position(is_it)
        };
        let at = asked(answer.written_before).or_else(|| asked(self.last))?;
        self.open.get_mut(at)
    }

    /// The turns that are left at the end.
    pub fn finish(&mut self) -> Vec<Pair> {
        self.last = None;
        self.open.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `q1` is a question at place 1, `a2` an answer at place 2; in this order
    /// by date. The session is the same for all.
    fn pairs(rows: &str) -> Vec<(Option<i64>, Option<i64>)> {
        let rows: Vec<(bool, i64)> =
            rows.split(' ').map(|row| (row.starts_with('q'), row[1..].parse().unwrap())).collect();
        let mut pairing = Pairing::default();
        let mut pairs = Vec::new();
        for (is_question, place) in &rows {
            let before = rows.iter().map(|row| row.1).filter(|other| other < place).max();
            pairs.extend(pairing.push(Found {
                place: *place,
                is_question: *is_question,
                session: ("flow".to_owned(), "s".to_owned()),
                chat: "s".to_owned(),
                written_before: before,
            }));
        }
        pairs.extend(pairing.finish());
        pairs.into_iter().map(|pair| (pair.question, pair.answer)).collect()
    }

    #[test]
    fn turns_that_follow_each_other_are_found_also_in_a_table_that_was_shuffled() {
        assert_eq!(pairs("q1 a2 q3 a4"), [(Some(1), Some(2)), (Some(3), Some(4))]);
        assert_eq!(pairs("q3 a1 q4 a2"), [(Some(3), Some(1)), (Some(4), Some(2))]);
    }

    #[test]
    fn turns_that_ran_at_the_same_time_are_told_apart_by_what_was_written_together() {
        // Asked one after the other, answered in the other order.
        assert_eq!(pairs("q3 q1 a2 a4"), [(Some(3), Some(4)), (Some(1), Some(2))]);
    }

    #[test]
    fn a_message_without_its_other_half_stays_alone() {
        assert_eq!(pairs("q1 q2 a3 a5"), [(Some(1), None), (Some(2), Some(3)), (None, Some(5))]);
        assert_eq!(pairs("a1 q2"), [(None, Some(1)), (Some(2), None)]);
    }

    #[test]
    fn many_questions_without_an_answer_are_not_held_back_for_ever() {
        let rows: Vec<String> = (1..=100).map(|place| format!("q{place}")).collect();
        let mut pairing = Pairing::default();
        for place in 1..=100 {
            pairing.push(Found {
                place,
                is_question: true,
                session: Default::default(),
                chat: String::new(),
                written_before: None,
            });
            assert!(pairing.open.len() <= WINDOW);
        }
        let alone: Vec<_> = (1..=100).map(|place| (Some(place), None)).collect();
        assert_eq!(pairs(&rows.join(" ")), alone);
    }
}
