//! What must not come in parts: a record manager whose cleanup is `full` takes
//! out all that an upsert does not bring, and each part is an upsert.

use anyhow::{Context, bail};
use serde_json::Value;

use super::UpsertArgs;
use crate::cli::client::Client;

/// Refuses to send a part of the files to a store with a full cleanup.
///
/// # Errors
/// One sentence that says what to do; what the server says.
pub(super) async fn refuse_full(
    client: &Client,
    args: &UpsertArgs,
    n_parts: usize,
) -> anyhow::Result<()> {
    let path = format!("/api/v1/chatflows/{}", args.id);
    let row = client.call(reqwest::Method::GET, &path, None).await;
    let row = row.context("the chatflow's record managers cannot be looked at")?;
    let flow = serde_json::from_str(row["flowData"].as_str().unwrap_or_default());
    let Some(manager) = full_cleanup(&flow.unwrap_or_default(), &args.stop_node) else {
        return Ok(());
    };
    if n_parts > 1 {
        bail!(
            "the files need {n_parts} requests, and {manager} has the cleanup \"full\": each request \
             would take out what the ones before it brought. Set the cleanup to \"incremental\", \
             or send fewer files"
        );
    }
    bail!(
        "a file cannot be read, and {manager} has the cleanup \"full\", which would take out what \
         is stored of it: make it readable, leave it out of the command on purpose, or set the \
         cleanup to \"incremental\""
    )
}

/// The title of a record manager with a full cleanup that is connected to one
/// of these stores; without a list to any.
fn full_cleanup(flow: &Value, stores: &[String]) -> Option<String> {
    let list = |name: &str| flow[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_meant = |id: &Value| {
        stores.is_empty() || id.as_str().is_some_and(|id| stores.iter().any(|own| own == id))
    };
    let is_connected = |manager: &Value| {
        let reference = format!("{{{{{}.", manager["id"].as_str().unwrap_or_default());
        let refers = |node: &&Value| {
            let typed = node["data"]["inputs"]["recordManager"].as_str();
            typed.is_some_and(|typed| typed.contains(&reference)) && is_meant(&node["id"])
        };
        list("edges")
            .iter()
            .any(|edge| edge["source"] == manager["id"] && is_meant(&edge["target"]))
            || list("nodes").iter().any(|node| refers(&node))
    };
    let manager = list("nodes")
        .iter()
        .find(|node| node["data"]["inputs"]["cleanup"] == "full" && is_connected(node))?;
    let title = |name: &str| manager["data"][name].as_str().unwrap_or_default().to_owned();
    Some(format!("{} ({})", title("label"), manager["id"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow(cleanup: &str, edges: Value, reference: &str) -> Value {
        json!({"edges": edges, "nodes": [
            {"id": "sqliteRecordManager_0", "data": {
                "label": "SQLite Record Manager", "inputs": {"cleanup": cleanup},
            }},
            {"id": "qdrant_0", "data": {"inputs": {"recordManager": reference}}},
        ]})
    }

    #[test]
    fn a_full_cleanup_is_found_by_its_edge_or_its_reference_at_the_stores_that_are_meant() {
        let edge = json!([{"source": "sqliteRecordManager_0", "target": "qdrant_0"}]);
        let reference = "{{sqliteRecordManager_0.data.instance}}";
        let found = |flow: &Value, stores: &[&str]| {
            let stores: Vec<_> = stores.iter().map(|id| (*id).to_owned()).collect();
            full_cleanup(flow, &stores)
        };
        for flow in [flow("full", edge.clone(), ""), flow("full", json!([]), reference)] {
            let title = "SQLite Record Manager (sqliteRecordManager_0)";
            assert_eq!(found(&flow, &[]).as_deref(), Some(title));
            assert_eq!(found(&flow, &["qdrant_0"]).as_deref(), Some(title));
            assert_eq!(found(&flow, &["other_0"]), None);
        }
        assert_eq!(found(&flow("incremental", edge, reference), &[]), None);
        assert_eq!(found(&flow("full", json!([]), ""), &[]), None);
        assert_eq!(found(&Value::Null, &[]), None);
    }
}
