//! Conversations that never took place, the same ones in every run.

use std::fmt::Write as _;

use serde_json::json;

use crate::dice::Dice;

/// Words of no meaning in natural frequencies: what compresses like speech.
const WORDS: [&str; 48] = [
    "the",
    "a",
    "to",
    "and",
    "of",
    "in",
    "it",
    "is",
    "that",
    "for",
    "you",
    "was",
    "with",
    "on",
    "as",
    "have",
    "but",
    "be",
    "they",
    "order",
    "please",
    "thank",
    "when",
    "can",
    "will",
    "my",
    "number",
    "delivery",
    "invoice",
    "account",
    "today",
    "tomorrow",
    "morning",
    "problem",
    "answer",
    "question",
    "because",
    "before",
    "after",
    "another",
    "different",
    "possible",
    "address",
    "information",
    "department",
    "yesterday",
    "understand",
    "reservation",
];

/// The first message's time: 2026-01-01T00:00:00Z in milliseconds.
pub const BEGINNING_MS: i64 = 1_767_225_600_000;
/// Between two turns of the whole store.
pub const STEP_MS: i64 = 1_000;

/// How large a history is.
#[derive(Clone, Copy, Debug)]
pub struct Corpus {
    /// Conversations.
    pub n_sessions: u64,
    /// Turns of each; two messages a turn.
    pub n_turns: u64,
}

/// One turn: a question and its answer.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Which conversation.
    pub session: u64,
    /// Which turn of it.
    pub seq: u64,
    /// When it was asked, in milliseconds since 1970.
    pub time_ms: i64,
    /// The person's words, about 60 bytes.
    pub question: String,
    /// The answer, about 240 bytes.
    pub answer: String,
}

impl Corpus {
    /// All messages.
    pub fn n_messages(self) -> u64 {
        self.n_sessions * self.n_turns * 2
    }

    /// All turns as they came about: every session speaks once before any
    /// speaks again, so neighbours in time are not neighbours on the disk.
    pub fn turns(self) -> impl Iterator<Item = Turn> {
        (0..self.n_turns)
            .flat_map(move |seq| (0..self.n_sessions).map(move |session| self.turn(session, seq)))
    }

    fn turn(self, session: u64, seq: u64) -> Turn {
        let number = seq * self.n_sessions + session;
        let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Turn {
            session,
            seq,
            time_ms: BEGINNING_MS + i64::try_from(number).unwrap_or_default() * STEP_MS,
            question: dice.words(60),
            answer: dice.words(240),
        }
    }

    /// When the last turn was asked.
    pub fn end_ms(self) -> i64 {
        let n_turns = i64::try_from(self.n_sessions * self.n_turns).unwrap_or_default();
        BEGINNING_MS + n_turns * STEP_MS
    }
}

impl Turn {
    /// The id of its session and of its chat.
    pub fn session_id(&self) -> String {
        session_id(self.session)
    }

    /// Ids of the question and of the answer: as random as real ones, since
    /// neighbours in an index cost less than strangers.
    pub fn ids(&self) -> [String; 2] {
        let number = (self.session << 20) | self.seq;
        [0, 1].map(|role| {
            let mut dice = Dice((2 * number + role + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let (high, low) = (dice.below(1 << 48), dice.below(1 << 48));
            let (a, b) = (high >> 16, high & 0xffff);
            format!("{a:08x}-{b:04x}-4000-8000-{low:012x}")
        })
    }

    /// Both messages as lines of an export.
    pub fn write_lines(&self, out: &mut String) {
        let session = self.session_id();
        let [question_id, answer_id] = self.ids();
        let said = [
            (question_id, "userMessage", &self.question, self.time_ms),
            (answer_id, "apiMessage", &self.answer, self.time_ms + 400),
        ];
        for (id, role, content, time_ms) in said {
            let line = json!({
                "id": id, "role": role, "content": content, "chatId": session,
                "sessionId": session, "memoryType": "Buffer Memory", "turn": self.seq,
                "createdDate": date(time_ms),
            });
            // Writing into a text has no way to fail.
            let _ = writeln!(out, "{line}");
        }
    }
}

/// The id of a session.
pub fn session_id(session: u64) -> String {
    format!("customer-{session:08}")
}

/// A time as ISO 8601 in UTC, by the civil calendar (H. Hinnant's days_from_civil, inverted).
pub fn date(time_ms: i64) -> String {
    let (days, in_day) = (time_ms.div_euclid(86_400_000), time_ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, ms) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

impl Dice {
    /// Words of at least `n_bytes` together.
    fn words(&mut self, n_bytes: usize) -> String {
        let mut text = String::with_capacity(n_bytes + 12);
        while text.len() < n_bytes {
            if !text.is_empty() {
                text.push(' ');
            }
            // Small indexes more often than large ones, as in speech.
            let n_words = WORDS.len() as u64;
            let at = self.below(n_words).min(self.below(n_words));
            text.push_str(WORDS[usize::try_from(at).unwrap_or_default()]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (time_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (BEGINNING_MS, "2026-01-01T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (1_795_418_624_001, "2026-11-23T07:23:44.001Z"),
        ] {
            assert_eq!(date(time_ms), expected);
        }
    }

    #[test]
    fn two_runs_hold_the_same_turns_and_no_id_twice() {
        let corpus = Corpus { n_sessions: 7, n_turns: 3 };
        let texts = |corpus: Corpus| corpus.turns().map(|turn| turn.answer).collect::<Vec<_>>();
        assert_eq!(texts(corpus), texts(corpus));
        let ids: std::collections::HashSet<_> =
            corpus.turns().flat_map(|turn| turn.ids()).collect();
        assert_eq!(ids.len() as u64, corpus.n_messages());
    }
}
