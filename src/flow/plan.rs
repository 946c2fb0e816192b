//! The compiled flow: nodes in order, inputs typed and taken apart, everything
//! that no request touches built once.

use std::collections::BTreeSet;
use std::sync::Arc;

use parlor_nodes::files::InputFile;
use parlor_nodes::inputs::Secrets;
use parlor_nodes::{InputValue, Inputs, Instance, Kind, NodeError, NodeSpec, registry};
use parlor_schemas::flow_file::{FlowData, FlowNode};
use parlor_schemas::{ErrorCode, Fault};
use serde_json::Value;

use super::graph::{self, Graph, GraphError};
use super::text::{self, JsonTemplate, Reference, Segment};

/// Gives a node its secrets, or the sentence that says how to provide them.
pub type BindSecrets<'a> = dyn Fn(&FlowNode, &NodeSpec) -> Option<Result<Secrets, String>> + 'a;

/// A flow that can run.
#[derive(Default)]
pub struct Plan {
    /// The nodes that the ending node depends on, dependencies first; the
    /// ending node, or the vector store that is to be filled, is the last.
    pub nodes: Vec<PlanNode>,
    /// Whether the answer can be streamed.
    pub can_stream: bool,
    /// Label of the memory node, empty without one: `memoryType` of a reply.
    pub memory_type: String,
    /// The session id typed on the memory node.
    pub typed_session: Option<String>,
}

/// A node of a plan.
pub struct PlanNode {
    /// Id in the flow.
    pub id: String,
    /// Label, by which overrides are enabled.
    pub label: String,
    /// What Parlor knows of the node.
    pub spec: &'static NodeSpec,
    /// The chosen output.
    pub output: Option<String>,
    /// The inputs by name.
    pub inputs: Vec<(String, PlanInput)>,
    /// Whether the flow names a stored credential for it.
    pub names_credential: bool,
    /// Whether other nodes read what it makes as text or as documents, so that
    /// it is run while the flow is built.
    pub runs_at_build: bool,
    /// Its secrets.
    pub secrets: Option<Result<Secrets, String>>,
    /// The instance, where no request changes it. An error is the request's to hear.
    pub fixed: Option<Result<Instance, NodeError>>,
}

/// An input, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub enum PlanInput {
    /// Text.
    Text(Vec<Segment>),
    /// A tree.
    Json(JsonTemplate),
    /// Other nodes, by their place in the plan.
    Nodes(Vec<usize>),
    /// Files of a multipart body.
    Files(Arc<[InputFile]>),
}

/// Why a flow cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The graph cannot run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It needs nodes that Parlor does not run.
    #[error("this chatflow needs nodes that Parlor does not run: {}", .0.join(", "))]
    Unsupported(Vec<String>),
}

impl From<&PlanError> for Fault {
    fn from(error: &PlanError) -> Self {
        let code = match error {
            PlanError::Graph(_) => ErrorCode::InvalidFlow,
            PlanError::Unsupported(_) => ErrorCode::UnsupportedNode,
        };
        Self::new(code, error.to_string())
    }
}

/// Compiles a flow for answering. Loaders that only fill a vector store are
/// not in the plan, and need not be known here.
///
/// # Errors
/// [`PlanError`] naming the nodes.
pub fn compile(flow: &FlowData, bind: &BindSecrets<'_>) -> Result<Plan, PlanError> {
    let graph = Graph::new(flow)?;
    let ending = graph.ending()?;
    let order = graph.order_to_answer(ending)?;
    let memory = graph.memory();
    Ok(Plan {
        can_stream: graph::can_stream(flow, &flow.nodes[ending]),
        memory_type: memory.map(|node| node.data.label.clone()).unwrap_or_default(),
        typed_session: memory.and_then(typed_session),
        ..compile_nodes(flow, &order, bind)?
    })
}

/// Compiles some nodes of a flow: dependencies first, the node to run last.
///
/// # Errors
/// [`PlanError::Unsupported`] naming the nodes.
pub fn compile_nodes(
    flow: &FlowData,
    order: &[usize],
    bind: &BindSecrets<'_>,
) -> Result<Plan, PlanError> {
    let missing = unsupported(order.iter().map(|&at| &flow.nodes[at]));
    if !missing.is_empty() {
        return Err(PlanError::Unsupported(missing));
    }
    let place = |id: &str| order.iter().position(|&at| flow.nodes[at].id == id);
    let mut plan = Plan { nodes: Vec::with_capacity(order.len()), ..Plan::default() };
    for &at in order {
        plan.nodes.extend(plan_node(&flow.nodes[at], &place, bind));
    }
    for at in 0..plan.nodes.len() {
        plan.nodes[at].runs_at_build = plan.is_read_early(at);
    }
    for at in 0..plan.nodes.len() {
        plan.fix(at);
    }
    Ok(plan)
}

/// `name` of the nodes that Parlor does not run, with their labels.
pub fn unsupported<'a>(nodes: impl Iterator<Item = &'a FlowNode>) -> Vec<String> {
    let unknown = nodes.filter(|node| registry::find(&node.data.name).is_none());
    let names: BTreeSet<String> = unknown.map(|node| node.data.name.clone()).collect();
    names.into_iter().collect()
}

fn typed_session(node: &FlowNode) -> Option<String> {
    let typed = node.data.inputs.get("sessionId")?.as_str()?;
    (!typed.is_empty()).then(|| typed.to_owned())
}

fn plan_node(
    node: &FlowNode,
    place: &dyn Fn(&str) -> Option<usize>,
    bind: &BindSecrets<'_>,
) -> Option<PlanNode> {
    let spec = registry::find(&node.data.name)?;
    let inputs = spec.params.iter().filter_map(|param| {
        let value = node.data.inputs.get(param.name)?;
        let accepts = node.data.accepts_variables(param.name);
        Some((param.name.to_owned(), plan_input(value, param.kind, accepts, place)?))
    });
    Some(PlanNode {
        id: node.id.clone(),
        label: node.data.label.clone(),
        spec,
        output: node.data.output().map(str::to_owned),
        inputs: inputs.collect(),
        names_credential: node.data.credential.is_some(),
        runs_at_build: false,
        secrets: bind(node, spec),
        fixed: None,
    })
}

/// A node that stands alone, built from its own inputs; `None` for one that
/// Parlor does not know.
///
/// # Errors
/// What the node says of its inputs.
pub fn build_alone(node: &FlowNode, bind: &BindSecrets<'_>) -> Result<Option<Instance>, NodeError> {
    let Some(node) = plan_node(node, &|_| None, bind) else { return Ok(None) };
    let values = node
        .inputs
        .iter()
        .map(|(name, input)| (name.clone(), resolve_input(input, &|_| None, &|_| None)));
    node.build(values.collect(), false).map(Some)
}

fn plan_input(
    value: &Value,
    kind: Kind,
    accepts: bool,
    place: &dyn Fn(&str) -> Option<usize>,
) -> Option<PlanInput> {
    match value {
        Value::Null => None,
        Value::Array(items) if matches!(kind, Kind::Node | Kind::Nodes) => {
            let nodes = items
                .iter()
                .filter_map(Value::as_str)
                .filter_map(|text| last_node(&text::parse(text, false)).and_then(place));
            Some(PlanInput::Nodes(nodes.collect()))
        }
        Value::String(text) => Some(plan_text(text, kind, accepts, place)),
        tree => Some(PlanInput::Json(JsonTemplate::parse(tree, accepts))),
    }
}

/// A connection replaces the whole text, unless the input accepts variables:
/// then the other node's text is put in its place.
fn plan_text(
    text: &str,
    kind: Kind,
    accepts: bool,
    place: &dyn Fn(&str) -> Option<usize>,
) -> PlanInput {
    let segments = text::parse(text, accepts);
    if !accepts && let Some(id) = last_node(&segments) {
        let node = place(id);
        // A connection is one even to a node that an answer does not need.
        if node.is_some() || matches!(kind, Kind::Node | Kind::Nodes) {
            return PlanInput::Nodes(node.into_iter().collect());
        }
    }
    if kind == Kind::Json
        && let Ok(tree @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
    {
        return PlanInput::Json(JsonTemplate::parse(&tree, accepts));
    }
    PlanInput::Text(segments)
}

fn last_node(segments: &[Segment]) -> Option<&str> {
    text::references(segments)
        .filter_map(|reference| match reference {
            Reference::Node { id, .. } => Some(id.as_str()),
            _ => None,
        })
        .last()
}

impl Plan {
    /// A chain whose prediction is used, and what loads documents for
    /// anything but filling a vector store.
    fn is_read_early(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        match node.output.as_deref() {
            Some("outputPrediction" | "text") => return true,
            Some("document") => {}
            _ if node.spec.category == "Document Loaders" => {}
            _ => return false,
        }
        let reads = |(name, input): &(String, PlanInput)| match input {
            PlanInput::Nodes(places) => name != "document" && places.contains(&at),
            other => other.mentions(&node.id),
        };
        self.nodes.iter().flat_map(|node| &node.inputs).any(reads)
    }

    /// Builds a node, if no request can change it.
    fn fix(&mut self, at: usize) {
        let node = &self.nodes[at];
        if node.runs_at_build || self.reads_request(node) {
            return;
        }
        let values = node.inputs.iter().map(|(name, input)| {
            (name.clone(), resolve_input(input, &|_| None, &|at| self.fixed_instance(at)))
        });
        self.nodes[at].fixed = Some(node.build(values.collect(), false));
    }

    fn fixed_instance(&self, at: usize) -> Option<Instance> {
        self.nodes.get(at)?.fixed.as_ref()?.as_ref().ok().cloned()
    }

    /// True when an input depends on the request, directly or through a node.
    fn reads_request(&self, node: &PlanNode) -> bool {
        let moves =
            |at: usize| !matches!(self.nodes.get(at), Some(PlanNode { fixed: Some(Ok(_)), .. }));
        node.inputs.iter().any(|(_, input)| match input {
            PlanInput::Nodes(nodes) => nodes.iter().any(|&at| moves(at)),
            PlanInput::Text(segments) => text::references(segments).next().is_some(),
            PlanInput::Json(tree) => {
                let mut found = false;
                tree.texts(&mut |segments| found |= text::references(segments).next().is_some());
                found
            }
            PlanInput::Files(_) => false,
        })
    }
}

impl PlanNode {
    /// The nodes that are connected to this one, by their place in the plan.
    pub fn sources(&self) -> impl Iterator<Item = usize> {
        let connected = self.inputs.iter().filter_map(|(_, input)| match input {
            PlanInput::Nodes(nodes) => Some(nodes),
            _ => None,
        });
        connected.flatten().copied()
    }

    /// Makes the instance from resolved inputs.
    ///
    /// # Errors
    /// What the node says of its inputs.
    pub fn build(
        &self,
        values: Vec<(String, InputValue)>,
        is_overridden: bool,
    ) -> Result<Instance, NodeError> {
        // A node may do without a credential, but not without one that it names.
        if let (true, Some(Err(how))) = (self.names_credential, &self.secrets) {
            return Err(NodeError::MissingCredential(how.clone()));
        }
        (self.spec.build)(&Inputs {
            id: self.id.clone(),
            label: self.label.clone(),
            output: self.output.clone(),
            is_overridden,
            values: values.into_iter().collect(),
            secrets: self.secrets.clone(),
        })
    }
}

impl PlanInput {
    /// Whether a text in it has another node's output in its place.
    fn mentions(&self, node_id: &str) -> bool {
        let found = |segments: &[Segment]| {
            text::references(segments)
                .any(|reference| matches!(reference, Reference::Node { id, .. } if id == node_id))
        };
        match self {
            Self::Text(segments) => found(segments),
            Self::Json(tree) => {
                let mut any = false;
                tree.texts(&mut |segments| any |= found(segments));
                any
            }
            Self::Nodes(_) | Self::Files(_) => false,
        }
    }
}

/// An input with everything in it resolved.
pub fn resolve_input(
    input: &PlanInput,
    lookup: &dyn Fn(&Reference) -> Option<String>,
    instance: &dyn Fn(usize) -> Option<Instance>,
) -> InputValue {
    match input {
        PlanInput::Text(segments) => InputValue::Text(text::resolve(segments, lookup)),
        PlanInput::Json(tree) => InputValue::Json(tree.resolve(lookup)),
        PlanInput::Nodes(nodes) => {
            InputValue::Nodes(nodes.iter().filter_map(|&at| instance(at)).collect())
        }
        PlanInput::Files(files) => InputValue::Files(files.clone()),
    }
}
