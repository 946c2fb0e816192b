//! A parser whose answer is JSON of a schema: what both structured nodes build.

use serde_json::Value;

use super::lenient_json;
use super::zod::Schema;
use crate::instance::OutputParser;

/// The parser.
pub(super) struct Shaped {
    /// The shape.
    pub(super) schema: Schema,
    /// Whether a model may be asked to mend an answer.
    pub(super) mends: bool,
}

impl OutputParser for Shaped {
    fn instructions(&self) -> String {
        format!(
            "Answer with JSON and nothing else: no words before or after it, no comments, no \
             trailing commas. The JSON must be an instance of the following JSON Schema, with \
             every required key. Write the data, not the schema.\n```json\n{}\n```",
            self.schema.to_json()
        )
    }

    fn parse(&self, answer: &str) -> Result<Value, String> {
        self.schema.check(lenient_json::read(answer)?)
    }

    fn mends(&self) -> bool {
        self.mends
    }
}
