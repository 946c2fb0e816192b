//! Flowise `chainTool`, version 1: a chain or an agent that another agent may
//! ask. It is asked with the tool's input as the question; its tokens are not
//! the turn's answer and go to nobody.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::arguments;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::events::EventSink;
use crate::inputs::Inputs;
use crate::instance::{Document, Instance, RunOutput, Runnable, Tool, ToolOutput};
use crate::model::ToolDefinition;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chainTool",
    category: "Tools",
    version: 1.0,
    about: "Lets an agent ask a chain.",
    params: &[
        // A request's `name` or `description` is rarely meant for a tool.
        Param::closed("name", Kind::Text),
        Param::closed("description", Kind::Text),
        Param::closed("returnDirect", Kind::Boolean),
        Param::closed("baseChain", Kind::Node),
    ],
    credential: None,
    build,
};

/// Most characters that providers take in the name of a tool.
const MAX_NAME: usize = 64;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::Tool(Arc::new(ChainTool {
        name: tool_name(&inputs.required_text("name")?, &inputs.id),
        description: inputs.text("description").unwrap_or_default(),
        returns_direct: inputs.boolean("returnDirect")?.unwrap_or(false),
        chain: inputs.runnable("baseChain")?,
    })))
}

/// The typed name with everything replaced that providers refuse; a name of
/// which nothing would be left is the node's id.
fn tool_name(typed: &str, id: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name = if typed.contains(|c: char| c.is_ascii_alphanumeric()) { typed.trim() } else { id };
    name.chars().take(MAX_NAME).map(keep).collect()
}

struct ChainTool {
    name: String,
    description: String,
    returns_direct: bool,
    chain: Arc<dyn Runnable>,
}

impl Tool for ChainTool {
    fn definition(&self) -> ToolDefinition {
        ToolDefinition {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: arguments::one_text(),
            strict: false,
        }
    }

    fn returns_direct(&self) -> bool {
        self.returns_direct
    }

    fn call<'a>(
        &'a self,
        arguments: Value,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<ToolOutput, NodeError>> {
        Box::pin(async move {
            let inner = inner_turn(ctx, arguments::text(&arguments)?)?;
            let output = self.chain.run(&inner, false).await?;
            Ok(ToolOutput {
                text: text_of(&output),
                source_documents: sources_of(&output),
                ..ToolOutput::default()
            })
        })
    }
}

/// The same turn with another question, without the person's uploads and
/// without anybody who listens. What a memory of the chain would keep is not
/// kept: the record of the turn is the outer memory's.
fn inner_turn(ctx: &TurnCtx, question: &str) -> Result<TurnCtx, NodeError> {
    let agents = ctx.agents.deeper().ok_or_else(|| {
        NodeError::BadRequest("this chain is nested too deep; answer without it".to_owned())
    })?;
    Ok(TurnCtx {
        question: question.into(),
        uploads: Arc::new([]),
        events: EventSink::none(),
        kept: Arc::default(),
        agents,
        ..ctx.clone()
    })
}

/// The chain's text; what it returns in another form as JSON.
fn text_of(output: &RunOutput) -> String {
    match (output.fields.get("text"), output.fields.get("json")) {
        (Some(Value::String(text)), _) => text.clone(),
        (_, Some(json)) => json.to_string(),
        _ => Value::Object(output.fields.clone()).to_string(),
    }
}

/// The passages behind the chain's answer.
fn sources_of(output: &RunOutput) -> Vec<Document> {
    let items = output.fields.get("sourceDocuments").and_then(Value::as_array);
    let items = items.into_iter().flatten();
    items.filter_map(|item| Document::deserialize(item).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ctx::AgentBudget;
    use crate::model::ModelMessage;
    use crate::prompts::TextPrompt;
    use crate::rich_text::RichText;
    use crate::template::Template;
    use crate::test_support::{
        self as support, FakeModel, FakeRetriever, TestTurn, build, node, source, user,
    };

    /// An LLM chain with a prompt, as a tool.
    fn tool(model: &Arc<FakeModel>, prompt: &str, values: &Value) -> Arc<dyn Tool> {
        let template = Template::parse(&RichText::source(prompt));
        let values = values.as_object().unwrap().clone();
        let prompt = Instance::Prompt(Arc::new(TextPrompt { template, values }));
        let model = node(Instance::ChatModel(model.clone()));
        let llm_chain = crate::registry::find("llmChain").unwrap();
        let chain = build(llm_chain, [("model", model), ("prompt", node(prompt))]);
        let inputs = [
            ("name", source("Poet of the house")),
            ("description", source("Writes poems.")),
            ("returnDirect", support::json(json!(true))),
            ("baseChain", node(chain)),
        ];
        let Instance::Tool(tool) = build(&SPEC, inputs) else { panic!("a tool") };
        tool
    }

    async fn asked(prompt: &str, values: Value) -> Vec<ModelMessage> {
        let model = FakeModel::seeing(false);
        let upload = ("file", Some("data:image/png;base64,QUJD"), "image/png");
        let (ctx, mut events) = TestTurn::asking("outer").uploads(&[upload]).streaming();

        let tool = tool(&model, prompt, &values);
        let output = tool.call(json!({"input": "inner"}), &ctx).await.unwrap();

        assert_eq!(output, ToolOutput { text: "a picture".to_owned(), ..ToolOutput::default() });
        assert!(events.try_recv().is_err(), "the tokens of a tool reached the client");
        model.only_prompt()
    }

    #[tokio::test]
    async fn the_tools_input_is_the_question_unless_the_prompts_values_leave_it_no_place() {
        assert_eq!(asked("Rhyme on {x}", json!({})).await, [user("Rhyme on inner")]);
        assert_eq!(asked("Rhyme on {x}", json!({"x": "y"})).await, [user("Rhyme on y")]);
    }

    #[tokio::test]
    async fn arguments_without_an_input_and_a_chain_too_deep_are_told() {
        let model = FakeModel::saying("x");
        let tool = tool(&model, "{x}", &json!({}));
        let mut ctx = TestTurn::asking("q").ctx();

        let error = tool.call(json!({"question": "?"}), &ctx).await.unwrap_err();
        assert!(error.to_string().contains("\"input\""), "{error}");

        for _ in 0..AgentBudget::MAX_DEPTH {
            ctx.agents = ctx.agents.deeper().unwrap();
        }
        let error = tool.call(json!({"input": "?"}), &ctx).await.unwrap_err();
        assert!(error.to_string().contains("too deep"), "{error}");
        assert_eq!(model.n_calls(), 0);
    }

    #[test]
    fn a_name_is_made_one_that_providers_take() {
        for (typed, expected) in [
            ("state-of-union-qa", "state-of-union-qa"),
            (" Poet of the house ", "Poet_of_the_house"),
            ("a.b/c{d}", "a_b_c_d_"),
            ("诗人", "chainTool_0"),
            ("诗人2", "__2"),
        ] {
            assert_eq!(tool_name(typed, "chainTool_0"), expected);
        }
        assert_eq!(tool_name(&"n".repeat(99), "id").len(), MAX_NAME);
    }

    #[test]
    fn the_node_says_what_the_model_and_the_agent_need() {
        let tool = tool(&FakeModel::saying("x"), "{x}", &json!({}));

        let definition = tool.definition();
        assert_eq!((definition.name.as_str(), tool.returns_direct()), ("Poet_of_the_house", true));
        assert_eq!(definition.description, "Writes poems.");
        assert_eq!(definition.parameters["required"], json!(["input"]));
    }

    #[tokio::test]
    async fn the_passages_behind_a_chains_answer_are_the_tools() {
        let retriever = FakeRetriever::finding(["Opens at eight.", "Mill Lane"]);
        let chain = crate::registry::find("conversationalRetrievalQAChain").unwrap();
        let chain = |returns: bool| {
            let inputs = [
                ("model", node(Instance::ChatModel(FakeModel::saying("At eight.")))),
                ("vectorStoreRetriever", node(Instance::Retriever(retriever.clone()))),
                ("returnSourceDocuments", support::json(json!(returns))),
            ];
            node(build(chain, inputs))
        };
        for (returns, expected) in [(true, retriever.documents()), (false, Vec::new())] {
            let inputs = [("name", source("shop")), ("baseChain", chain(returns))];
            let Instance::Tool(tool) = build(&SPEC, inputs) else { panic!("a tool") };
            let (ctx, mut events) = TestTurn::asking("outer").streaming();

            let output = tool.call(json!({"input": "When?"}), &ctx).await.unwrap();

            assert_eq!(output.text, "At eight.");
            assert_eq!(output.source_documents, expected);
            assert!(events.try_recv().is_err(), "the sources of a tool reached the client");
        }
        assert_eq!(retriever.asked(), ["When?", "When?"]);
    }

    #[test]
    fn other_outputs_of_a_chain_are_told_as_json() {
        let json = json!({"json": {"a": 1}}).as_object().unwrap().clone();
        assert_eq!(text_of(&RunOutput { fields: json }), "{\"a\":1}");
    }
}
