//! The id of a tool call, with what Gemini wants to see again beside it.
//!
//! A model that thinks signs its calls, and Gemini refuses a conversation
//! whose calls have lost their signatures (Gemini API guide, "Thought
//! Signatures"). Our messages keep nothing of a call but its id, name and
//! arguments, so the signature travels in the id.

use crate::wire::calls::new_id;

/// Stands between the id and the signature, which is base64.
const BORDER: char = '|';
/// Begins an id that is ours, because Gemini gave none.
const OURS: char = '~';

/// What an id of ours is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CallId<'a> {
    /// Gemini's own id.
    pub(super) id: Option<&'a str>,
    /// The signature.
    pub(super) signature: Option<&'a str>,
}

impl<'a> CallId<'a> {
    /// One id for both.
    pub(super) fn pack(&self) -> String {
        let id = match self.id.filter(|id| !id.is_empty()) {
            Some(id) => id.to_owned(),
            None => format!("{OURS}{}", new_id()),
        };
        format!("{id}{BORDER}{}", self.signature.unwrap_or_default())
    }

    /// Takes an id apart. One that was not packed here is nothing to Gemini.
    pub(super) fn unpack(packed: &'a str) -> Self {
        let Some((id, signature)) = packed.rsplit_once(BORDER) else { return Self::default() };
        Self {
            id: Some(id).filter(|id| !id.starts_with(OURS)),
            signature: Some(signature).filter(|signature| !signature.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_back_what_was_put_into_it() {
        for (id, signature) in
            [(Some("a|b"), Some("c+/=")), (Some("a"), None), (None, Some("s")), (None, None)]
        {
            let call = CallId { id, signature };
            assert_eq!(CallId::unpack(&call.pack()), call);
        }
        assert_eq!(CallId::unpack("call_1"), CallId::default());
        assert_ne!(CallId::default().pack(), CallId::default().pack(), "ids are told apart");
    }
}
