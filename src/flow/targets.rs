//! Which vector stores a request fills, and the part of the flow that fills
//! each of them.

use std::sync::Arc;

use parlor_schemas::flow_file::{FlowData, FlowNode};
use parlor_schemas::{ErrorCode, Fault, given_json};
use serde_json::Value;

use super::graph::{Graph, title};
use super::plan::{BindSecrets, Plan, PlanError, compile_nodes};

/// A vector store that is to be filled.
pub struct Target {
    /// Id of its node.
    pub id: String,
    /// The nodes that it depends on, and itself, as they are saved: in the
    /// plan's order.
    pub nodes: Vec<FlowNode>,
    /// The same, compiled.
    pub plan: Arc<Plan>,
}

/// Reads `stopNodeId`: a text, or a list of texts; none where it is absent or empty.
///
/// # Errors
/// [`ErrorCode::BadRequest`] for anything else.
pub fn stop_nodes(value: Option<&Value>) -> Result<Vec<String>, Fault> {
    let wrong = || bad("stopNodeId must be the id of a vector store node, or a list of ids");
    // A form can bring a list as JSON text only.
    let list: Option<Value> = value
        .and_then(Value::as_str)
        .filter(|text| text.trim_start().starts_with('['))
        .and_then(|text| given_json::parse(text.as_bytes()).ok());
    let listed = match list.as_ref().or(value) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(id)) => vec![id.as_str()],
        Some(Value::Array(ids)) => {
            ids.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
    };
    let mut wanted: Vec<String> = Vec::new();
    for id in listed.into_iter().map(str::trim).filter(|id| !id.is_empty()) {
        if !wanted.iter().any(|other| other == id) {
            wanted.push(id.to_owned());
        }
    }
    Ok(wanted)
}

/// The vector stores that are meant, by their places in the flow (contract of
/// Flowise 2.2.8, section 9.1).
///
/// # Errors
/// [`ErrorCode::BadRequest`] where nothing is meant, or too much, or something
/// that is no vector store of the flow.
pub fn choose(flow: &FlowData, wanted: &[String]) -> Result<Vec<usize>, Fault> {
    let is_store = |at: &usize| flow.nodes[*at].data.category == "Vector Stores";
    let stores: Vec<usize> = (0..flow.nodes.len()).filter(is_store).collect();
    let with_uploads: Vec<usize> =
        stores.iter().copied().filter(|at| takes_uploads(&flow.nodes[*at])).collect();
    if with_uploads.len() > 1 {
        return Err(bad("Multiple vector store nodes with fileUpload enabled"));
    }
    if !wanted.is_empty() {
        let place = |id: &String| stores.iter().copied().find(|at| flow.nodes[*at].id == *id);
        let find = |id| place(id).ok_or_else(|| unknown(id, flow, &stores));
        return wanted.iter().map(find).collect();
    }
    match (stores.as_slice(), with_uploads.as_slice()) {
        ([], _) => Err(bad("No vector node found")),
        (_, [at]) | ([at], _) => Ok(vec![*at]),
        _ => {
            let message =
                "There are multiple vector nodes, please provide stopNodeId in body request";
            Err(bad(message))
        }
    }
}

/// Chooses the vector stores and compiles what fills each of them.
///
/// # Errors
/// [`choose`]'s, and what is wrong with the flow up to there.
pub fn compile(
    flow: &FlowData,
    wanted: &[String],
    bind: &BindSecrets<'_>,
) -> Result<Vec<Target>, Fault> {
    let graph = Graph::new(flow).map_err(|error| Fault::from(&PlanError::from(error)))?;
    let target = |at: usize| {
        // What hangs on the store is left out.
        let plan = compile_nodes(flow, &graph.order(at)?, bind)?;
        let saved = |id: &str| graph.find(id).map(|at| flow.nodes[at].clone());
        let nodes = plan.nodes.iter().filter_map(|node| saved(&node.id)).collect();
        Ok(Target { id: flow.nodes[at].id.clone(), nodes, plan: Arc::new(plan) })
    };
    let places = choose(flow, wanted)?;
    places.into_iter().map(|at| target(at).map_err(|error: PlanError| (&error).into())).collect()
}

fn takes_uploads(node: &FlowNode) -> bool {
    match node.data.inputs.get("fileUpload") {
        Some(Value::Bool(takes)) => *takes,
        Some(Value::String(word)) => word == "true",
        _ => false,
    }
}

fn unknown(id: &str, flow: &FlowData, stores: &[usize]) -> Fault {
    let shown: String = id.chars().take(60).collect();
    let shown = shown.escape_debug();
    let titles: Vec<_> = stores.iter().map(|at| title(&flow.nodes[*at])).collect();
    let choice = match titles.as_slice() {
        [] => "this chatflow has none".to_owned(),
        titles => format!("use one of {}", titles.join(", ")),
    };
    bad(format!("stopNodeId {shown} is no vector store of this chatflow; {choice}"))
}

fn bad(message: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn store(id: &str, uploads: Value) -> Value {
        json!({"id": id, "data": {
            "label": "Store", "name": "madeUpStore", "category": "Vector Stores",
            "inputs": {"fileUpload": uploads}
        }})
    }

    fn flow(stores: &[(&str, Value)]) -> FlowData {
        let mut nodes: Vec<_> = stores.iter().map(|(id, on)| store(id, on.clone())).collect();
        nodes.push(json!({"id": "chain_0", "data": {"category": "Chains", "name": "x"}}));
        serde_json::from_value(json!({"nodes": nodes})).unwrap()
    }

    fn chosen(flow: &FlowData, wanted: Value) -> Result<Vec<String>, String> {
        let wanted = stop_nodes(Some(&wanted)).map_err(|fault| fault.message)?;
        let places = choose(flow, &wanted).map_err(|fault| fault.message)?;
        Ok(places.iter().map(|at| flow.nodes[*at].id.clone()).collect())
    }

    #[test]
    fn the_only_store_is_meant_and_none_is_an_error() {
        let one = flow(&[("s_0", json!(""))]);
        for nothing in [json!(null), json!(""), json!([]), json!(["", " "])] {
            assert_eq!(chosen(&one, nothing).unwrap(), ["s_0"]);
        }
        assert_eq!(chosen(&flow(&[]), json!(null)).unwrap_err(), "No vector node found");
    }

    #[test]
    fn of_several_the_request_says_which_or_the_one_with_uploads_is_meant() {
        let plain = [("s_0", json!(false)), ("s_1", json!(null)), ("s_2", json!("false"))];
        let message = "There are multiple vector nodes, please provide stopNodeId in body request";
        assert_eq!(chosen(&flow(&plain), json!(null)).unwrap_err(), message);
        assert_eq!(chosen(&flow(&plain), json!("s_1")).unwrap(), ["s_1"]);
        let both = json!(["s_2", "s_0", "s_2"]);
        assert_eq!(chosen(&flow(&plain), both).unwrap(), ["s_2", "s_0"]);
        assert_eq!(chosen(&flow(&plain), json!("[\"s_1\"]")).unwrap(), ["s_1"]);
        let one = flow(&[("s_0", json!("")), ("s_1", json!(true))]);
        assert_eq!(chosen(&one, json!(null)).unwrap(), ["s_1"]);
        assert_eq!(chosen(&one, json!("s_0")).unwrap(), ["s_0"]);
        let two = flow(&[("s_0", json!("true")), ("s_1", json!(true))]);
        let message = "Multiple vector store nodes with fileUpload enabled";
        assert_eq!(chosen(&two, json!(null)).unwrap_err(), message);
    }

    #[test]
    fn what_is_no_store_of_the_flow_is_named_beside_those_that_are() {
        let flow = flow(&[("s_0", json!("")), ("s_1", json!(""))]);
        for wanted in [json!("chain_0"), json!(["s_0", "chain_0"])] {
            let message = chosen(&flow, wanted).unwrap_err();
            assert!(message.contains("stopNodeId chain_0"), "{message}");
            assert!(message.contains("Store (s_0), Store (s_1)"), "{message}");
        }
        for wrong in [json!(1), json!({"id": "s_0"}), json!([["s_0"]])] {
            assert!(chosen(&flow, wrong).unwrap_err().contains("stopNodeId must"));
        }
    }

    #[test]
    fn only_what_the_store_depends_on_has_to_be_known() {
        let mut flow = flow(&[("s_0", json!(""))]);
        let error = compile(&flow, &[], &|_, _| None).err().unwrap();
        assert_eq!(error.code, ErrorCode::UnsupportedNode);
        assert!(error.message.contains("madeUpStore") && !error.message.contains('x'), "{error}");
        // Any known node will do for a store here.
        flow.nodes[0].data.name = "plainText".into();
        let targets = compile(&flow, &[], &|_, _| None).unwrap();
        assert_eq!((targets.len(), targets[0].nodes.len()), (1, 1));
        assert_eq!(targets[0].id, "s_0");
    }
}
