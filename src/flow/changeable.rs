//! What a request can change in a chatflow, as `GET /api/v1/flow-config/{id}`
//! lists it for the operator: one row for each typed-in parameter, and whether
//! the chatflow's policy opens it now.

use std::collections::HashSet;

use parlor_nodes::{Kind, NodeSpec, registry, spec::Param};
use parlor_schemas::flow_file::{FlowData, FlowNode, InputParam};
use serde::Serialize;
use serde_json::Value;

use super::overrides::OverridePolicy;

/// One parameter of one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changeable {
    /// Label of the node, by which `apiConfig` enables overrides.
    pub node: String,
    /// Id of the node.
    pub node_id: String,
    /// Shown to people.
    pub label: String,
    /// The key of `overrideConfig`; `files` for a file, as in Flowise.
    pub name: String,
    /// `string`, `number`, ...; the endings of a file, the words of a choice.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether a request may change it under the current policy. An addition
    /// to Flowise's row.
    pub open: bool,
}

/// The parameters of all nodes, as they were saved with the flow; of a node
/// that was saved without any, as Parlor knows them.
pub fn changeable(flow: &FlowData, policy: &OverridePolicy) -> Vec<Changeable> {
    let mut seen = HashSet::new();
    let mut rows = Vec::new();
    for node in &flow.nodes {
        let found = Node { node, spec: registry::find(&node.data.name), policy }.rows();
        rows.extend(found.into_iter().filter(|row| seen.insert(row.clone())));
    }
    rows
}

struct Node<'a> {
    node: &'a FlowNode,
    spec: Option<&'static NodeSpec>,
    policy: &'a OverridePolicy,
}

impl Node<'_> {
    fn rows(&self) -> Vec<Changeable> {
        let saved = &self.node.data.input_params;
        if !saved.is_empty() {
            return saved.iter().flat_map(|param| self.saved(param)).collect();
        }
        let params = self.spec.into_iter().flat_map(|spec| spec.params);
        let typed = params.filter(|param| !matches!(param.kind, Kind::Node | Kind::Nodes));
        let row = |param: &Param| match param.kind {
            Kind::File => self.file(param.name, param.name, None),
            kind => self.row(param.name, param.name, &word(kind)),
        };
        typed.map(row).collect()
    }

    fn saved(&self, param: &InputParam) -> Vec<Changeable> {
        let row = |kind: &str| vec![self.row(&param.label, &param.name, kind)];
        match param.kind.as_str() {
            "credential" => self.fields_of_credential(param),
            "file" => {
                let endings = param.extra.get("fileType").and_then(Value::as_str);
                vec![self.file(&param.label, &param.name, endings)]
            }
            "options" => row(&choices(param)),
            "password" => row("string"),
            kind => row(kind),
        }
    }

    /// A file comes with a form, or as a data URI under its own name.
    fn file(&self, label: &str, name: &str, endings: Option<&str>) -> Changeable {
        let mut row = self.row(label, name, endings.unwrap_or("file"));
        "files".clone_into(&mut row.name);
        let param = self.spec.and_then(|spec| spec.param(name));
        row.open |= param.is_some_and(|param| self.policy.takes_files(param));
        row
    }

    /// A credential's fields are named so that the operator sees that no
    /// request can change them.
    fn fields_of_credential(&self, param: &InputParam) -> Vec<Changeable> {
        let named = param.extra.get("credentialNames").and_then(Value::as_array);
        let names: Vec<&str> = named.into_iter().flatten().filter_map(Value::as_str).collect();
        let credential = self.spec.and_then(|spec| spec.credential);
        let credential = credential.filter(|credential| names.contains(&credential.kind));
        let fields = credential.map_or(&[][..], |credential| credential.fields);
        fields.iter().map(|(field, _)| self.row(field, field, "string")).collect()
    }

    fn row(&self, label: &str, name: &str, kind: &str) -> Changeable {
        let param = self.spec.and_then(|spec| spec.param(name));
        Changeable {
            node: self.node.data.label.clone(),
            node_id: self.node.id.clone(),
            label: label.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            open: param.is_some_and(|param| self.policy.opens(&self.node.data.label, param)),
        }
    }
}

fn choices(param: &InputParam) -> String {
    let Some(options) = param.extra.get("options").and_then(Value::as_array) else {
        return "string".to_owned();
    };
    let names = options.iter().filter_map(|option| option.get("name")?.as_str());
    names.collect::<Vec<_>>().join(", ")
}

/// Flowise's word for a type of input.
pub fn word(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Template => "string".to_owned(),
        Kind::Number | Kind::Integer => "number".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Json => "json".to_owned(),
        Kind::Choice(words) => words.join(", "),
        Kind::File => "file".to_owned(),
        Kind::Node | Kind::Nodes => "node".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use parlor_schemas::{Chatflow, ChatflowId, Timestamp};
    use serde_json::json;

    use super::super::overrides::OverrideRule;
    use super::*;

    fn flow() -> FlowData {
        serde_json::from_value(json!({"nodes": [
            {"id": "m_0", "data": {"label": "Model", "name": "chatOpenAI", "inputParams": [
                {"label": "Connect", "name": "credential", "type": "credential", "credentialNames": ["openAIApi"]},
                {"label": "Temperature", "name": "temperature", "type": "number"},
                {"label": "Base Path", "name": "basepath", "type": "string"},
                {"label": "Resolution", "name": "imageResolution", "type": "options",
                 "options": [{"label": "Low", "name": "low"}, {"label": "High", "name": "high"}]}
            ]}},
            {"id": "t_0", "data": {"label": "Text File", "name": "textFile", "inputParams": [
                {"label": "File", "name": "txtFile", "type": "file", "fileType": ".txt, .md"},
                {"label": "Key", "name": "key", "type": "password"}
            ]}},
            {"id": "b_0", "data": {"label": "Memory", "name": "bufferMemory"}},
            {"id": "v_0", "data": {"label": "Store", "name": "postgres"}},
            {"id": "e_0", "data": {"label": "Vectors", "name": "openAIEmbeddings"}}
        ]}))
        .unwrap()
    }

    fn rows(api_config: Option<Value>) -> Vec<Changeable> {
        let now = Timestamp::from_millis(0);
        let mut row = Chatflow::new(ChatflowId::random(), "x".into(), "{}".into(), now);
        row.api_config = api_config.map(|config| config.to_string());
        changeable(&flow(), &OverridePolicy::of(&row, OverrideRule::default()))
    }

    #[test]
    fn every_saved_parameter_is_a_row_in_the_words_of_flowise() {
        let listed = rows(None);
        let shown: Vec<_> =
            listed.iter().map(|row| (row.name.as_str(), row.kind.as_str())).collect();
        assert_eq!(
            shown[..6],
            [
                ("openAIApiKey", "string"),
                ("temperature", "number"),
                ("basepath", "string"),
                ("imageResolution", "low, high"),
                ("files", ".txt, .md"),
                ("key", "string"),
            ]
        );
        let row = serde_json::to_value(&listed[1]).unwrap();
        let expected = json!({"node": "Model", "nodeId": "m_0", "label": "Temperature",
                              "name": "temperature", "type": "number", "open": true});
        assert_eq!(row, expected);
        assert!(listed[4].open, "a file may be brought");
        assert!(listed[6..].iter().any(|row| (&*row.node, &*row.name) == ("Memory", "sessionId")));
    }

    #[test]
    fn open_is_what_the_policy_opens_and_never_a_secret_or_an_address() {
        let open = |rows: &[Changeable]| -> Vec<String> {
            rows.iter().filter(|row| row.open).map(|row| row.name.clone()).collect()
        };
        let listed = open(&rows(None));
        assert!(listed.contains(&"temperature".to_owned()), "{listed:?}");
        let enabled = |name: &str| json!({"name": name, "enabled": true});
        let config = json!({"overrideConfig": {"status": true, "nodes": {
            "Model": [enabled("temperature"), enabled("basepath"), enabled("openAIApiKey")]
        }}});
        // Files of a form need no entry, as in Flowise.
        assert_eq!(open(&rows(Some(config))), ["temperature", "files"]);
        assert!(open(&rows(Some(json!({"overrideConfig": {"status": false}})))).is_empty());
    }

    #[test]
    fn what_keeps_tenants_apart_is_open_only_where_the_chatflow_lists_it() {
        let is_open = |rows: &[Changeable], node: &str, name: &str| {
            rows.iter().find(|row| row.node == node && row.name == name).unwrap().open
        };
        let enabled = |name: &str| json!([{"name": name, "enabled": true}]);
        let config = json!({"overrideConfig": {"status": true, "nodes": {
            "Store": enabled("pgMetadataFilter"), "Vectors": enabled("modelName"),
        }}});
        let listed = rows(Some(config));
        for (node, name) in [("Store", "pgMetadataFilter"), ("Vectors", "modelName")] {
            assert!(!is_open(&rows(None), node, name), "{name}");
            assert!(is_open(&listed, node, name), "{name}");
        }
        assert!(is_open(&rows(None), "Store", "topK"));
    }
}
