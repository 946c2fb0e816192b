//! What is remembered of a turn, and its form as text.
//!
//! An exchange as text: its place, its flags and the lengths of its parts as
//! ASCII letters, then the parts: question, answer, state, chat, files. All is
//! one text, so that reading borrows from it and checks no UTF-8 again.

use crate::chat_message::Role;
use crate::turn::{Halves, Turn};

/// Six bits of a number go into a letter; this one says that more follow.
const MORE: u8 = 0x40;

const QUESTION: u8 = 1;
const ANSWER: u8 = 2;
const STATE: u8 = 4;
const UPLOADS: u8 = 8;

/// What memories and templates need of a past turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// Place in the session.
    pub seq: u64,
    /// What of it is not deleted.
    pub halves: Halves,
    /// The person's words as sent.
    pub question: &'a str,
    /// The stored answer.
    pub answer: &'a str,
    /// JSON text: what the memory made of the conversation up to here.
    pub memory_state: Option<&'a str>,
    /// What came with the question.
    pub uploads: Option<PastUploads<'a>>,
}

/// The files of a past question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastUploads<'a> {
    /// The chat under whose id they are kept.
    pub chat: &'a str,
    /// JSON text: `fileUploads` of the question's row.
    pub files: &'a str,
}

impl<'a> Exchange<'a> {
    /// What was said and is not deleted, question first.
    pub fn said(&self) -> impl Iterator<Item = (Role, &'a str)> + use<'a> {
        let halves = self.halves;
        let said = [(Role::UserMessage, self.question), (Role::ApiMessage, self.answer)];
        said.into_iter().filter(move |(role, _)| halves.has(*role))
    }

    /// Lends what is remembered of a turn.
    pub(crate) fn of<T>(turn: &Turn, read: impl FnOnce(&Exchange<'_>) -> T) -> T {
        let body = &turn.body;
        let state = body.memory_state.as_ref().map(ToString::to_string);
        let files = body.file_uploads.as_ref().map(ToString::to_string);
        let chat = body.chat_id.as_str();
        read(&Exchange {
            seq: turn.seq,
            halves: turn.halves,
            question: &body.question,
            answer: &body.answer,
            memory_state: state.as_deref(),
            uploads: files.as_deref().map(|files| PastUploads { chat, files }),
        })
    }

    /// Appends it as text.
    pub(crate) fn write(&self, text: &mut String) {
        text.push_str(&self.head());
        text.extend(self.parts());
    }

    /// The bytes of it as text.
    pub(crate) fn weight(&self) -> usize {
        self.head().len() + self.parts().map(str::len).sum::<usize>()
    }

    /// The letters before the parts.
    fn head(&self) -> String {
        let mut head = String::with_capacity(16);
        put(&mut head, self.seq);
        head.push(char::from(self.flags()));
        self.parts().for_each(|part| put(&mut head, part.len() as u64));
        head
    }

    /// The texts after the head.
    fn parts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let of_uploads = self.uploads.map(|uploads| [uploads.chat, uploads.files]);
        let always = [self.question, self.answer].into_iter();
        always.chain(self.memory_state).chain(of_uploads.into_iter().flatten())
    }

    fn flags(&self) -> u8 {
        let flag = |bit, is_set| if is_set { bit } else { 0 };
        flag(QUESTION, self.halves.question)
            | flag(ANSWER, self.halves.answer)
            | flag(STATE, self.memory_state.is_some())
            | flag(UPLOADS, self.uploads.is_some())
    }
}

fn put(head: &mut String, mut number: u64) {
    const LOW: u64 = MORE as u64 - 1;
    while number > LOW {
        head.push(char::from(MORE | (number & LOW) as u8));
        number >>= 6;
    }
    head.push(char::from(number as u8));
}

/// Reads exchanges one behind the other; the rest of the text.
pub(crate) struct Reader<'a>(pub(crate) &'a str);

impl<'a> Reader<'a> {
    /// The next exchange; `None` at the end.
    pub(crate) fn exchange(&mut self) -> Option<Exchange<'a>> {
        let seq = self.number()?;
        let flags = self.letter()?;
        let n_uploads = if flags & UPLOADS == 0 { 0 } else { 2 };
        let n_parts = 2 + usize::from(flags & STATE != 0) + n_uploads;
        let mut lengths = [0; 5];
        for length in lengths.iter_mut().take(n_parts) {
            *length = usize::try_from(self.number()?).ok()?;
        }
        let mut lengths = lengths.into_iter();
        let mut part = || self.text(lengths.next()?);
        let (question, answer) = (part()?, part()?);
        let memory_state = if flags & STATE == 0 { None } else { Some(part()?) };
        let uploads = match flags & UPLOADS {
            0 => None,
            _ => Some(PastUploads { chat: part()?, files: part()? }),
        };
        let halves = Halves { question: flags & QUESTION != 0, answer: flags & ANSWER != 0 };
        Some(Exchange { seq, halves, question, answer, memory_state, uploads })
    }

    fn letter(&mut self) -> Option<u8> {
        let letter = *self.0.as_bytes().first()?;
        self.0 = self.0.get(1..)?;
        Some(letter)
    }

    fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let letter = self.letter()?;
            number |= u64::from(letter & (MORE - 1)).checked_shl(shift)?;
            shift += 6;
            if letter & MORE == 0 {
                return Some(number);
            }
        }
    }

    fn text(&mut self, n_bytes: usize) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(n_bytes)?;
        self.0 = rest;
        Some(text)
    }
}
