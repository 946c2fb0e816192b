//! What one client was told of one conversation, and whether what the server
//! shows of it later is that: every turn in its place, once, with its answer.

use serde::Serialize;

/// What a client was told of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// It is stored: the answer, where the client read it.
    Stored(Option<String>),
    /// It is not stored, or nothing of it was ever sent.
    NotStored,
    /// Nothing: the connection was gone before the end.
    Nothing,
}

/// A way in which a conversation is not what its client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An acknowledged turn is missing.
    Lost,
    /// A turn is there twice.
    Doubled,
    /// Turns are in another order than they were asked in.
    Reordered,
    /// A question without its answer or an answer without its question.
    Half,
    /// A turn of somebody else.
    Foreign,
    /// A turn that was refused.
    Revived,
    /// Another answer than the one that was acknowledged.
    OtherAnswer,
}

/// A conversation as its client knows it.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The session's id.
    pub session: String,
    /// Whether anything was asked since it was last compared.
    pub is_fresh: bool,
    turns: Vec<(String, Told)>,
}

impl Conversation {
    /// A new one.
    pub fn new(session: String) -> Self {
        Self { session, is_fresh: false, turns: Vec::new() }
    }

    /// Turns that were asked.
    pub fn n_asked(&self) -> usize {
        self.turns.len()
    }

    /// The next question: one word, which no other turn has.
    pub fn next_question(&self) -> String {
        format!("{}#{}", self.session, self.turns.len())
    }

    /// The turn was acknowledged. Its answer recites the questions that the
    /// model saw, the turn's own last.
    pub fn acknowledged(&mut self, answer: String) -> Vec<Fault> {
        let question = self.next_question();
        let mut seen: Vec<&str> = answer.split(' ').collect();
        let mut faults = Vec::new();
        if seen.pop() != Some(question.as_str()) {
            faults.push(Fault::OtherAnswer);
        }
        let seen: Vec<String> = seen.into_iter().map(str::to_owned).collect();
        faults.extend(self.settle(&seen));
        self.note(Told::Stored(Some(answer)));
        faults
    }

    /// The turn was refused.
    pub fn refused(&mut self) {
        self.note(Told::NotStored);
    }

    /// Nobody knows what became of the turn.
    pub fn unknown(&mut self) {
        self.note(Told::Nothing);
    }

    fn note(&mut self, told: Told) {
        self.turns.push((self.next_question(), told));
        self.is_fresh = true;
    }

    /// Compares with the stored messages, (role, content), oldest first.
    pub fn compare(&mut self, stored: &[(String, String)]) -> Vec<Fault> {
        self.is_fresh = false;
        let mut faults = Vec::new();
        let mut questions = Vec::new();
        for pair in stored.chunks(2) {
            match pair {
                [(asked, question), (answered, answer)]
                    if asked == "userMessage" && answered == "apiMessage" =>
                {
                    questions.push(question.clone());
                    let known = self.turns.iter_mut().find(|(own, _)| own == question);
                    match known {
                        Some((_, Told::Stored(Some(told)))) if told != answer => {
                            faults.push(Fault::OtherAnswer);
                        }
                        Some((_, told @ (Told::Nothing | Told::Stored(None)))) => {
                            *told = Told::Stored(Some(answer.clone()));
                        }
                        _ => {}
                    }
                }
                _ => faults.push(Fault::Half),
            }
        }
        faults.extend(self.settle(&questions));
        faults
    }

    /// Compares with the questions that somebody saw, and takes from them what
    /// became of the turns that nobody knew of.
    fn settle(&mut self, seen: &[String]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut places = Vec::new();
        for question in seen {
            match self.turns.iter().position(|(own, _)| own == question) {
                None => faults.push(Fault::Foreign),
                Some(place) if places.contains(&place) => faults.push(Fault::Doubled),
                Some(place) => places.push(place),
            }
        }
        if !places.is_sorted() {
            faults.push(Fault::Reordered);
        }
        // From here on it is known, so that one fault is told of once.
        for (place, (_, told)) in self.turns.iter_mut().enumerate() {
            let is_there = places.contains(&place);
            match (&told, is_there) {
                (Told::Stored(_), false) => faults.push(Fault::Lost),
                (Told::NotStored, true) => faults.push(Fault::Revived),
                (Told::Nothing, _) => {}
                _ => continue,
            }
            *told = if is_there { Told::Stored(None) } else { Told::NotStored };
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three turns: acknowledged, of unknown fate, refused.
    fn conversation() -> Conversation {
        let mut conversation = Conversation::new("s".to_owned());
        assert_eq!(conversation.acknowledged("s#0".to_owned()), []);
        conversation.unknown();
        conversation.refused();
        conversation
    }

    fn stored(turns: &[(&str, &str)]) -> Vec<(String, String)> {
        let both = turns
            .iter()
            .flat_map(|(question, answer)| [("userMessage", *question), ("apiMessage", *answer)]);
        both.map(|(role, text)| (role.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn an_unknown_turn_may_be_there_or_not_but_then_stays_so() {
        let mut with = conversation();
        assert_eq!(with.compare(&stored(&[("s#0", "s#0"), ("s#1", "s#0 s#1")])), []);
        assert_eq!(with.compare(&stored(&[("s#0", "s#0")])), [Fault::Lost]);
        let mut without = conversation();
        assert_eq!(without.compare(&stored(&[("s#0", "s#0")])), []);
        let late = stored(&[("s#0", "s#0"), ("s#1", "x")]);
        assert_eq!(without.compare(&late), [Fault::Revived]);
        assert_eq!(without.compare(&late), []);
    }

    #[test]
    fn every_kind_of_fault_is_told_from_the_others() {
        let good = ("s#0", "s#0");
        for (turns, fault) in [
            (vec![], Fault::Lost),
            (vec![good, good], Fault::Doubled),
            (vec![("s#1", "x"), good], Fault::Reordered),
            (vec![good, ("t#0", "x")], Fault::Foreign),
            (vec![good, ("s#2", "x")], Fault::Revived),
            (vec![("s#0", "y")], Fault::OtherAnswer),
        ] {
            assert_eq!(conversation().compare(&stored(&turns)), [fault], "{turns:?}");
        }
        let half = &stored(&[good, ("s#1", "x")])[..3];
        assert_eq!(conversation().compare(half), [Fault::Half]);
    }

    #[test]
    fn an_answer_tells_what_the_model_saw() {
        assert_eq!(conversation().acknowledged("s#0 s#3".to_owned()), []);
        assert_eq!(conversation().acknowledged("s#0 s#1 s#3".to_owned()), []);
        assert_eq!(conversation().acknowledged("s#3".to_owned()), [Fault::Lost]);
        assert_eq!(conversation().acknowledged("s#0 t#9 s#3".to_owned()), [Fault::Foreign]);
        assert_eq!(conversation().acknowledged("s#0 s#4".to_owned()), [Fault::OtherAnswer]);
    }
}
