//! Flowise `advancedStructuredOutputParser`, version 1: a shape written in
//! Zod. Flowise runs the expression as JavaScript; here it is only read.

use std::sync::Arc;

use super::AUTOFIX;
use super::shaped::Shaped;
use super::zod;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "advancedStructuredOutputParser",
    category: "Output Parsers",
    version: 1.0,
    about: "Makes JSON of an answer, in a shape written in Zod.",
    params: &[AUTOFIX, Param::open("exampleJson", Kind::Text)],
    credential: None,
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let source = inputs.required_text("exampleJson")?;
    let schema = zod::parse(&source).map_err(|why| inputs.bad("exampleJson", why))?;
    let mends = inputs.boolean("autofixParser")? == Some(true);
    Ok(Instance::OutputParser(Arc::new(Shaped { schema, mends })))
}

#[cfg(test)]
mod tests {
    use parlor_schemas::ErrorCode;
    use serde_json::json;

    use super::*;
    use crate::test_support::{build, build_error, source};

    #[test]
    fn an_answer_is_held_to_the_expression() {
        let shape = "z.array(z.object({ title: z.string(), year: z.number().int() }))";
        let Instance::OutputParser(parser) =
            build(&SPEC, [("exampleJson", source(shape)), ("autofixParser", source("true"))])
        else {
            panic!("a parser")
        };
        let answer = "```json\n[{\"title\": \"Alien\", \"year\": 1979,}]\n```";
        assert_eq!(parser.parse(answer), Ok(json!([{"title": "Alien", "year": 1979}])));
        let error = parser.parse("[{\"title\": 1, \"year\": 1.5}]").unwrap_err();
        assert_eq!(error, "[0].title must be a text; [0].year must be a whole number");
        assert!(parser.mends());
    }

    #[test]
    fn an_expression_that_is_not_read_is_refused_and_never_run() {
        for (shape, why) in [
            ("", "exampleJson is empty"),
            ("z.string().refine(v => v)", "uses .refine(), which is not among"),
            ("process.exit(1)", "has process in line 1, where z. is expected"),
        ] {
            let error = build_error(&SPEC, [("exampleJson", source(shape))]);
            assert_eq!(error.code(), ErrorCode::InvalidFlow);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
