//! Flowise `recursiveCharacterTextSplitter`, version 2: paragraphs, then lines, then
//! words, then characters, or the separators of the author.

use std::sync::Arc;

use serde_json::Value;

use super::recursive::Recursive;
use super::sizes::{CHUNK_OVERLAP, CHUNK_SIZE, Sizes};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "recursiveCharacterTextSplitter",
    category: "Text Splitters",
    version: 2.0,
    about: "Cuts at paragraphs first, then at lines, words and characters.",
    params: &[CHUNK_SIZE, CHUNK_OVERLAP, SEPARATORS],
    credential: None,
    build,
};

const SEPARATORS: Param = Param::open("separators", Kind::Json);
/// LangChain's own.
const USUAL: &[&str] = &["\n\n", "\n", " ", ""];
/// Each separator may be one more search through the whole text.
const MAX_SEPARATORS: usize = 100;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let sizes = Sizes::read(inputs)?;
    let splitter = match separators(inputs)? {
        Some(separators) => Recursive { sizes, separators },
        None => Recursive::with(sizes, USUAL),
    };
    Ok(Instance::Splitter(Arc::new(splitter)))
}

/// The author's separators: a JSON list, or text that holds one.
fn separators(inputs: &Inputs) -> Result<Option<Vec<String>>, NodeError> {
    let problem = "must be a JSON list of texts, such as [\"\\n\\n\", \"\\n\", \" \"]";
    let bad = || inputs.bad(SEPARATORS.name, problem);
    let Some(value) = inputs.json(SEPARATORS.name).map_err(|_| bad())? else { return Ok(None) };
    let Value::Array(items) = value else { return Err(bad()) };
    if items.len() > MAX_SEPARATORS {
        let problem = format!("holds more than {MAX_SEPARATORS} separators; name fewer");
        return Err(inputs.bad(SEPARATORS.name, problem));
    }
    let text = |item: Value| match item {
        Value::String(text) => Ok(text),
        _ => Err(bad()),
    };
    items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{build, build_error, json, source};
    use crate::text_splitters::Room;

    const TEXT: &str = "one two\n\nthree|four";

    fn chunks(separators: crate::inputs::InputValue) -> Vec<String> {
        let sizes = [("chunkSize", source("8")), ("chunkOverlap", json(json!(0)))];
        let [size, overlap] = sizes;
        match build(&SPEC, [size, overlap, ("separators", separators)]) {
            Instance::Splitter(splitter) => splitter.split(TEXT, &mut Room::endless()),
            other => panic!("{}", other.kind()),
        }
    }

    #[test]
    fn separators_are_a_list_or_text_that_holds_one() {
        let usual = ["one two", "three|f", "our"];
        assert_eq!(chunks(source("")), usual);
        assert_eq!(chunks(json(json!(null))), usual);

        let at_bars = ["one two\n\nthree", "|four"];
        assert_eq!(chunks(source(r#"["|", "~"]"#)), at_bars);
        assert_eq!(chunks(json(json!(["|", "~"]))), at_bars);
    }

    #[test]
    fn an_empty_list_cuts_anywhere() {
        assert_eq!(chunks(json(json!([]))), ["one two", "three|f", "our"]);
        assert_eq!(chunks(json(json!([]))), chunks(json(json!([""]))));
    }

    #[test]
    fn what_is_no_list_of_texts_is_refused_by_name() {
        let too_many = json!(vec!["x"; MAX_SEPARATORS + 1]);
        for separators in [
            source("\\n"),
            source("{\"a\": 1}"),
            json(json!("text")),
            json(json!([1])),
            json(json!({})),
            json(too_many),
        ] {
            let error = build_error(&SPEC, [("separators", separators)]).to_string();
            assert!(error.starts_with("Test node (test_0): separators "), "{error}");
        }
    }
}
