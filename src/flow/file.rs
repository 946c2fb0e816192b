//! Reads the three shapes of an exported flow: `flowData`, the single export
//! of the canvas, and the instance export with its arrays of flows.

use parlor_schemas::flow_file::FlowData;
use serde_json::Value;

/// Deepest nesting and largest size are the JSON parser's and the body's
/// limits; this is the limit of boxes in one flow.
const MAX_NODES: usize = 2_000;

/// Why a file holds no flow.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No JSON.
    #[error("the file is no valid JSON: {0}")]
    NotJson(String),
    /// JSON, but none of the three shapes.
    #[error("the file holds no flow: an object with nodes and edges is expected")]
    NoFlow,
    /// A node without what every node has.
    #[error("the flow cannot be read: {0}")]
    BadFlow(String),
    /// Too many boxes.
    #[error("the flow has more than {MAX_NODES} nodes")]
    TooLarge,
}

/// A flow found in a file.
#[derive(Debug)]
pub struct FoundFlow {
    /// Its name, where the file gives one.
    pub name: Option<String>,
    /// Its id, where the file gives one.
    pub id: Option<String>,
    /// `flowData` as JSON text, as it stood in the file.
    pub flow_data: String,
    /// The other columns of an instance export (apiConfig, chatbotConfig ...).
    pub columns: serde_json::Map<String, Value>,
}

/// Parses `flowData`.
///
/// # Errors
/// [`FileError`] that names what is wrong.
pub fn parse_flow(text: &str) -> Result<FlowData, FileError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| FileError::NotJson(error.to_string()))?;
    if !value.get("nodes").is_some_and(Value::is_array) {
        return Err(FileError::NoFlow);
    }
    let flow: FlowData =
        serde_json::from_value(value).map_err(|error| FileError::BadFlow(error.to_string()))?;
    if flow.nodes.len() > MAX_NODES {
        return Err(FileError::TooLarge);
    }
    Ok(flow)
}

/// Finds the flows of a file of any of the three shapes.
///
/// # Errors
/// [`FileError`] when there is none, or one cannot be read.
pub fn find_flows(text: &str) -> Result<Vec<FoundFlow>, FileError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| FileError::NotJson(error.to_string()))?;
    if value.get("nodes").is_some_and(Value::is_array) {
        parse_flow(text)?;
        let columns = serde_json::Map::new();
        return Ok(vec![FoundFlow { name: None, id: None, flow_data: text.to_owned(), columns }]);
    }
    let lists = ["ChatFlow", "AgentFlow", "Chatflows"];
    let flows = lists.iter().filter_map(|list| value.get(list)?.as_array()).flatten();
    let rows =
        if value.get("flowData").is_some() { vec![&value] } else { flows.collect::<Vec<_>>() };
    if rows.is_empty() {
        return Err(FileError::NoFlow);
    }
    rows.into_iter().map(row).collect()
}

fn row(row: &Value) -> Result<FoundFlow, FileError> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
    let flow_data = match row.get("flowData") {
        Some(Value::String(text)) => text.clone(),
        Some(tree @ Value::Object(_)) => tree.to_string(),
        _ => return Err(FileError::NoFlow),
    };
    parse_flow(&flow_data)?;
    let mut columns = row.as_object().cloned().unwrap_or_default();
    for key in ["name", "id", "flowData"] {
        columns.remove(key);
    }
    Ok(FoundFlow { name: text("name"), id: text("id"), flow_data, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_shapes_are_read_and_anything_else_is_named() {
        let flow = r#"{"nodes":[],"edges":[],"badge":"NEW"}"#;
        assert_eq!(find_flows(flow).unwrap()[0].flow_data, flow);
        let instance =
            r#"{"ChatFlow":[{"id":"1","name":"A","flowData":"{\"nodes\":[]}"}],"Tool":[]}"#;
        assert_eq!(find_flows(instance).unwrap()[0].name.as_deref(), Some("A"));
        assert!(matches!(find_flows("[1]"), Err(FileError::NoFlow)));
        assert!(matches!(find_flows("{"), Err(FileError::NotJson(_))));
        assert!(matches!(find_flows(r#"{"nodes":[{"id":"x"}]}"#), Err(FileError::BadFlow(_))));
    }
}
