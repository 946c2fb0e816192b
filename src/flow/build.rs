//! Builds the nodes of a plan for one request: shared instances where the
//! request changes nothing, new ones where it does.

use std::collections::HashMap;
use std::sync::Arc;

use parlor_nodes::document_loaders::joined_text;
use parlor_nodes::{Instance, NodeError, TurnCtx};
use parlor_schemas::Fault;
use serde_json::Value;

use super::overrides::Overrides;
use super::plan::{Plan, PlanInput, PlanNode, resolve_input};
use super::text::{Reference, Segment, references};
use super::transcript::history_text;

/// A plan with all that a request says to it.
pub(super) struct Builder<'a> {
    pub(super) plan: &'a Plan,
    pub(super) overrides: &'a Overrides,
    /// The stored variables by name.
    pub(super) variables: &'a HashMap<String, String>,
    /// The person's words, without attached text.
    pub(super) input: &'a str,
    /// Text of attached documents.
    pub(super) attached: &'a str,
    pub(super) ctx: &'a TurnCtx,
}

/// A node of this request.
struct Built {
    instance: Instance,
    /// Built for this request, not the shared plan's.
    is_own: bool,
    /// Made of what this request says, and so no other request's to see.
    is_given: bool,
}

impl Builder<'_> {
    /// The instances in the plan's order. What other nodes read as text or as
    /// documents is run on the way: chains with the output `outputPrediction`,
    /// loaders that do not just fill a vector store.
    ///
    /// # Errors
    /// What a node says of its inputs or of its run.
    pub(super) async fn build_all(&self) -> Result<Vec<Instance>, Fault> {
        let mut built: Vec<Built> = Vec::with_capacity(self.plan.nodes.len());
        for (place, node) in self.plan.nodes.iter().enumerate() {
            let mut next = self.built(place, node, &built).await?;
            if node.runs_at_build {
                // Chains and searches answer the question, whatever they are made of.
                next.is_given |= matches!(next.instance, Instance::Runnable(_))
                    || node.spec.param("vectorStore").is_some();
                next.instance = self.run_early(next.instance, node).await?;
            }
            built.push(next);
        }
        Ok(built.into_iter().map(|built| built.instance).collect())
    }

    async fn run_early(&self, instance: Instance, node: &PlanNode) -> Result<Instance, Fault> {
        match instance {
            Instance::Runnable(chain) => {
                let text = chain.run(self.ctx, false).await?.prediction();
                Ok(Instance::Text(text.into()))
            }
            Instance::Loader(loader) => {
                let loaded = loader.load(self.ctx).await?;
                let documents = match loader.takes_what_it_finds() {
                    true => loaded.readable()?,
                    false => loaded.whole()?,
                };
                Ok(match node.output.as_deref() {
                    Some("text") => Instance::Text(joined_text(&documents).into()),
                    _ => Instance::Documents(documents.into()),
                })
            }
            other => Ok(other),
        }
    }

    /// The shared plan's instance, unless the request changes the node or one
    /// that feeds it.
    async fn built(
        &self,
        place: usize,
        node: &PlanNode,
        built: &[Built],
    ) -> Result<Built, NodeError> {
        let is_overridden = self.overrides.inputs.keys().any(|(at, _)| *at == place);
        let is_changed = is_overridden
            || node.sources().any(|at| built.get(at).is_some_and(|source| source.is_own));
        if let (Some(fixed), false) = (&node.fixed, is_changed) {
            return Ok(Built { instance: fixed.clone()?, is_own: false, is_given: false });
        }
        let history =
            if mentions_history(node) { history_text(self.ctx).await? } else { String::new() };
        let instance = |at: usize| built.get(at).map(|built| built.instance.clone());
        // What the request gives comes last, and so in place of what was saved.
        let given = self.overrides.inputs.iter().filter(|((at, _), _)| *at == place);
        let given = given.map(|((_, name), input)| (name, input));
        let values = node.inputs.iter().map(|(name, input)| (name, input)).chain(given);
        let resolve = |(name, input): (&String, &PlanInput)| {
            let is_closed = self.is_closed(node, name);
            let lookup = |found: &Reference| self.lookup(found, built, &history, is_closed);
            (name.clone(), resolve_input(input, &lookup, &instance))
        };
        let values = values.map(resolve).collect();
        let is_given = is_overridden || self.is_given(node, built);
        let mut instance =
            node.build(values, is_given).map_err(|error| self.blame(place, error))?;
        if let (Instance::VectorStore(own), Some(Ok(Instance::VectorStore(shared)))) =
            (&mut instance, &node.fixed)
            && let Some(own) = Arc::get_mut(own)
        {
            own.fill_with(shared, self.ctx);
        }
        Ok(Built { instance, is_own: true, is_given })
    }

    /// A value that a node cannot take is the fault of the request that gave it.
    fn blame(&self, place: usize, error: NodeError) -> NodeError {
        match &error {
            NodeError::BadInput { input, .. }
                if self.overrides.inputs.contains_key(&(place, input.clone())) =>
            {
                NodeError::BadRequest(error.to_string())
            }
            _ => error,
        }
    }

    /// Whether a node reads the request, itself or through another node.
    fn is_given(&self, node: &PlanNode, built: &[Built]) -> bool {
        let of = |at: usize| built.get(at).is_some_and(|source| source.is_given);
        node.sources().any(of)
            || any_reference(node, |reference| match reference {
                Reference::Question | Reference::ChatHistory | Reference::FileAttachment => true,
                Reference::Variable(name) => self.overridden_variable(name).is_some(),
                Reference::Flow(name) => !matches!(name.as_str(), "chatflowid" | "chatflowId"),
                Reference::Node { id, .. } => {
                    self.plan.nodes.iter().position(|node| node.id == *id).is_some_and(of)
                }
            })
    }

    /// Whether an input is one that only the operator sets: what a request says
    /// its variables are does not lead an address or a key elsewhere.
    fn is_closed(&self, node: &PlanNode, input: &str) -> bool {
        let is_openable = node.spec.param(input).is_some_and(|param| param.openable);
        !is_openable && !self.overrides.reach_closed
    }

    fn lookup(
        &self,
        reference: &Reference,
        built: &[Built],
        history: &str,
        is_closed: bool,
    ) -> Option<String> {
        match reference {
            Reference::Question => Some(self.ctx.question.to_string()),
            Reference::ChatHistory => Some(history.to_owned()),
            Reference::FileAttachment => Some(self.attached.to_owned()),
            Reference::Variable(name) if is_closed => self.variables.get(name).cloned(),
            Reference::Variable(name) => self.variable(name),
            Reference::Flow(name) => self.own_flow_value(name).or_else(|| {
                let given = self.overrides.flow.get(name).filter(|_| !is_closed);
                given.map(as_text)
            }),
            Reference::Node { id, path } => {
                let place = self.plan.nodes.iter().position(|node| node.id == *id)?;
                output_text(&built.get(place)?.instance, path)
            }
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        let given = self.overridden_variable(name).map(as_text);
        given.or_else(|| self.variables.get(name).cloned())
    }

    fn overridden_variable(&self, name: &str) -> Option<&Value> {
        self.overrides.variables.get(name).filter(|value| !value.is_null())
    }

    /// Parlor's own values come first: a request cannot shadow them.
    fn own_flow_value(&self, name: &str) -> Option<String> {
        match name {
            "chatflowid" | "chatflowId" => Some(self.ctx.chatflow.to_string()),
            "sessionId" => Some(self.ctx.session.to_string()),
            "chatId" => Some(self.ctx.chat_id.to_string()),
            "input" => Some(self.input.to_owned()),
            _ => None,
        }
    }
}

fn mentions_history(node: &PlanNode) -> bool {
    any_reference(node, |reference| *reference == Reference::ChatHistory)
}

fn any_reference(node: &PlanNode, is_meant: impl Fn(&Reference) -> bool) -> bool {
    let found = |segments: &[Segment]| references(segments).any(&is_meant);
    node.inputs.iter().any(|(_, input)| match input {
        PlanInput::Text(segments) => found(segments),
        PlanInput::Json(tree) => {
            let mut any = false;
            tree.texts(&mut |segments| any |= found(segments));
            any
        }
        PlanInput::Nodes(_) | PlanInput::Files(_) => false,
    })
}

/// The text of another node's output, or of a part of it where it is JSON.
fn output_text(instance: &Instance, path: &[String]) -> Option<String> {
    let text = match instance {
        Instance::Text(text) => text.to_string(),
        Instance::Documents(documents) => serde_json::to_string(documents).ok()?,
        _ => return None,
    };
    if path.is_empty() {
        return Some(text);
    }
    let mut value: &Value = &serde_json::from_str(&text).ok()?;
    for key in path {
        value = match key.parse::<usize>() {
            Ok(index) if value.is_array() => value.get(index)?,
            _ => value.get(key)?,
        };
    }
    Some(as_text(value))
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
