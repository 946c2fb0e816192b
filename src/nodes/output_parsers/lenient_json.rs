//! JSON as models write it: inside a fence or among words, with comments,
//! single quotes, bare keys, a comma too many, line breaks in texts.
//!
//! A cut-off answer is an error and is never completed: nobody knows what is
//! missing from it.

use std::iter::Peekable;
use std::str::CharIndices;

use serde_json::{Map, Value};

const MOST_DEPTH: usize = 100;
const FENCE: &str = "```";
const BRACKETS: [char; 2] = ['{', '['];

/// The JSON of an answer.
///
/// # Errors
/// Why there is none, in a few words.
pub(crate) fn read(answer: &str) -> Result<Value, String> {
    let answer = answer.trim();
    if let Ok(value) = serde_json::from_str(answer) {
        return Ok(value);
    }
    let (before, fenced) = match fenced(answer) {
        Some((before, inner)) => (before, Some(inner)),
        None => (answer, None),
    };
    // A fence after the first bracket may stand in a text of the JSON, but the bracket may as
    // well be a word's: "see [below]".
    let open = before.find(BRACKETS).map(|at| lenient(&answer[at..]));
    match (open, fenced) {
        (Some(Err(why)), Some(inner)) if why != cut_off() => inside_fence(inner).map_err(|_| why),
        (Some(read), _) => read,
        (None, Some(inner)) => inside_fence(inner),
        (None, None) => Err(no_json()),
    }
}

fn inside_fence(inner: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(inner) {
        return Ok(value);
    }
    inner.find(BRACKETS).map_or_else(|| Err(no_json()), |at| lenient(&inner[at..]))
}

/// The value that a text begins with.
fn lenient(text: &str) -> Result<Value, String> {
    Reader { text, rest: text.char_indices().peekable(), depth: 0 }.value()
}

/// What stands before the first fence, and in it without the word for its language.
fn fenced(text: &str) -> Option<(&str, &str)> {
    let (before, inner) = text.split_once(FENCE)?;
    let inner = inner.split_once(FENCE).map_or(inner, |(inner, _)| inner);
    let inner = inner.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    Some((before, inner.trim()))
}

struct Reader<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    depth: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Value, String> {
        self.skip_blanks();
        match self.peek() {
            Some('{') => self.nested(Self::object),
            Some('[') => self.nested(Self::array),
            Some('"' | '\'') => Ok(Value::String(self.text()?)),
            Some(_) => self.word(),
            None => Err(cut_off()),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, String>,
    ) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err("the JSON is nested too deeply".to_owned());
        }
        self.rest.next();
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value, String> {
        let mut map = Map::new();
        while !self.ends_with('}') {
            let key = match self.peek() {
                Some('"' | '\'') => self.text()?,
                _ => self.take_while(|letter| letter.is_alphanumeric() || "_$-".contains(letter)),
            };
            self.skip_blanks();
            match self.rest.next() {
                Some((_, ':')) => {}
                None => return Err(cut_off()),
                Some(_) => return Err(format!("the JSON has no colon after the key {key}")),
            }
            map.insert(key, self.value()?);
            self.comma_or('}')?;
        }
        Ok(Value::Object(map))
    }

    fn array(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        while !self.ends_with(']') {
            items.push(self.value()?);
            self.comma_or(']')?;
        }
        Ok(Value::Array(items))
    }

    /// Takes the closing sign, if it is next.
    fn ends_with(&mut self, end: char) -> bool {
        self.skip_blanks();
        self.rest.next_if(|(_, letter)| *letter == end).is_some()
    }

    /// Takes a comma; the closing sign stays.
    fn comma_or(&mut self, end: char) -> Result<(), String> {
        self.skip_blanks();
        match self.peek() {
            Some(',') => {
                self.rest.next();
                Ok(())
            }
            Some(letter) if letter == end => Ok(()),
            Some(letter) => Err(format!("the JSON has {letter} where a comma or {end} is needed")),
            None => Err(cut_off()),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        let quote = self.rest.next().map(|(_, letter)| letter);
        let mut text = String::new();
        loop {
            let letter = self.rest.next().ok_or_else(cut_off)?.1;
            match letter {
                _ if Some(letter) == quote => return Ok(text),
                '\\' => text.push(self.escaped()?),
                _ => text.push(letter),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        Ok(match self.rest.next().ok_or_else(cut_off)?.1 {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => return self.unicode(),
            letter => letter,
        })
    }

    /// `\uXXXX`, with its second half where one follows.
    fn unicode(&mut self) -> Result<char, String> {
        let mut units = vec![self.unit()?];
        let (_, text) = self.text.split_at(self.place());
        if (0xd800..0xdc00).contains(&units[0]) && text.starts_with("\\u") {
            self.rest.nth(1);
            units.push(self.unit()?);
        }
        let mut decoded = char::decode_utf16(units);
        decoded.next().and_then(Result::ok).ok_or_else(|| "the JSON has half a character".into())
    }

    fn unit(&mut self) -> Result<u16, String> {
        let digits: String = (0..4).filter_map(|_| Some(self.rest.next()?.1)).collect();
        u16::from_str_radix(&digits, 16).map_err(|_| "the JSON has a broken escape".to_owned())
    }

    /// A number, or one of JSON's words, or Python's.
    fn word(&mut self) -> Result<Value, String> {
        let word = self.take_while(|letter| letter.is_alphanumeric() || "+-._".contains(letter));
        match word.as_str() {
            "true" | "True" => Ok(Value::Bool(true)),
            "false" | "False" => Ok(Value::Bool(false)),
            "null" | "None" => Ok(Value::Null),
            _ => serde_json::from_str(&word).map_err(|_| {
                let shown: String = word.chars().take(40).collect();
                format!("the JSON has a value that is none: {shown}")
            }),
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some((_, letter)) = self.rest.next_if(|(_, letter)| wanted(*letter)) {
            taken.push(letter);
        }
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            while self.rest.next_if(|(_, letter)| letter.is_whitespace()).is_some() {}
            let (_, rest) = self.text.split_at(self.place());
            let n_bytes = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |at| at + 2)
            } else {
                return;
            };
            let end = self.place() + n_bytes;
            while self.rest.next_if(|(at, _)| *at < end).is_some() {}
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, letter)| *letter)
    }

    /// The byte that comes next.
    fn place(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }
}

fn no_json() -> String {
    "the answer holds no JSON".to_owned()
}

fn cut_off() -> String {
    "the JSON breaks off before its end".to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_models_write_is_read() {
        let expected = json!({"a": [1, true], "b": "x"});
        for answer in [
            r#"{"a": [1, true], "b": "x"}"#,
            "Here you are:\n```json\n{\"a\": [1, true], \"b\": \"x\"}\n```\nAnything else?",
            "```\n{\"a\": [1, true], \"b\": \"x\"}```",
            "```JSON {\"a\": [1, true], \"b\": \"x\"}",
            "Sure! {a: [1, True,], 'b': 'x',} That is all.",
            "{ // first\n \"a\": [1, /* yes */ true], b: \"x\" }",
        ] {
            assert_eq!(read(answer).as_ref(), Ok(&expected), "{answer}");
        }
    }

    #[test]
    fn texts_keep_their_line_breaks_quotes_and_characters() {
        for (answer, expected) in [
            ("{a: \"one\ntwo\"}", "one\ntwo"),
            (r#"{a: 'it\'s "so"'}"#, "it's \"so\""),
            (r#"{a: "\u00e9 \ud83e\udd8a \n"}"#, "é 🦊 \n"),
            ("{\"a\": \"```js\\nx\\n```\"}", "```js\nx\n```"),
            ("{a: \"http://x.y/*z*/\"}", "http://x.y/*z*/"),
            ("It is {\"a\": \"```js x```\"}.", "```js x```"),
            ("See [below]:\n```json\n{\"a\": \"x\"}\n```", "x"),
        ] {
            assert_eq!(read(answer), Ok(json!({"a": expected})), "{answer}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_json_is_told() {
        for (answer, why) in [
            ("I cannot do that.", "holds no JSON"),
            ("", "holds no JSON"),
            ("{\"a\": \"one", "breaks off"),
            ("{\"a\": [1, 2", "breaks off"),
            ("{\"a\"", "breaks off"),
            ("So: {\"a\": \"```[1]```", "breaks off"),
            ("See [below]:\n```\nnothing\n```", "a value that is none: below"),
            ("{a b}", "no colon after the key a"),
            ("{a: 1 b: 2}", "where a comma or } is needed"),
            ("[yes]", "a value that is none: yes"),
            ("[\"\\ud83e\"]", "half a character"),
        ] {
            let error = read(answer).unwrap_err();
            assert!(error.contains(why), "{answer}: {error}");
        }
        let error = read(&format!("{}x", "[".repeat(10_000))).unwrap_err();
        assert!(error.contains("too deeply"), "{error}");
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reader(answer in "[\\[\\]{}:,'\"\\\\/*u0-9a-f `\n]{0,60}") {
            let _ = read(&answer);
        }

        #[test]
        fn good_json_is_itself(text in "(.|```){0,40}", number in any::<i64>()) {
            let value = json!({"text": text, "list": [number, null]});
            prop_assert_eq!(read(&value.to_string()), Ok(value.clone()));
            prop_assert_eq!(read(&format!("see: {value} !")), Ok(value));
        }
    }
}
