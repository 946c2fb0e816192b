//! Cuts a prompt into passages that can answer a question, and finds the
//! question in it.

use std::ops::Range;

use crate::model::{ModelMessage, Part, Speaker};

/// Bytes of a conversation that are searched, newest first, so that a long
/// one stays cheap. Instructions and documents are searched whole.
const MAX_TALK_BYTES: usize = 64 * 1024;

/// A question and what may answer it, in the order of the prompt.
#[derive(Debug, PartialEq)]
pub(super) struct Search<'a> {
    /// The person's words.
    pub(super) question: &'a str,
    /// Sentences and lines, without questions from the conversation.
    pub(super) passages: Vec<&'a str>,
}

impl<'a> Search<'a> {
    /// Reads a prompt. `asked` is what the person typed, with attached text in
    /// front; where the last user message holds it among other text (a
    /// retrieval prompt), that other text is searched, too.
    pub(super) fn new(messages: &'a [ModelMessage], asked: &'a str) -> Self {
        let asked = asked.rsplit_once("</doc>").map_or(asked, |(_, words)| words).trim();
        let last = messages.iter().rposition(|message| message.speaker == Speaker::User);
        let mut passages = Vec::new();
        for message in newest(messages, last) {
            passages.extend(texts(message).flat_map(|text| sentences(text, message.speaker)));
        }
        let last = last.map(|index| &messages[index]);
        let Some(words) = last.and_then(|message| texts(message).next()) else {
            return Self { question: asked, passages };
        };
        match words.rfind(asked) {
            Some(at) if !asked.is_empty() => {
                passages.extend(beside(words, at..at + asked.len()));
                Self { question: asked, passages }
            }
            _ => Self { question: words, passages },
        }
    }
}

/// The sentences of a user message outside the lines that hold the question.
fn beside(words: &str, asked: Range<usize>) -> impl Iterator<Item = &str> {
    let before = words[..asked.start].rsplit_once('\n').map_or("", |(before, _)| before);
    let after = words[asked.end..].split_once('\n').map_or("", |(_, after)| after);
    sentences(before, Speaker::System).chain(sentences(after, Speaker::System))
}

fn texts(message: &ModelMessage) -> impl Iterator<Item = &str> {
    message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Image { .. } => None,
    })
}

fn is_talk(speaker: Speaker) -> bool {
    matches!(speaker, Speaker::User | Speaker::Assistant)
}

/// The messages that are searched beside the question, in order.
fn newest(messages: &[ModelMessage], question: Option<usize>) -> Vec<&ModelMessage> {
    let mut left = Some(MAX_TALK_BYTES);
    let mut kept: Vec<_> = messages.iter().enumerate().rev().collect();
    kept.retain(|(index, message)| {
        if Some(*index) == question {
            return false;
        }
        if is_talk(message.speaker) {
            // What does not fit ends the search: a gap would mislead.
            let size: usize = texts(message).map(str::len).sum();
            left = left.and_then(|left| left.checked_sub(size));
            return left.is_some();
        }
        true
    });
    kept.into_iter().rev().map(|(_, message)| message).collect()
}

/// The sentences and lines of a text. One that ends in a colon is kept
/// together with what follows. So is a question in instructions and documents,
/// which is how lists of questions and answers are written; in a conversation
/// a question answers nothing and is left out.
fn sentences(text: &str, speaker: Speaker) -> impl Iterator<Item = &str> {
    let talk = is_talk(speaker);
    let is_open = move |text: &str| {
        let text = text.trim_end();
        text.ends_with([':', '：']) || (!talk && is_question(text))
    };
    let mut rest = text;
    let next = move || {
        while !rest.is_empty() {
            let mut end = sentence_end(rest);
            while end < rest.len() && is_open(&rest[..end]) {
                // Blank lines are passed in one step, so that many cost little.
                end = rest.len() - rest[end..].trim_start().len();
                end += sentence_end(&rest[end..]);
            }
            let (sentence, after) = rest.split_at(end);
            rest = after;
            let sentence = untagged(sentence.trim());
            let is_answer = !is_open(sentence) && !is_question(sentence);
            if is_answer && sentence.contains(char::is_alphanumeric) {
                return Some(sentence);
            }
        }
        None
    };
    std::iter::from_fn(next)
}

fn is_question(sentence: &str) -> bool {
    sentence.ends_with(['?', '？', '؟'])
}

/// The byte after the first sentence or line of a text.
fn sentence_end(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((at, ch)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let ends = match ch {
            '\n' | '。' | '！' | '？' => true,
            '.' | '!' | '?' | '؟' => next.is_none_or(char::is_whitespace),
            _ => false,
        };
        if ends {
            return at + ch.len_utf8();
        }
    }
    text.len()
}

/// The text without tags round it: chains wrap documents in `<doc id='0'>`.
fn untagged(text: &str) -> &str {
    let mut text = text;
    while let Some((_, after)) = text.strip_prefix('<').and_then(|inner| inner.split_once('>')) {
        text = after.trim_start();
    }
    while let Some((before, _)) = text.strip_suffix('>').and_then(|inner| inner.rsplit_once("</")) {
        text = before.trim_end();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::{assistant, system, user};

    fn split(text: &str, speaker: Speaker) -> Vec<&str> {
        sentences(text, speaker).collect()
    }

    #[test]
    fn a_text_is_cut_at_sentences_and_lines() {
        for (text, expected) in [
            ("One is 3.5 m. Two!\nThree", vec!["One is 3.5 m.", "Two!", "Three"]),
            ("猫です。犬です。", vec!["猫です。", "犬です。"]),
            ("---\n\n* item\n", vec!["* item"]),
            ("Open?\n\n9 to 5. More?", vec!["Open?\n\n9 to 5."]),
            ("Hours:\n9 to 5\nAnswer:", vec!["Hours:\n9 to 5"]),
            ("<doc id='0'>Paris is big.</doc>", vec!["Paris is big."]),
            ("<doc id='0'>Paris is big</doc>\n", vec!["Paris is big"]),
            ("", vec![]),
        ] {
            assert_eq!(split(text, Speaker::System), expected, "{text}");
        }
    }

    #[test]
    fn a_question_in_the_conversation_is_no_passage() {
        assert_eq!(split("Hi. Who am I? I am Ann", Speaker::User), ["Hi.", "I am Ann"]);
    }

    #[test]
    fn the_question_is_found_in_a_prompt_that_surrounds_it() {
        let stuffed = "Use this.\n\nParis is big.\n\nQuestion: Is it big?\nHelpful Answer:";
        let attached = "<doc name='a'>Paris is big.</doc>\n\nIs it big?";
        for (message, asked, question, passages) in [
            (stuffed, "Is it big?", "Is it big?", vec!["Use this.", "Paris is big."]),
            (attached, attached, "Is it big?", vec!["Paris is big."]),
            ("big?\n\nFacts:\nIt is.", "big?", "big?", vec!["Facts:\nIt is."]),
            ("Is it big?", "Is it big?", "Is it big?", vec![]),
            ("A name for socks?", "socks", "socks", vec![]),
            ("Rewritten", "original", "Rewritten", vec![]),
        ] {
            let messages = [user(message)];

            let search = Search::new(&messages, asked);

            assert_eq!(search, Search { question, passages });
        }
    }

    #[test]
    fn a_long_conversation_is_searched_from_its_newest_end() {
        let long = "word ".repeat(MAX_TALK_BYTES / 5);
        let messages = [system(&long), user("old"), assistant(&long), user("new"), user("q")];

        let search = Search::new(&messages, "q");

        assert_eq!(search.passages, [long.trim(), "new"]);
    }

    proptest! {
        #[test]
        fn any_text_is_cut_into_pieces_of_itself(text in "[a-z<>/.?: \n]{0,60}") {
            for speaker in [Speaker::System, Speaker::User] {
                for sentence in sentences(&text, speaker) {
                    prop_assert!(text.contains(sentence));
                }
            }
        }
    }
}
