use parlor_schemas::{ChatflowId, Timestamp};
use serde_json::json;

use super::*;
use crate::flow::plan::compile;

fn plan() -> Plan {
    let flow = json!({
        "nodes": [
            {"id": "t_0", "data": {"id": "t_0", "name": "textFile", "label": "Text", "category": "Document Loaders",
             "inputs": {"txtFile": "FILE-STORAGE::a.txt"}, "outputs": {"output": "text"}}},
            {"id": "p_0", "data": {"id": "p_0", "name": "promptTemplate", "label": "Prompt", "category": "Prompts",
             "inputParams": [{"name": "promptValues", "type": "json", "acceptVariable": true}],
             "inputs": {"template": "{a}", "promptValues": "{\"a\": \"{{t_0.data.instance}}\"}"}}},
            {"id": "c_0", "data": {"id": "c_0", "name": "llmChain", "label": "Chain", "category": "Chains",
             "inputs": {"prompt": "{{p_0.data.instance}}"}}}
        ],
        "edges": [{"source": "t_0", "target": "p_0"}, {"source": "p_0", "target": "c_0"}]
    });
    compile(&serde_json::from_value(flow).unwrap(), &|_, _| None).unwrap()
}

fn policy(config: Option<Value>) -> OverridePolicy {
    let now = Timestamp::from_millis(0);
    let mut row = Chatflow::new(ChatflowId::random(), "x".into(), "{}".into(), now);
    row.api_config = config.map(|config| json!({"overrideConfig": config}).to_string());
    OverridePolicy::of(&row, OverrideRule::default())
}

const FILE: &str = "data:text/plain;base64,aGk=,filename:a.txt";

fn given(value: Value, policy: &OverridePolicy) -> Result<Vec<InputFile>, Fault> {
    let overrides = json!({ "txtFile": value }).as_object().unwrap().clone();
    let parsed = parse(&overrides, &plan(), policy)?;
    match parsed.inputs.into_values().next() {
        None => Ok(Vec::new()),
        Some(PlanInput::Files(files)) => Ok(files.to_vec()),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn files_come_as_data_uris_and_never_by_the_name_of_a_stored_one() {
    let open = policy(None);
    for value in
        [json!(FILE), json!({"t_0": FILE}), json!([FILE]), json!(json!([FILE]).to_string())]
    {
        assert_eq!(given(value, &open).unwrap().len(), 1);
    }
    for (value, part) in [
        (json!("FILE-STORAGE::secret.txt"), "stored file"),
        (json!("FILE-STORAGE::[\"a.txt\"]"), "stored file"),
        (json!("hello"), "data URI"),
        (json!(5), "data URI"),
        (json!({"x": 1}), "data URI"),
        (json!([1]), "list of texts"),
        (json!("data:text/plain;base64,a!b?"), "base64"),
    ] {
        let fault = given(value, &open).unwrap_err();
        assert_eq!(fault.code, ErrorCode::BadRequest);
        let named = fault.message.starts_with("overrideConfig.txtFile ");
        assert!(named && fault.message.contains(part), "{part}: {}", fault.message);
    }
}

#[test]
fn what_names_a_loader_of_another_vector_store_is_not_for_this_one() {
    let open = policy(None);
    assert!(given(json!({"textFile_7": FILE}), &open).unwrap().is_empty());
    assert_eq!(given(json!({"textFile_7": FILE, "t_0": FILE}), &open).unwrap().len(), 1);
    assert!(given(json!({"textFile_x": FILE}), &open).is_err());
}

#[test]
fn files_of_a_form_need_overrides_that_are_on_and_others_an_entry() {
    let entry = |name: &str| json!({"Text": [{"name": name, "enabled": true}]});
    for (config, as_text, as_form) in [
        (None, true, true),
        (Some(json!({"status": false, "nodes": entry("txtFile")})), false, false),
        (Some(json!({"status": true, "nodes": {}})), false, true),
        (Some(json!({"status": true, "nodes": entry("files")})), true, true),
        (Some(json!({"status": true, "nodes": entry("txtFile")})), true, true),
    ] {
        let policy = policy(config.clone());
        let file = FormFile {
            name: "a.txt".into(),
            mime: String::new(),
            bytes: bytes::Bytes::from_static(b"x"),
        };
        let left = Overrides::default().take_files(&[file], &plan(), &policy);
        let n_given = given(json!(FILE), &policy).unwrap().len();
        assert_eq!((n_given == 1, left.is_empty()), (as_text, as_form), "{config:?}");
    }
}

#[test]
fn files_go_to_the_loaders_input_of_their_extension() {
    for (name, input) in [
        ("a.txt", "txtFile"),
        ("b.PDF", "txtFile"),
        ("c.pdf", "pdfFile"),
        ("d.xlsx", "csvFile"),
        ("e.jsonl", "jsonlinesFile"),
        ("f.doc", "docxFile"),
        ("noext", "txtFile"),
    ] {
        assert_eq!(input_of(name), input, "{name}");
    }
}
