//! JSON Schema in the words that Gemini knows: it refuses a request for any
//! other, `$schema` and `additionalProperties` among them.
//!
//! Source: Gemini API reference, "Caching", `Schema`: a subset of OpenAPI 3.0.
//! References are written out, since it knows none.

use serde_json::{Map, Value, json};

/// Most pieces of one schema: references can make a short one endless.
const MAX_PIECES: usize = 2000;
const MAX_DEPTH: usize = 32;

/// Words that are taken over as they are.
const KEPT: &[&str] = &[
    "description",
    "nullable",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minProperties",
    "maxProperties",
    "propertyOrdering",
];
/// The formats that Gemini takes; it refuses the request for another.
const FORMATS: &[&str] = &["enum", "date-time", "float", "double", "int32", "int64"];

/// The schema of a tool's arguments; `None` where there are none, for Gemini
/// refuses an object without properties.
pub(super) fn of_arguments(schema: &Value) -> Option<Value> {
    let schema = of_answer(schema);
    let has_properties = schema.get("properties").and_then(Value::as_object).is_some();
    (has_properties || schema.get("anyOf").is_some()).then_some(schema)
}

/// The schema of an answer.
pub(super) fn of_answer(schema: &Value) -> Value {
    Cleaning { root: schema, n_pieces: 0 }.clean(schema, 0)
}

struct Cleaning<'a> {
    root: &'a Value,
    n_pieces: usize,
}

impl<'a> Cleaning<'a> {
    fn clean(&mut self, schema: &'a Value, depth: usize) -> Value {
        self.n_pieces += 1;
        if depth > MAX_DEPTH || self.n_pieces > MAX_PIECES {
            return json!({ "type": "object" });
        }
        let Value::Object(schema) = schema else { return json!({ "type": "string" }) };
        if let Some(target) = self.target(schema) {
            let mut cleaned = self.clean(target, depth + 1);
            // What is said beside a reference is said of this place.
            if let Some(text) = schema.get("description") {
                cleaned["description"] = text.clone();
            }
            return cleaned;
        }
        let mut cleaned = Map::new();
        self.set_type(schema, &mut cleaned);
        for name in KEPT {
            if let Some(value) = schema.get(*name) {
                cleaned.insert((*name).to_owned(), value.clone());
            }
        }
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && FORMATS.contains(&format)
        {
            cleaned.insert("format".to_owned(), format.into());
        }
        set_choices(schema, &mut cleaned);
        self.set_alternatives(schema, &mut cleaned, depth);
        self.set_parts(schema, &mut cleaned, depth);
        default_type(&mut cleaned);
        Value::Object(cleaned)
    }

    /// What `$ref` points to, in the same schema only.
    fn target(&self, schema: &Map<String, Value>) -> Option<&'a Value> {
        let path = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(path)
    }

    /// One type; `null` beside it becomes `nullable`, and several become `anyOf`.
    fn set_type(&mut self, schema: &Map<String, Value>, cleaned: &mut Map<String, Value>) {
        let types: Vec<&Value> = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().collect(),
            Some(one) => vec![one],
            None => return,
        };
        let (nulls, types): (Vec<_>, Vec<_>) = types.into_iter().partition(|kind| *kind == "null");
        if !nulls.is_empty() {
            cleaned.insert("nullable".to_owned(), true.into());
        }
        match types.as_slice() {
            [] => {}
            [one] => drop(cleaned.insert("type".to_owned(), (*one).clone())),
            several => {
                let several = several.iter().map(|kind| json!({ "type": kind })).collect();
                cleaned.insert("anyOf".to_owned(), Value::Array(several));
            }
        }
    }

    /// `anyOf`, and `oneOf` and `allOf` as what comes nearest.
    fn set_alternatives(
        &mut self,
        schema: &'a Map<String, Value>,
        cleaned: &mut Map<String, Value>,
        depth: usize,
    ) {
        let list = |name: &str| schema.get(name).and_then(Value::as_array).into_iter().flatten();
        for part in list("allOf") {
            merge(cleaned, self.clean(part, depth + 1));
        }
        let mut alternatives = Vec::new();
        for part in list("anyOf").chain(list("oneOf")) {
            if part.get("type").is_some_and(|kind| kind == "null") {
                cleaned.insert("nullable".to_owned(), true.into());
            } else {
                alternatives.push(self.clean(part, depth + 1));
            }
        }
        match alternatives.len() {
            0 => {}
            1 => merge(cleaned, alternatives.remove(0)),
            _ => drop(cleaned.insert("anyOf".to_owned(), Value::Array(alternatives))),
        }
    }

    /// Properties and items.
    fn set_parts(
        &mut self,
        schema: &'a Map<String, Value>,
        cleaned: &mut Map<String, Value>,
        depth: usize,
    ) {
        if let Some(Value::Object(properties)) = schema.get("properties")
            && !properties.is_empty()
        {
            let properties = properties
                .iter()
                .map(|(name, schema)| (name.clone(), self.clean(schema, depth + 1)))
                .collect();
            // Named in `required`, an unknown property is an error.
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let required: Vec<Value> =
                required.filter(|name| is_among(name, &properties)).cloned().collect();
            let mut own = Map::from_iter([("properties".to_owned(), Value::Object(properties))]);
            if !required.is_empty() {
                own.insert("required".to_owned(), Value::Array(required));
            }
            merge(cleaned, Value::Object(own));
        }
        let items = match schema.get("items").or_else(|| schema.get("prefixItems")) {
            Some(Value::Array(several)) => several.first(),
            one => one,
        };
        if let Some(items) = items {
            let items = self.clean(items, depth + 1);
            cleaned.insert("items".to_owned(), items);
        }
    }
}

fn is_among(name: &Value, properties: &Map<String, Value>) -> bool {
    name.as_str().is_some_and(|name| properties.contains_key(name))
}

/// The words of an `enum` or a `const`. Gemini's hold text only, so other
/// values are told to the model in the description.
fn set_choices(schema: &Map<String, Value>, cleaned: &mut Map<String, Value>) {
    let choices: Vec<&Value> = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(choices)), _) => choices.iter().collect(),
        (_, Some(only)) => vec![only],
        _ => return,
    };
    let (nulls, choices): (Vec<_>, Vec<_>) = choices.into_iter().partition(|one| one.is_null());
    if !nulls.is_empty() {
        cleaned.insert("nullable".to_owned(), true.into());
    }
    if choices.iter().all(|one| one.is_string()) {
        let choices = choices.into_iter().cloned().collect();
        cleaned.insert("enum".to_owned(), Value::Array(choices));
        return;
    }
    let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
    let choices = format!("One of {}.", choices.join(", "));
    let told = cleaned.get("description").and_then(Value::as_str);
    let told = told.map_or_else(|| choices.clone(), |told| format!("{told} {choices}"));
    cleaned.insert("description".to_owned(), told.into());
}

/// Adds the words of another schema that holds too; what is there stays.
fn merge(into: &mut Map<String, Value>, other: Value) {
    let Value::Object(other) = other else { return };
    for (name, value) in other {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => {
                for (name, value) in theirs {
                    mine.entry(name).or_insert(value);
                }
            }
            (Some(Value::Array(mine)), Value::Array(theirs)) if name == "required" => {
                let new: Vec<Value> =
                    theirs.into_iter().filter(|name| !mine.contains(name)).collect();
                mine.extend(new);
            }
            (Some(_), _) => {}
            (None, value) => drop(into.insert(name, value)),
        }
    }
}

/// Every schema has a type, but for one of alternatives; an array has items.
fn default_type(schema: &mut Map<String, Value>) {
    if !schema.contains_key("type") && !schema.contains_key("anyOf") {
        let kind = match (schema.contains_key("properties"), schema.contains_key("items")) {
            (true, _) => "object",
            (false, true) => "array",
            (false, false) => "string",
        };
        schema.insert("type".to_owned(), kind.into());
    }
    if schema.get("type").is_some_and(|kind| kind == "array") && !schema.contains_key("items") {
        schema.insert("items".to_owned(), json!({ "type": "string" }));
    }
}

#[cfg(test)]
mod tests;
