//! The words of a reply: a text, or Mistral's list of parts, of which those
//! that are thoughts or references are left out.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The words, borrowed where they are a text without an escape.
#[derive(Debug)]
pub(super) struct Words<'a>(pub(super) Cow<'a, str>);

/// A part of a list; only one of type `text` has a text beside it.
#[derive(Deserialize)]
struct Part {
    r#type: Option<String>,
    text: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordsVisitor).map(Self)
    }
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of parts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut words = String::new();
        while let Some(part) = parts.next_element::<Part>()? {
            if part.r#type.as_deref() == Some("text") {
                words.push_str(part.text.as_deref().unwrap_or_default());
            }
        }
        Ok(Cow::Owned(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_text_or_the_texts_of_a_list() {
        let thoughts = r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},
            {"type":"text","text":"It is "},{"type":"reference","reference_ids":[1]},
            {"type":"text","text":"four."}]"#;
        for (json, expected) in
            [(r#""plain""#, "plain"), (r#""a\nb""#, "a\nb"), (thoughts, "It is four."), ("[]", "")]
        {
            let words: Words<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(words.0, expected);
        }
        let plain: Words<'_> = serde_json::from_str(r#""plain""#).unwrap();
        assert!(matches!(plain.0, Cow::Borrowed(_)));
        assert!(serde_json::from_str::<Words<'_>>("7").is_err());
    }
}
