//! An exported flow: what Flowise's canvas writes.
//!
//! Only what runs a flow is typed; every other key (positions, colours, keys
//! of later versions) is kept as it came, so that a flow leaves as it entered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `flowData`: nodes and edges.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FlowData {
    /// The boxes of the canvas.
    pub nodes: Vec<FlowNode>,
    /// The lines between them. They give order; values stand in `inputs`.
    #[serde(default)]
    pub edges: Vec<FlowEdge>,
    /// `viewport` and whatever else the file holds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A box of the canvas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowNode {
    /// `<name>_<n>`, unique in the flow.
    pub id: String,
    /// What the box is and holds.
    pub data: NodeData,
    /// Position, size and other marks of the canvas.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a box is and holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeData {
    /// The same as the node's id.
    pub id: String,
    /// Shown to people, may be renamed; overrides are keyed by it.
    pub label: String,
    /// The kind of node: the key of the registry.
    pub name: String,
    /// `Chains`, `Chat Models`, ... as saved; decides what can end a flow.
    pub category: String,
    /// Definitions of the typed-in parameters.
    pub input_params: Vec<InputParam>,
    /// Definitions of the connectable inputs.
    pub input_anchors: Vec<InputParam>,
    /// The values, by name of parameter or anchor.
    pub inputs: Map<String, Value>,
    /// Which output is chosen: `{"output": "<name>"}`.
    pub outputs: Value,
    /// Id of a stored credential; exports carry none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "blank_is_none")]
    pub credential: Option<String>,
    /// Every other key.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl NodeData {
    /// Name of the chosen output, if the node offers a choice.
    pub fn output(&self) -> Option<&str> {
        self.outputs.get("output").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// The definition of a parameter or anchor.
    pub fn definition(&self, name: &str) -> Option<&InputParam> {
        self.input_params.iter().chain(&self.input_anchors).find(|param| param.name == name)
    }

    /// Whether `{{question}}` and its like are resolved in this input.
    pub fn accepts_variables(&self, name: &str) -> bool {
        self.input_params.iter().any(|param| param.name == name && param.accept_variable)
    }
}

/// The definition of one input, as saved with the flow.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InputParam {
    /// Shown to people.
    pub label: String,
    /// The key in `inputs`.
    pub name: String,
    /// `string`, `number`, `boolean`, `json`, ... or the classes that may be connected.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether `{{question}}` and its like are resolved in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accept_variable: bool,
    /// Every other key.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A line of the canvas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowEdge {
    /// Id of the node that the line leaves.
    pub source: String,
    /// Id of the node that it enters.
    pub target: String,
    /// Id of the anchor that it leaves.
    #[serde(default)]
    pub source_handle: Value,
    /// Id of the anchor that it enters.
    #[serde(default)]
    pub target_handle: Value,
    /// Every other key.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn blank_is_none<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.filter(|id| !id.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flow_leaves_as_it_entered_with_its_unknown_keys() {
        let file = json!({
            "nodes": [{
                "id": "plainText_0", "type": "customNode", "position": {"x": 1, "y": 2},
                "data": {
                    "id": "plainText_0", "label": "Plain Text", "name": "plainText",
                    "category": "Document Loaders",
                    "inputParams": [{"label": "Text", "name": "text", "type": "string", "rows": 4}],
                    "inputAnchors": [], "inputs": {"text": "hello"},
                    "outputs": {"output": "text"}, "version": 2, "madeUp": [1]
                }
            }],
            "edges": [{"source": "a", "target": "b", "sourceHandle": "x", "targetHandle": "y",
                       "type": "buttonedge", "id": "e"}],
            "viewport": {"zoom": 1}, "badge": "NEW"
        });
        let flow: FlowData = serde_json::from_value(file.clone()).unwrap();
        assert_eq!(flow.nodes[0].data.output(), Some("text"));
        assert_eq!(serde_json::to_value(&flow).unwrap(), file);
    }
}
