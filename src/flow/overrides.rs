//! What a request may change, parsed against the typed inputs at the door.
//!
//! Where the chatflow's `apiConfig` speaks of overrides, it decides; where it
//! is silent, the inputs that the nodes declare open may be changed.
//! Credentials, addresses, headers, code and paths are closed in both cases.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parlor_nodes::files::{self, InputFile};
use parlor_nodes::{Kind, spec::Param};
use parlor_schemas::{Chatflow, ErrorCode, Fault, given_json};
use serde_json::{Map, Value};

use super::plan::{Plan, PlanInput, PlanNode};
use super::text::{JsonTemplate, Segment};
use super::uploads::FormFile;

/// Keys of `overrideConfig`, and of its `vars`; each is looked for in every node.
const MAX_KEYS: usize = 1_000;

/// The overrides of one request: new inputs by (place of the node, name), and
/// values of variables.
#[derive(Debug, Default)]
pub struct Overrides {
    /// New inputs.
    pub inputs: HashMap<(usize, String), PlanInput>,
    /// Values of `{{$vars.name}}`.
    pub variables: Map<String, Value>,
    /// Values of `{{$flow.name}}`: every plain key of the request's overrideConfig.
    pub flow: Map<String, Value>,
    /// Whether the latter two also reach inputs that only the operator sets.
    pub reach_closed: bool,
}

impl Overrides {
    /// Puts the files of a multipart body in place of the saved ones, in every
    /// node that takes files of their kind. Gives the names of those that no
    /// node takes.
    pub fn take_files(
        &mut self,
        files: &[FormFile],
        plan: &Plan,
        policy: &OverridePolicy,
    ) -> Vec<String> {
        let mut by_input: BTreeMap<&'static str, Vec<&FormFile>> = BTreeMap::new();
        for file in files {
            by_input.entry(input_of(&file.name)).or_default().push(file);
        }
        let mut left = Vec::new();
        for (input, files) in by_input {
            let taking = plan.nodes.iter().enumerate().filter(|(_, node)| {
                let param = node.spec.param(input).filter(|param| param.kind == Kind::File);
                param.is_some_and(|param| policy.takes_files(param))
            });
            let places: Vec<usize> = taking.map(|(place, _)| place).collect();
            if places.is_empty() {
                left.extend(files.iter().map(|file| file.name.clone()));
            }
            let files: Arc<[InputFile]> = files.into_iter().map(FormFile::as_input).collect();
            for place in places {
                let files = PlanInput::Files(Arc::clone(&files));
                self.inputs.insert((place, input.to_owned()), files);
            }
        }
        left
    }
}

/// Which input a file is for: Flowise decides by the extension alone, upper
/// and lower case apart (contract 1.2).
pub fn input_of(file_name: &str) -> &'static str {
    match file_name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "pdf" => "pdfFile",
        "json" => "jsonFile",
        "csv" | "xls" | "xlsx" => "csvFile",
        "jsonl" => "jsonlinesFile",
        "docx" | "doc" => "docxFile",
        "yaml" => "yamlFile",
        _ => "txtFile",
    }
}

/// What the operator lets requests change at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OverrideRule {
    /// What the chatflow enables; where it is silent, what the nodes declare open.
    #[default]
    Documented,
    /// Only what the chatflow enables, as in Flowise 2.2.8.
    Listed,
    /// What the chatflow enables, credentials, addresses and headers too.
    ListedWithSecrets,
    /// Nothing.
    Closed,
}

/// `apiConfig.overrideConfig`, parsed once per chatflow version, under the
/// operator's rule.
#[derive(Debug, Clone, Default)]
pub struct OverridePolicy {
    rule: OverrideRule,
    /// `None` where the chatflow does not say.
    config: Option<Value>,
}

impl OverridePolicy {
    /// Reads the chatflow's `apiConfig`.
    pub fn of(chatflow: &Chatflow, rule: OverrideRule) -> Self {
        let settings = Chatflow::settings(chatflow.api_config.as_deref());
        let config = settings.get("overrideConfig").filter(|config| config.is_object()).cloned();
        Self { rule, config }
    }

    /// Whether a request may change this input of this node.
    pub fn allows(&self, node: &PlanNode, param: &Param) -> bool {
        self.opens(&node.label, param)
    }

    /// The same for a node by its label.
    pub fn opens(&self, label: &str, param: &Param) -> bool {
        match (&self.config, self.rule) {
            (_, OverrideRule::Closed) => false,
            (None, rule) => param.open && rule == OverrideRule::Documented,
            (Some(config), rule) => {
                is_on(config)
                    && (param.openable || rule == OverrideRule::ListedWithSecrets)
                    && names(param).any(|name| {
                        enabled(config.get("nodes").and_then(|nodes| nodes.get(label)), name)
                    })
            }
        }
    }

    /// Whether files of a multipart body may take the place of an input's.
    /// They need no entry of their own where overrides are on (contract 1.2).
    pub fn takes_files(&self, param: &Param) -> bool {
        match (&self.config, self.rule) {
            (_, OverrideRule::Closed) => false,
            (None, rule) => param.open && rule == OverrideRule::Documented,
            (Some(config), _) => param.open && is_on(config),
        }
    }

    fn allows_variable(&self, name: &str) -> bool {
        match (&self.config, self.rule) {
            (_, OverrideRule::Closed) => false,
            (None, rule) => rule == OverrideRule::Documented,
            (Some(config), _) => enabled(config.get("variables"), name),
        }
    }
}

fn is_on(config: &Value) -> bool {
    config.get("status").and_then(Value::as_bool) == Some(true)
}

/// The names by which `apiConfig` may enable an input: Flowise lists every
/// file as `files`.
fn names(param: &Param) -> impl Iterator<Item = &'static str> {
    let files = (param.kind == Kind::File).then_some("files");
    [Some(param.name), files].into_iter().flatten()
}

fn enabled(list: Option<&Value>, name: &str) -> bool {
    list.and_then(Value::as_array).is_some_and(|entries| {
        entries.iter().any(|entry| {
            entry.get("name").and_then(Value::as_str) == Some(name)
                && entry.get("enabled").and_then(Value::as_bool) == Some(true)
        })
    })
}

/// Parses the overrides of a request; what the policy closes is left out, as
/// in Flowise.
///
/// # Errors
/// [`ErrorCode::BadRequest`] naming the key whose value has the wrong type, or
/// where there are too many of them.
pub fn parse(
    overrides: &Map<String, Value>,
    plan: &Plan,
    policy: &OverridePolicy,
) -> Result<Overrides, Fault> {
    check_count("overrideConfig", overrides)?;
    let reach_closed = policy.rule == OverrideRule::ListedWithSecrets;
    let mut parsed = Overrides { reach_closed, ..Overrides::default() };
    for (key, value) in overrides {
        if key == "vars" {
            parsed.variables = variables(value, policy)?;
            continue;
        }
        if !value.is_object() && !value.is_array() {
            parsed.flow.insert(key.clone(), value.clone());
        }
        for (place, node) in plan.nodes.iter().enumerate() {
            let Some(param) = node.spec.param(key).filter(|param| policy.allows(node, param))
            else {
                continue;
            };
            if let Some(value) = value_for(node, value, plan)
                && let Some(input) = input(key, value, param, node)?
            {
                parsed.inputs.insert((place, key.clone()), input);
            }
        }
    }
    Ok(parsed)
}

fn check_count(name: &str, keys: &Map<String, Value>) -> Result<(), Fault> {
    if keys.len() > MAX_KEYS {
        let message = format!("{name} holds more than {MAX_KEYS} keys");
        return Err(Fault::new(ErrorCode::BadRequest, message));
    }
    Ok(())
}

fn variables(value: &Value, policy: &OverridePolicy) -> Result<Map<String, Value>, Fault> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => {
            check_count("overrideConfig.vars", map)?;
            let allowed = map.iter().filter(|(name, _)| policy.allows_variable(name));
            Ok(allowed.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        _ => Err(bad("vars", "an object of names and values")),
    }
}

/// The value meant for this node: an object whose keys are node ids speaks to
/// those nodes only, also where this plan does without them: what fills one vector
/// store knows none of the next one's loaders.
fn value_for<'a>(node: &PlanNode, value: &'a Value, plan: &Plan) -> Option<&'a Value> {
    let Value::Object(map) = value else { return Some(value) };
    if let Some(own) = map.get(&node.id) {
        return Some(own);
    }
    let is_id = |key: &String| {
        plan.nodes.iter().any(|other| other.id == *key) || is_like(key, node.spec.name)
    };
    (!map.keys().any(is_id)).then_some(value)
}

/// Whether this is the id of some node of this name: `chatOpenAI_1`.
fn is_like(id: &str, name: &str) -> bool {
    let number = id.strip_prefix(name).and_then(|rest| rest.strip_prefix('_'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

fn input(
    key: &str,
    value: &Value,
    param: &Param,
    node: &PlanNode,
) -> Result<Option<PlanInput>, Fault> {
    if value.is_null() {
        return Ok(None);
    }
    let text = match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let as_text = |text: String| Ok(Some(PlanInput::Text(vec![Segment::Literal(text)])));
    match (param.kind, text) {
        (Kind::Node | Kind::Nodes, _) => Ok(None),
        (Kind::File, text) => files(key, &text.unwrap_or_else(|| value.to_string())),
        (Kind::Json, text) => json(key, value, text, node).map(Some),
        (Kind::Text | Kind::Template, Some(text)) => as_text(text),
        (Kind::Text | Kind::Template, None) => Err(bad(key, "a text")),
        (Kind::Number, Some(text)) if is_number(&text) => as_text(text),
        (Kind::Number, _) => Err(bad(key, "a number")),
        (Kind::Integer, Some(text)) if text.is_empty() || text.parse::<i64>().is_ok() => {
            as_text(text)
        }
        (Kind::Integer, _) => Err(bad(key, "a whole number")),
        (Kind::Boolean, Some(text)) if matches!(text.as_str(), "" | "true" | "false") => {
            as_text(text)
        }
        (Kind::Boolean, _) => Err(bad(key, "true or false")),
        (Kind::Choice(words), Some(text)) if words.contains(&text.as_str()) => as_text(text),
        (Kind::Choice(words), _) => Err(bad(key, &format!("one of {}", words.join(", ")))),
    }
}

/// Files come with the request. The names of stored ones are the author's: a
/// caller who writes one would read what others put there.
fn files(key: &str, text: &str) -> Result<Option<PlanInput>, Fault> {
    let wrong = |problem: &str| wrong(key, &problem);
    if text.trim().is_empty() {
        return Ok(Some(PlanInput::Files(Arc::new([]))));
    }
    let files = files::parse(text).map_err(|problem| wrong(&problem))?;
    if files.iter().any(|file| matches!(file, InputFile::Stored(_))) {
        return Err(wrong("must be a data URI, not the name of a stored file"));
    }
    Ok(Some(PlanInput::Files(files.into())))
}

fn is_number(text: &str) -> bool {
    text.is_empty() || text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

/// An object is merged over the saved one, as Flowise does with promptValues.
fn json(
    key: &str,
    value: &Value,
    text: Option<String>,
    node: &PlanNode,
) -> Result<PlanInput, Fault> {
    let given = match text {
        Some(text) => given_json::parse(text.as_bytes()).map_err(|error| wrong(key, &error))?,
        None => value.clone(),
    };
    let saved = node.inputs.iter().find(|(name, _)| name == key).map(|(_, input)| input);
    let given = plain_tree(&given);
    match (saved, given) {
        (Some(PlanInput::Json(JsonTemplate::Object(saved))), JsonTemplate::Object(given)) => {
            let mut merged = saved.clone();
            merged.retain(|(name, _)| !given.iter().any(|(other, _)| other == name));
            merged.extend(given);
            Ok(PlanInput::Json(JsonTemplate::Object(merged)))
        }
        (_, given) => Ok(PlanInput::Json(given)),
    }
}

/// A request's tree: `{{...}}` in it is text.
fn plain_tree(value: &Value) -> JsonTemplate {
    match value {
        Value::String(text) => JsonTemplate::Text(vec![Segment::Literal(text.clone())]),
        Value::Array(items) => JsonTemplate::Array(items.iter().map(plain_tree).collect()),
        Value::Object(map) => JsonTemplate::Object(
            map.iter().map(|(key, value)| (key.clone(), plain_tree(value))).collect(),
        ),
        scalar => JsonTemplate::Scalar(scalar.clone()),
    }
}

fn bad(key: &str, wanted: &str) -> Fault {
    wrong(key, &format!("must be {wanted}"))
}

fn wrong(key: &str, problem: &dyn std::fmt::Display) -> Fault {
    Fault::new(ErrorCode::BadRequest, format!("overrideConfig.{key} {problem}"))
}

#[cfg(test)]
mod tests;
