//! What the upsert history says of a flow: the nodes that took part and the
//! parameters that they ran with (contract of Flowise 2.2.8, section 9.3).
//! References, empty values and passwords are left out; a file is its name.

use parlor_schemas::flow_file::{FlowNode, InputParam};
use parlor_schemas::given_json;
use serde_json::{Map, Value, json};

use super::overrides::Overrides;
use super::plan::PlanInput;

/// What a request says of one target.
pub(super) struct Given<'a> {
    /// Its `overrideConfig`.
    pub(super) raw: &'a Map<String, Value>,
    /// What of it is taken.
    pub(super) taken: &'a Overrides,
}

/// `flowData` of a row: one entry for each node, in the plan's order.
pub(super) fn flow_data(nodes: &[FlowNode], given: &Given<'_>) -> Vec<Value> {
    let entry = |(place, node): (usize, &FlowNode)| {
        json!({
            "label": node.data.label,
            "name": node.data.name,
            "category": node.data.category,
            "id": node.id,
            "paramValues": params(place, node, given),
        })
    };
    nodes.iter().enumerate().map(entry).collect()
}

/// In the order of the saved values, then those that only the request has.
fn params(place: usize, node: &FlowNode, given: &Given<'_>) -> Vec<Value> {
    let taken = |name: &str| given.taken.inputs.get(&(place, name.to_owned()));
    let added = node.data.input_params.iter().map(|param| param.name.as_str());
    let added = added.filter(|name| !node.data.inputs.contains_key(*name) && taken(name).is_some());
    let names = node.data.inputs.keys().map(String::as_str).chain(added);
    let shown = names.filter_map(|name| {
        let param = node.data.input_params.iter().find(|param| param.name == name)?;
        let value = match taken(name) {
            Some(PlanInput::Files(files)) => json!(file_names(files)),
            Some(_) => without_content(param, given_value(node, name, given.raw)),
            None => without_content(param, node.data.inputs.get(name)?.clone()),
        };
        row(param, value)
    });
    shown.collect()
}

fn given_value(node: &FlowNode, name: &str, raw: &Map<String, Value>) -> Value {
    let value = raw.get(name).cloned().unwrap_or_default();
    value.get(&node.id).cloned().unwrap_or(value)
}

fn row(param: &InputParam, value: Value) -> Option<Value> {
    if is_empty(&value) || is_reference(&value) || param.kind == "password" {
        return None;
    }
    Some(json!({"label": param.label, "name": param.name, "type": param.kind, "value": value}))
}

/// A file is shown by its name.
fn without_content(param: &InputParam, value: Value) -> Value {
    match (param.kind.as_str(), value) {
        ("file", Value::String(text)) => Value::String(names_in(&text)),
        ("file", _) => Value::Null,
        (_, value) => value,
    }
}

/// What JavaScript takes for false.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("{{") && text.ends_with("}}"))
}

fn file_names(files: &[parlor_nodes::files::InputFile]) -> String {
    use parlor_nodes::files::InputFile::{Inline, Stored};
    let names: Vec<_> = files
        .iter()
        .map(|file| match file {
            Inline { name, .. } | Stored(name) => name.as_str(),
        })
        .collect();
    names.join(", ")
}

/// The names in a saved file input, without decoding what it holds.
fn names_in(text: &str) -> String {
    let (text, is_stored) = match text.trim().strip_prefix("FILE-STORAGE::") {
        Some(stored) => (stored, true),
        None => (text.trim(), false),
    };
    let list = || serde_json::from_value(given_json::parse(text.as_bytes()).ok()?).ok();
    let listed: Option<Vec<String>> = text.starts_with('[').then(list).flatten();
    let listed = listed.unwrap_or_else(|| vec![text.to_owned()]);
    let name = |file: &String| match file.rsplit_once(",filename:") {
        Some((_, name)) => Some(name.to_owned()),
        None => is_stored.then(|| file.clone()),
    };
    listed.iter().filter_map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parlor_nodes::files::InputFile;

    use super::super::text::Segment;
    use super::*;

    fn node() -> FlowNode {
        let param = |name: &str, kind: &str| json!({"label": name, "name": name, "type": kind});
        serde_json::from_value(json!({"id": "n_0", "data": {
            "label": "A", "name": "a", "category": "Document Loaders",
            "inputParams": [
                param("txtFile", "file"), param("chunkSize", "number"), param("zero", "number"),
                param("text", "string"), param("off", "boolean"), param("secret", "password"),
                param("topK", "number"),
            ],
            "inputs": {
                "txtFile": "data:text/plain;base64,QUJD,filename:bakery.txt",
                "chunkSize": "0", "zero": 0, "text": "{{other_0.data.instance}}", "off": false,
                "secret": "s", "anchor": "{{other_0.data.instance}}",
            },
        }}))
        .unwrap()
    }

    fn shown(raw: &Value, taken: &Overrides) -> Vec<(String, Value)> {
        let given = Given { raw: raw.as_object().unwrap(), taken };
        let entries = flow_data(&[node()], &given);
        let params = entries[0]["paramValues"].as_array().unwrap().iter();
        let pair = |param: &Value| (param["name"].as_str().unwrap().into(), param["value"].clone());
        params.map(pair).collect()
    }

    fn pair(name: &str, value: Value) -> (String, Value) {
        (name.to_owned(), value)
    }

    #[test]
    fn files_are_names_and_what_is_empty_secret_or_a_reference_is_left_out() {
        let found = shown(&json!({}), &Overrides::default());
        assert_eq!(found, [pair("txtFile", json!("bakery.txt")), pair("chunkSize", json!("0"))]);
        for (text, names) in [
            ("FILE-STORAGE::a.txt", "a.txt"),
            ("FILE-STORAGE::[\"a\",\"b\"]", "a, b"),
            ("[\"data:x;base64,QQ==,filename:a\", \"data:x;base64,QQ==,filename:b\"]", "a, b"),
            ("data:x;base64,QQ==", ""),
        ] {
            assert_eq!(names_in(text), names, "{text}");
        }
    }

    #[test]
    fn what_the_request_changed_stands_in_place_of_what_was_saved() {
        let mut taken = Overrides::default();
        let file = |name: &str| InputFile::Stored(name.into());
        let files = PlanInput::Files(Arc::new([file("x.txt"), file("y.txt")]));
        taken.inputs.insert((0, "txtFile".into()), files);
        let text = || PlanInput::Text(vec![Segment::Literal("1".into())]);
        taken.inputs.insert((0, "topK".into()), text());
        taken.inputs.insert((0, "chunkSize".into()), text());
        let raw = json!({"topK": 1, "chunkSize": {"n_0": 9, "m_0": 8}, "off": true});
        let expected = [
            pair("txtFile", json!("x.txt, y.txt")),
            pair("chunkSize", json!(9)),
            pair("topK", json!(1)),
        ];
        assert_eq!(shown(&raw, &taken), expected);
    }
}
