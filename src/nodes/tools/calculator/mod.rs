//! Flowise `calculator`, version 1: arithmetic for a model, in the grammar of
//! LangChain.js's calculator (expr-eval) without its strings, assignments and
//! functions of one's own.

mod functions;
mod parser;
mod value;

use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use serde_json::Value;

use super::arguments;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, Tool, ToolOutput};
use crate::model::ToolDefinition;
use crate::spec::NodeSpec;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "calculator",
    category: "Tools",
    version: 1.0,
    about: "Calculates for a model.",
    params: &[],
    credential: None,
    build,
};

/// What the model reads when the expression makes no sense: LangChain's text.
const AT_A_LOSS: &str = "I don't know how to do that.";

/// As recorded with Flowise 2.2.8.
const DESCRIPTION: &str = "Useful for getting the result of a math expression. The input to this \
    tool should be a valid mathematical expression that could be executed by a simple calculator.";

fn build(_inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::Tool(Arc::new(Calculator)))
}

struct Calculator;

impl Tool for Calculator {
    fn definition(&self) -> ToolDefinition {
        ToolDefinition {
            name: "calculator".to_owned(),
            description: DESCRIPTION.to_owned(),
            parameters: arguments::one_text(),
            strict: false,
        }
    }

    fn call<'a>(
        &'a self,
        arguments: Value,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<ToolOutput, NodeError>> {
        let output = arguments::text(&arguments)
            .map(|input| ToolOutput { text: calculate(input), ..ToolOutput::default() });
        Box::pin(ready(output))
    }
}

fn calculate(expression: &str) -> String {
    parser::evaluate(expression).map_or_else(|| AT_A_LOSS.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
