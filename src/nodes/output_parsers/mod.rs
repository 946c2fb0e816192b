//! Output parsers: the shape that a model's answer must have. The model is
//! told of it at the end of the prompt, and its answer is held to it.

mod advanced_structured_output_parser;
mod csv_output_parser;
mod custom_list_output_parser;
mod lenient_json;
mod shaped;
mod structured_output_parser;
mod zod;

use std::sync::Arc;

use serde_json::Value;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, OutputParser};
use crate::model::{ChatRequest, ModelMessage, Part, Speaker};
use crate::spec::{Kind, NodeSpec, Param};

pub(crate) use lenient_json::read as read_json;

/// The output parser nodes.
pub const NODES: &[&NodeSpec] = &[
    &csv_output_parser::SPEC,
    &custom_list_output_parser::SPEC,
    &structured_output_parser::SPEC,
    &advanced_structured_output_parser::SPEC,
];

/// The variable by which an author can say where the instructions go.
pub const INSTRUCTIONS: &str = "format_instructions";

/// Whether the model is asked to mend what does not fit.
const AUTOFIX: Param = Param::open("autofixParser", Kind::Boolean);

/// The parser connected to an input, if one is.
///
/// # Errors
/// [`NodeError::BadInput`] when something else is connected.
pub fn connected(inputs: &Inputs, name: &str) -> Result<Option<Arc<dyn OutputParser>>, NodeError> {
    match inputs.node(name) {
        None => Ok(None),
        Some(Instance::OutputParser(parser)) => Ok(Some(parser.clone())),
        other => Err(inputs.wrong_node(name, "an output parser", other)),
    }
}

/// Adds the instructions where Flowise 2.2.8 does: to the end of a prompt of
/// one text, to the end of each system message of a prompt of messages. A
/// prompt of messages without one gets one.
pub fn instruct(messages: &mut Vec<ModelMessage>, instructions: &str, is_one_text: bool) {
    let mut told = false;
    let wanted = |message: &&mut ModelMessage| is_one_text || message.speaker == Speaker::System;
    for message in messages.iter_mut().filter(wanted) {
        let last = message.parts.iter_mut().rev();
        let mut texts = last.filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Image { .. } => None,
        });
        if let Some(text) = texts.next() {
            text.push('\n');
            text.push_str(instructions);
            told = true;
        }
    }
    if !told {
        messages.insert(0, ModelMessage::text(Speaker::System, instructions));
    }
}

/// The answer in the parser's shape. One that does not fit is sent back to the
/// model once, where the parser says so.
///
/// # Errors
/// [`NodeError::UpstreamBroken`]: it is the model that did not do as it was
/// told. Also those of asking it again.
pub async fn shape(
    parser: &dyn OutputParser,
    model: &dyn ChatModel,
    answer: &str,
    ctx: &TurnCtx,
) -> Result<Value, NodeError> {
    let problem = match parser.parse(answer) {
        Ok(value) => return Ok(value),
        Err(problem) => problem,
    };
    if !parser.mends() {
        let hint = "; turn on Autofix in the output parser to let the model mend it";
        return Err(misfit(&problem, hint));
    }
    let request = ChatRequest::new(vec![repair(parser, answer, &problem)]);
    let reply = model.call(request, ctx, false).await?;
    parser.parse(&reply.text).map_err(|problem| misfit(&problem, " and could not mend it"))
}

fn repair(parser: &dyn OutputParser, answer: &str, problem: &str) -> ModelMessage {
    let task = format!(
        "An answer does not have the form that was asked for. Write it again in that form, \
         keep what it says, and add nothing.\n\n\
         The form:\n{}\n\nThe answer:\n{answer}\n\nWhat is wrong with it:\n{problem}",
        parser.instructions()
    );
    ModelMessage::text(Speaker::User, task)
}

fn misfit(problem: &str, more: &str) -> NodeError {
    let shown: String = problem.chars().take(300).collect();
    NodeError::UpstreamBroken {
        provider: "the model".to_owned(),
        problem: format!("gave an answer that does not fit the output parser ({shown}){more}"),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
