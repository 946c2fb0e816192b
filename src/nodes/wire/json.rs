//! Text of a JSON reply, borrowed from its bytes where it holds no escape.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;

/// A JSON string. Inside an `Option`, a plain `Cow` would always be copied.
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_escapes_is_not_copied() {
        let plain: Option<Text> = serde_json::from_slice(b"\"plain\"").unwrap();
        assert!(matches!(plain, Some(Text(Cow::Borrowed("plain")))));

        let escaped: Option<Text> = serde_json::from_slice(b"\"a\\nb\"").unwrap();
        assert_eq!(&*escaped.unwrap(), "a\nb");
    }
}
