//! The answer that the model server gives: known in advance, so that the load
//! generator can tell a right reply from a merely quick one.

/// Tokens in an answer unless told otherwise: a short sentence.
pub const DEFAULT_TOKENS: usize = 16;

/// Words that the tokens are taken from, in order and over again.
const WORDS: [&str; 8] = ["Every", "room", "keeps", "its", "own", "talk", "and", "memory"];

/// The tokens of an answer: each word but the first carries its leading space.
pub fn tokens(count: usize) -> Vec<String> {
    let word = |index: usize| WORDS[index % WORDS.len()];
    (0..count).map(|i| if i == 0 { word(i).into() } else { format!(" {}", word(i)) }).collect()
}

/// The whole answer as one text. It holds no character that JSON escapes.
pub fn text(count: usize) -> String {
    tokens(count).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_an_answer_add_up_to_its_text() {
        assert_eq!(tokens(3), ["Every", " room", " keeps"]);
        assert_eq!(text(10), "Every room keeps its own talk and memory Every room");
    }

    #[test]
    fn an_answer_of_no_tokens_is_empty() {
        assert_eq!(text(0), "");
    }
}
