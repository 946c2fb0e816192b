//! The graph of a flow: what ends it, in which order it is built, and whether
//! its answer can be streamed. Pure functions over the saved file.

use std::collections::{HashMap, HashSet};

use parlor_schemas::flow_file::{FlowData, FlowEdge, FlowNode};
use serde_json::Value;

/// Why a graph cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Nothing has an input and no output.
    #[error("Ending nodes not found: connect a chain or an agent at the end of the flow")]
    NoEnding,
    /// What ends the flow is no chain or agent.
    #[error("Ending node must be either a Chain or Agent or Engine, not {0}")]
    WrongEnding(String),
    /// The chosen output of the ending node is not the node itself.
    #[error("Output of {0} must be {1}, can't be an Output Prediction")]
    WrongOutput(String, String),
    /// A node depends on itself.
    #[error("the flow has a loop through {0}; remove one of its connections")]
    Loop(String),
    /// Two nodes of one id.
    #[error("the flow has two nodes with the id {0}")]
    DuplicateId(String),
}

/// Categories of nodes that can end a flow.
const ENDING_CATEGORIES: [&str; 5] =
    ["Chains", "Agents", "Engine", "Multi Agents", "Sequential Agents"];

/// Models that stream where their node is so old that it has no `streaming` input.
const STREAMING_MODELS: [&str; 22] = [
    "azureChatOpenAI",
    "chatOpenAI",
    "chatOpenAI_LlamaIndex",
    "chatOpenAICustom",
    "chatAnthropic",
    "chatAnthropic_LlamaIndex",
    "chatOllama",
    "chatOllama_LlamaIndex",
    "awsChatBedrock",
    "chatMistralAI",
    "chatMistral_LlamaIndex",
    "chatAlibabaTongyi",
    "groqChat",
    "chatGroq_LlamaIndex",
    "chatCohere",
    "chatGoogleGenerativeAI",
    "chatTogetherAI",
    "chatTogetherAI_LlamaIndex",
    "chatFireworks",
    "chatBaiduWenxin",
    "azureOpenAI",
    "openAI",
];

/// The vector store that loads its documents when it is first asked.
const FILLS_ITSELF: &str = "memoryVectorStore";

/// The nodes by id, with who feeds whom.
pub struct Graph<'a> {
    flow: &'a FlowData,
    index: HashMap<&'a str, usize>,
    sources: Vec<Vec<usize>>,
    /// The same without those that only fill a vector store.
    asked: Vec<Vec<usize>>,
    n_targets: Vec<usize>,
}

impl<'a> Graph<'a> {
    /// Reads the edges; an edge to a node that is not there is ignored.
    ///
    /// # Errors
    /// [`GraphError::DuplicateId`].
    pub fn new(flow: &'a FlowData) -> Result<Self, GraphError> {
        let mut index = HashMap::new();
        for (at, node) in flow.nodes.iter().enumerate() {
            if index.insert(node.id.as_str(), at).is_some() {
                return Err(GraphError::DuplicateId(node.id.clone()));
            }
        }
        let mut sources = vec![Vec::new(); flow.nodes.len()];
        let mut asked = sources.clone();
        let mut n_targets = vec![0; flow.nodes.len()];
        for edge in &flow.edges {
            let ends = (index.get(edge.source.as_str()), index.get(edge.target.as_str()));
            if let (Some(&source), Some(&target)) = ends {
                sources[target].push(source);
                if !fills_a_store(edge, &flow.nodes[target]) {
                    asked[target].push(source);
                }
                n_targets[source] += 1;
            }
        }
        Ok(Self { flow, index, sources, asked, n_targets })
    }

    /// Index of a node by id.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The node that ends the flow. Of several, the one that Flowise would
    /// build last: the deepest, and of equals the later in the file.
    ///
    /// # Errors
    /// [`GraphError`] when there is none that can.
    pub fn ending(&self) -> Result<usize, GraphError> {
        let is_end = |at: &usize| {
            self.n_targets[*at] == 0
                && (!self.sources[*at].is_empty() || self.flow.nodes.len() == 1)
        };
        let candidates: Vec<usize> = (0..self.flow.nodes.len()).filter(is_end).collect();
        let first = *candidates.first().ok_or(GraphError::NoEnding)?;
        let can_end = |at: &&usize| {
            let data = &self.flow.nodes[**at].data;
            ENDING_CATEGORIES.contains(&data.category.as_str())
                || data.output() == Some("EndingNode")
        };
        let good: Vec<usize> = candidates.iter().filter(can_end).copied().collect();
        if good.is_empty() {
            return Err(GraphError::WrongEnding(title(&self.flow.nodes[first])));
        }
        let mut deepest = (0, first);
        for at in good {
            let depth = self.order(at)?.len();
            if depth >= deepest.0 {
                deepest = (depth, at);
            }
        }
        self.check_output(deepest.1)?;
        Ok(deepest.1)
    }

    fn check_output(&self, at: usize) -> Result<(), GraphError> {
        let node = &self.flow.nodes[at];
        match node.data.output() {
            Some(output) if output != node.data.name && output != "EndingNode" => {
                Err(GraphError::WrongOutput(title(node), node.data.name.clone()))
            }
            _ => Ok(()),
        }
    }

    /// The node and all that it depends on, dependencies first.
    ///
    /// # Errors
    /// [`GraphError::Loop`].
    pub fn order(&self, ending: usize) -> Result<Vec<usize>, GraphError> {
        let mut order = Vec::new();
        let mut done = HashSet::new();
        let mut open = HashSet::from([ending]);
        // A stack of its own: a long chain of nodes must not end the thread's.
        let mut stack = vec![(ending, 0)];
        while let Some((at, next)) = stack.pop() {
            let Some(&source) = self.sources[at].get(next) else {
                open.remove(&at);
                done.insert(at);
                order.push(at);
                continue;
            };
            stack.push((at, next + 1));
            if open.contains(&source) {
                return Err(GraphError::Loop(title(&self.flow.nodes[source])));
            }
            if !done.contains(&source) {
                open.insert(source);
                stack.push((source, 0));
            }
        }
        Ok(order)
    }

    /// The nodes of [`Self::order`] that an answer needs. What only fills a
    /// vector store is needed by upserts alone, as in Flowise 2.2.8: a store
    /// that was filled elsewhere is asked whatever once filled it.
    ///
    /// # Errors
    /// [`GraphError::Loop`].
    pub fn order_to_answer(&self, ending: usize) -> Result<Vec<usize>, GraphError> {
        let mut order = self.order(ending)?;
        let mut needed = HashSet::from([ending]);
        // From the end on, so that a node comes after all that ask it.
        for at in order.iter().rev().filter(|at| !self.asked[**at].is_empty()) {
            if needed.contains(at) {
                needed.extend(&self.asked[*at]);
            }
        }
        order.retain(|at| needed.contains(at));
        Ok(order)
    }

    /// The memory node: the source of the first edge that leaves one.
    pub fn memory(&self) -> Option<&'a FlowNode> {
        let source = |edge: &FlowEdge| self.find(&edge.source).map(|at| &self.flow.nodes[at]);
        self.flow.edges.iter().filter_map(source).find(|node| node.data.category == "Memory")
    }
}

/// Whether an edge brings documents to a vector store that only upserts fill.
fn fills_a_store(edge: &FlowEdge, target: &FlowNode) -> bool {
    let handle = edge.target_handle.as_str().unwrap_or_default();
    let input = handle.strip_prefix(target.id.as_str()).unwrap_or_default();
    target.data.category == "Vector Stores"
        && target.data.name != FILLS_ITSELF
        && input.starts_with("-input-document-")
}

/// Whether the answer can be streamed, by the rules of Flowise 2.2.8: every
/// model may, the ending node can, and no output parser stands anywhere.
pub fn can_stream(flow: &FlowData, ending: &FlowNode) -> bool {
    if ending.data.output() == Some("EndingNode") {
        return false;
    }
    if matches!(ending.data.category.as_str(), "Multi Agents" | "Sequential Agents") {
        return true;
    }
    let models = flow
        .nodes
        .iter()
        .filter(|node| matches!(node.data.category.as_str(), "Chat Models" | "LLMs"));
    let streams: Vec<Option<bool>> = models.map(model_streams).collect();
    let models_stream = !streams.contains(&Some(false)) && streams.contains(&Some(true));
    let name = ending.data.name.as_str();
    let ending_streams = match ending.data.category.as_str() {
        "Chains" => !matches!(name, "openApiChain" | "vectaraQAChain"),
        "Agents" => matches!(
            name,
            "csvAgent"
                | "airtableAgent"
                | "toolAgent"
                | "conversationalRetrievalToolAgent"
                | "openAIToolAgentLlamaIndex"
                | "openAIAssistant"
        ),
        "Engine" => true,
        _ => false,
    };
    let parses = flow.nodes.iter().any(|node| node.data.category.contains("Output Parser"));
    (models_stream || name == "openAIAssistant") && ending_streams && !parses
}

/// What a model node says of streaming; nothing where the input is blank.
fn model_streams(node: &FlowNode) -> Option<bool> {
    match node.data.inputs.get("streaming") {
        Some(Value::Bool(streams)) => Some(*streams),
        Some(Value::String(word)) if word == "true" => Some(true),
        Some(Value::String(word)) if word == "false" => Some(false),
        Some(_) => None,
        None => {
            let name = node.data.name.as_str();
            let own = name == "extractiveChatModel" || name == "ollama";
            Some(own || STREAMING_MODELS.contains(&name))
        }
    }
}

/// Label and id of a node, for errors.
pub fn title(node: &FlowNode) -> String {
    format!("{} ({})", node.data.label, node.id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow(nodes: &[(&str, &str)], edges: &[(&str, &str)]) -> FlowData {
        let nodes: Vec<Value> = nodes
            .iter()
            .map(|(id, category)| json!({"id": id, "data": {"id": id, "label": id, "name": id, "category": category}}))
            .collect();
        let edges: Vec<Value> =
            edges.iter().map(|(a, b)| json!({"source": a, "target": b})).collect();
        serde_json::from_value(json!({"nodes": nodes, "edges": edges})).unwrap()
    }

    #[test]
    fn dependencies_come_before_what_needs_them() {
        let flow = flow(
            &[("end", "Chains"), ("a", "x"), ("b", "x"), ("note", "x")],
            &[("a", "b"), ("b", "end"), ("a", "end")],
        );
        let graph = Graph::new(&flow).unwrap();
        let ending = graph.ending().unwrap();
        assert_eq!((ending, graph.order(ending).unwrap()), (0, vec![1, 2, 0]));
    }

    /// `load` fills the store; `shared` fills it and is read by the end, too.
    fn with_store(name: &str) -> FlowData {
        let node = |id: &str, name: &str, category: &str| json!({"id": id, "data": {"id": id, "label": id, "name": name, "category": category}});
        let edge = |source: &str, target: &str, input: &str| {
            let handle = format!("{target}-input-{input}-X");
            json!({"source": source, "target": target, "targetHandle": handle})
        };
        let loader = "Document Loaders";
        serde_json::from_value(json!({
            "nodes": [
                node("splitter", "s", "Text Splitters"), node("load", "l", loader),
                node("shared", "l", loader), node("vectors", "e", "Embeddings"),
                node("store", name, "Vector Stores"), node("end", "c", "Chains"),
            ],
            "edges": [
                edge("splitter", "load", "textSplitter"), edge("load", "store", "document"),
                edge("shared", "store", "document"), edge("vectors", "store", "embeddings"),
                edge("store", "end", "vectorStoreRetriever"), edge("shared", "end", "document"),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn an_answer_needs_nothing_that_only_fills_a_store() {
        for (name, expected) in [
            ("faiss", &["shared", "vectors", "store", "end"][..]),
            (FILLS_ITSELF, &["splitter", "load", "shared", "vectors", "store", "end"]),
        ] {
            let flow = with_store(name);
            let graph = Graph::new(&flow).unwrap();
            let order = graph.order_to_answer(graph.ending().unwrap()).unwrap();
            let ids: Vec<_> = order.iter().map(|at| flow.nodes[*at].id.as_str()).collect();
            assert_eq!(ids, expected, "{name}");
        }
    }

    #[test]
    fn a_loop_and_a_missing_or_wrong_ending_are_named() {
        let looped =
            flow(&[("a", "x"), ("b", "x"), ("e", "Chains")], &[("a", "b"), ("b", "a"), ("b", "e")]);
        let error = Graph::new(&looped).unwrap().ending().unwrap_err();
        assert!(matches!(error, GraphError::Loop(_)), "{error}");
        let circle = flow(&[("a", "x"), ("b", "x")], &[("a", "b"), ("b", "a")]);
        assert_eq!(Graph::new(&circle).unwrap().ending(), Err(GraphError::NoEnding));
        let wrong = flow(&[("a", "x"), ("b", "Memory")], &[("a", "b")]);
        let error = Graph::new(&wrong).unwrap().ending().unwrap_err();
        assert_eq!(error, GraphError::WrongEnding("b (b)".into()));
    }

    #[test]
    fn of_the_agents_those_stream_that_leave_tool_calls_to_the_provider() {
        for (agent, parser, expected) in [
            ("toolAgent", "Prompts", true),
            ("toolAgent", "Output Parsers", false),
            ("conversationalAgent", "Prompts", false),
        ] {
            let flow = flow(
                &[("chatOpenAI", "Chat Models"), ("other", parser), (agent, "Agents")],
                &[("chatOpenAI", agent)],
            );
            assert_eq!(can_stream(&flow, &flow.nodes[2]), expected, "{agent}, {parser}");
        }
    }

    #[test]
    fn an_output_parser_anywhere_keeps_a_flow_from_streaming() {
        let mut flow = flow(&[("chatOpenAI", "Chat Models"), ("end", "Chains")], &[]);
        let ending = flow.nodes[1].clone();
        assert!(can_stream(&flow, &ending));
        let mut parser = ending.clone();
        parser.data.category = "Output Parsers".into();
        flow.nodes.push(parser);
        assert!(!can_stream(&flow, &ending));
    }
}
