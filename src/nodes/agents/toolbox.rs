//! The tools of an agent: found by name, run side by side, their mistakes
//! told to the model.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use super::findings::{Outcome, UsedTool};
use super::trace::Trace;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Tool, ToolOutput};
use crate::model::ToolDefinition;
use crate::spans;
use crate::upstream;

/// Calls of one step that run at the same time.
const AT_ONCE: usize = 8;
/// Longest arguments of a call, in bytes of JSON.
const MAX_ARGUMENTS: usize = 64 * 1024;
/// Characters of a model's own words that are told back to it.
const MAX_QUOTED: usize = 80;

/// The tools that an author connected.
pub(super) struct Toolbox {
    tools: Vec<(ToolDefinition, Arc<dyn Tool>)>,
}

/// A call that a model asks for.
pub(super) struct Request {
    /// The tool, in the model's spelling.
    pub(super) name: String,
    /// What the tool gets.
    pub(super) arguments: Value,
    /// What the reply tells of it.
    pub(super) shown: Value,
}

impl Toolbox {
    /// The tools of the input `tools`.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when something else is connected, or two tools
    /// of one name: the model could not tell them apart.
    pub(super) fn connected(inputs: &Inputs) -> Result<Self, NodeError> {
        let tools = inputs.tools("tools")?.into_iter();
        let tools: Vec<_> = tools.map(|tool| (tool.definition(), tool)).collect();
        let mut names = HashSet::new();
        for (definition, _) in &tools {
            if !names.insert(definition.name.to_lowercase()) {
                let problem = format!("has two of the name {}; rename one", definition.name);
                return Err(inputs.bad("tools", problem));
            }
        }
        Ok(Self { tools })
    }

    /// What the model is told of the tools.
    pub(super) fn definitions(&self) -> impl Iterator<Item = &ToolDefinition> {
        self.tools.iter().map(|(definition, _)| definition)
    }

    /// A tool by its name in any case.
    pub(super) fn find(&self, name: &str) -> Option<&(ToolDefinition, Arc<dyn Tool>)> {
        let name = name.to_lowercase();
        self.tools.iter().find(|(definition, _)| definition.name.to_lowercase() == name)
    }

    /// Runs the calls of one step, and gives their outcomes in their order.
    /// Only the last one can be the answer, as in Flowise.
    ///
    /// # Errors
    /// [`NodeError::Cancelled`]: all that is running is dropped.
    pub(super) async fn run(
        &self,
        requests: Vec<Request>,
        trace: &Trace,
        ctx: &TurnCtx,
    ) -> Result<Vec<Outcome>, NodeError> {
        let calls = requests.into_iter().map(|request| self.call(request, trace, ctx).boxed());
        let outcomes = stream::iter(calls).buffered(AT_ONCE).try_collect();
        ctx.cancel.run_until_cancelled(outcomes).await.unwrap_or(Err(NodeError::Cancelled))
    }

    async fn call(
        &self,
        request: Request,
        trace: &Trace,
        ctx: &TurnCtx,
    ) -> Result<Outcome, NodeError> {
        trace.action(&request.name, &request.shown).await?;
        let Some((definition, tool)) = self.find(&request.name) else {
            return Ok(Outcome { observation: self.unknown(&request.name), ..Outcome::default() });
        };
        let Request { arguments, shown, .. } = request;
        if let Some(problem) = objection(&arguments) {
            return Ok(failed(definition, Value::Object(Map::new()), problem));
        }
        let run = trace.start(&definition.name, &arguments).await?;
        let span = spans::tool(&definition.name);
        match spans::within(span, tool.call(arguments, ctx)).await {
            Ok(output) => {
                run.end(&output.text).await?;
                Ok(done(definition, shown, output, tool.returns_direct()))
            }
            Err(NodeError::Cancelled) => Err(NodeError::Cancelled),
            Err(error) => {
                // It goes no further: the agent is told, and the turn goes on.
                upstream::ERRORS.count(&error);
                run.error(&error.to_string()).await?;
                Ok(failed(definition, shown, error.to_string()))
            }
        }
    }

    fn unknown(&self, name: &str) -> String {
        let name: String = name.chars().take(MAX_QUOTED).collect();
        let names: Vec<_> = self.definitions().map(|tool| tool.name.as_str()).collect();
        format!("{name} is not a valid tool, try another one. The tools are: {}", names.join(", "))
    }
}

/// What is wrong with the arguments of any tool.
fn objection(arguments: &Value) -> Option<String> {
    match arguments {
        Value::Object(_) if arguments.to_string().len() > MAX_ARGUMENTS => {
            Some(format!("The arguments are longer than {MAX_ARGUMENTS} bytes. Shorten them."))
        }
        Value::Object(_) => None,
        other => {
            let words = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            let words: String = words.chars().take(MAX_QUOTED).collect();
            Some(format!("The arguments are no JSON object: {words}\nPlease try again."))
        }
    }
}

fn done(definition: &ToolDefinition, shown: Value, output: ToolOutput, direct: bool) -> Outcome {
    let used = UsedTool {
        tool: definition.name.clone(),
        tool_input: shown,
        tool_output: output.text.clone(),
        error: None,
    };
    Outcome {
        observation: output.text,
        is_answer: direct,
        used: Some(used),
        source_documents: output.source_documents,
        artifacts: output.artifacts,
    }
}

fn failed(definition: &ToolDefinition, shown: Value, problem: String) -> Outcome {
    let used = UsedTool {
        tool: definition.name.clone(),
        tool_input: shown,
        tool_output: String::new(),
        error: Some(problem.clone()),
    };
    Outcome { observation: problem, used: Some(used), ..Outcome::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::BoxFuture;
    use serde_json::json;
    use tokio::sync::Barrier;

    use super::*;
    use crate::inputs::InputValue;
    use crate::instance::Instance;
    use crate::test_support::{TestTurn, inputs};

    /// A tool whose calls wait until as many are there as may run at once.
    struct Meeting {
        all_here: Barrier,
        n_here: AtomicUsize,
        most: Arc<AtomicUsize>,
    }

    impl Tool for Meeting {
        fn definition(&self) -> ToolDefinition {
            ToolDefinition {
                name: "meeting".to_owned(),
                description: String::new(),
                parameters: json!({}),
                strict: false,
            }
        }

        fn call<'a>(
            &'a self,
            arguments: Value,
            _ctx: &'a TurnCtx,
        ) -> BoxFuture<'a, Result<ToolOutput, NodeError>> {
            Box::pin(async move {
                let n_here = self.n_here.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(n_here, Ordering::SeqCst);
                self.all_here.wait().await;
                self.n_here.fetch_sub(1, Ordering::SeqCst);
                Ok(ToolOutput { text: arguments["n"].to_string(), ..ToolOutput::default() })
            })
        }
    }

    #[tokio::test]
    async fn a_bounded_number_of_calls_runs_at_once_and_the_results_keep_their_order() {
        let most = Arc::new(AtomicUsize::new(0));
        let all_here = Barrier::new(AT_ONCE);
        let tool = Meeting { all_here, n_here: AtomicUsize::new(0), most: Arc::clone(&most) };
        let tools = InputValue::Nodes(vec![Instance::Tool(Arc::new(tool))]);
        let toolbox = Toolbox::connected(&inputs([("tools", tools)])).unwrap();
        let requests = (0..2 * AT_ONCE).map(|n| Request {
            name: "Meeting".to_owned(),
            arguments: json!({"n": n}),
            shown: json!({}),
        });

        let ctx = TestTurn::asking("q").ctx();
        let outcomes = toolbox.run(requests.collect(), &Trace::off(), &ctx).await.unwrap();

        let texts: Vec<_> = outcomes.into_iter().map(|outcome| outcome.observation).collect();
        assert_eq!(texts, (0..2 * AT_ONCE).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
    }
}
