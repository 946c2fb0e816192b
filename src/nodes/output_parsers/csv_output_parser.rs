//! Flowise `csvOutputParser`, version 1: a list, comma by comma.

use std::sync::Arc;

use serde_json::Value;

use super::AUTOFIX;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, OutputParser};
use crate::spec::NodeSpec;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "csvOutputParser",
    category: "Output Parsers",
    version: 1.0,
    about: "Makes a list of an answer's comma-separated values.",
    params: &[AUTOFIX],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let mends = inputs.boolean("autofixParser")? == Some(true);
    Ok(Instance::OutputParser(Arc::new(CsvParser { mends })))
}

struct CsvParser {
    mends: bool,
}

impl OutputParser for CsvParser {
    fn instructions(&self) -> String {
        "Answer with a list of values and a comma between each two, such as \
         `red, green, blue`, and nothing else."
            .to_owned()
    }

    fn parse(&self, answer: &str) -> Result<Value, String> {
        Ok(answer.trim().split(',').map(str::trim).collect())
    }

    fn mends(&self) -> bool {
        self.mends
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::build;

    #[test]
    fn values_are_split_at_commas_without_the_blanks_around_them() {
        let Instance::OutputParser(parser) = build(&SPEC, []) else { panic!("a parser") };
        for (answer, expected) in [
            (" red,green ,\n blue\n", json!(["red", "green", "blue"])),
            ("one", json!(["one"])),
            ("a,,b", json!(["a", "", "b"])),
        ] {
            assert_eq!(parser.parse(answer), Ok(expected));
        }
        assert!(!parser.mends());
    }
}
