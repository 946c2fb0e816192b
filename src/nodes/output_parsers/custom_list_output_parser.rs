//! Flowise `customListOutputParser`, version 1: a list of some length, with a
//! separator of the author's choice.

use std::sync::Arc;

use serde_json::Value;

use super::AUTOFIX;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, OutputParser};
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "customListOutputParser",
    category: "Output Parsers",
    version: 1.0,
    about: "Makes a list of an answer, with a length and a separator.",
    params: &[Param::open("length", Kind::Integer), Param::open("separator", Kind::Text), AUTOFIX],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let length = inputs.integer("length", 1)?;
    Ok(Instance::OutputParser(Arc::new(ListParser {
        length: length.and_then(|length| usize::try_from(length).ok()),
        separator: inputs.text("separator").unwrap_or_else(|| ",".to_owned()),
        mends: inputs.boolean("autofixParser")? == Some(true),
    })))
}

struct ListParser {
    length: Option<usize>,
    separator: String,
    mends: bool,
}

impl OutputParser for ListParser {
    fn instructions(&self) -> String {
        let separator = &self.separator;
        let length = self.length.map(|length| format!("exactly {length} ")).unwrap_or_default();
        format!(
            "Answer with a list of {length}items, separated by \"{separator}\", such as \
             `red{separator} green{separator} blue`, and nothing else."
        )
    }

    fn parse(&self, answer: &str) -> Result<Value, String> {
        let items: Vec<&str> = answer.trim().split(&self.separator).map(str::trim).collect();
        match self.length {
            Some(wanted) if wanted != items.len() => {
                Err(format!("the list has {} items, not {wanted}", items.len()))
            }
            _ => Ok(items.into_iter().collect()),
        }
    }

    fn mends(&self) -> bool {
        self.mends
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{build, build_error, source};

    fn parser(length: &str, separator: &str) -> Arc<dyn OutputParser> {
        match build(&SPEC, [("length", source(length)), ("separator", source(separator))]) {
            Instance::OutputParser(parser) => parser,
            other => panic!("{}", other.kind()),
        }
    }

    #[test]
    fn length_and_separator_are_held_to_and_told() {
        for (length, separator, answer, expected) in [
            ("", "", "a, b", Ok(json!(["a", "b"]))),
            ("2", ";", " a; b ", Ok(json!(["a", "b"]))),
            ("3", ";", "a; b", Err("the list has 2 items, not 3".to_owned())),
            ("", "\n", "a, b\nc", Ok(json!(["a, b", "c"]))),
        ] {
            assert_eq!(parser(length, separator).parse(answer), expected, "{answer:?}");
        }
        let told = parser("3", ";").instructions();
        assert!(told.contains("exactly 3 items, separated by \";\""), "{told}");
    }

    #[test]
    fn a_length_that_is_none_is_refused() {
        for length in ["0", "-1", "2.5", "many"] {
            let error = build_error(&SPEC, [("length", source(length))]);
            assert!(error.to_string().contains("length must be"), "{error}");
        }
    }
}
