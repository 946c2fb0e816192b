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
/// refuses an object without properties, and arguments that are no object.
pub(super) fn of_arguments(schema: &Value) -> Option<Value> {
    let mut schema = of_answer(schema);
    let alternatives = schema.as_object_mut()?.remove("anyOf");
    if let Some(Value::Array(alternatives)) = alternatives {
        schema = one_object(alternatives);
    }
    schema["type"] = "object".into();
    schema.get("properties").is_some().then_some(schema)
}

/// An object that may have what any of these has.
fn one_object(alternatives: Vec<Value>) -> Value {
    let mut all = Map::new();
    for mut alternative in alternatives {
        alternative.as_object_mut().map(|alternative| alternative.remove("required"));
        merge(&mut all, alternative);
    }
    all.remove("anyOf");
    Value::Object(all)
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
        let mut cleaned = self.words(schema, depth);
        settle_alternatives(&mut cleaned);
        settle_type(&mut cleaned);
        Value::Object(cleaned)
    }

    /// What the schema says of itself, without what is to be added where it
    /// says nothing.
    fn words(&mut self, schema: &'a Value, depth: usize) -> Map<String, Value> {
        self.n_pieces += 1;
        let Value::Object(schema) = schema else { return Map::new() };
        if depth > MAX_DEPTH || self.n_pieces > MAX_PIECES {
            return Map::from_iter([("type".to_owned(), "object".into())]);
        }
        if let Some(target) = self.target(schema) {
            let mut words = self.words(target, depth + 1);
            // What is said beside a reference is said of this place.
            if let Some(text) = schema.get("description") {
                words.insert("description".to_owned(), text.clone());
            }
            return words;
        }
        let mut words = own_words(schema);
        self.set_parts(schema, &mut words, depth);
        self.set_alternatives(schema, &mut words, depth);
        words
    }

    /// What `$ref` points to, in the same schema only.
    fn target(&self, schema: &Map<String, Value>) -> Option<&'a Value> {
        let path = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(path)
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
            merge(cleaned, Value::Object(self.words(part, depth + 1)));
        }
        let mut alternatives = Vec::new();
        for part in list("anyOf").chain(list("oneOf")) {
            if part.get("type").is_some_and(|kind| kind == "null") {
                cleaned.insert("nullable".to_owned(), true.into());
            } else {
                alternatives.push(part);
            }
        }
        match alternatives.as_slice() {
            [] => {}
            [one] => merge(cleaned, Value::Object(self.words(one, depth + 1))),
            several => {
                let several = several.iter().map(|part| self.clean(part, depth + 1)).collect();
                cleaned.insert("anyOf".to_owned(), Value::Array(several));
            }
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

/// What a schema says without its parts.
fn own_words(schema: &Map<String, Value>) -> Map<String, Value> {
    let mut words = Map::new();
    set_type(schema, &mut words);
    for name in KEPT {
        if let Some(value) = schema.get(*name) {
            words.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && FORMATS.contains(&format)
    {
        words.insert("format".to_owned(), format.into());
    }
    set_choices(schema, &mut words);
    words
}

fn is_among(name: &Value, properties: &Map<String, Value>) -> bool {
    name.as_str().is_some_and(|name| properties.contains_key(name))
}

/// One type; `null` beside it becomes `nullable`, and several become `anyOf`.
fn set_type(schema: &Map<String, Value>, words: &mut Map<String, Value>) {
    let types: Vec<&Value> = match schema.get("type") {
        Some(Value::Array(types)) => types.iter().collect(),
        Some(one) => vec![one],
        None => return,
    };
    let (nulls, types): (Vec<_>, Vec<_>) = types.into_iter().partition(|kind| *kind == "null");
    if !nulls.is_empty() {
        words.insert("nullable".to_owned(), true.into());
    }
    match types.as_slice() {
        [] => {}
        [one] => drop(words.insert("type".to_owned(), (*one).clone())),
        several => {
            let several = several.iter().map(|kind| json!({ "type": kind })).collect();
            words.insert("anyOf".to_owned(), Value::Array(several));
        }
    }
}

/// The words of an `enum` or a `const`. Gemini's belong to texts and hold no
/// empty one, so others are told to the model in the description.
fn set_choices(schema: &Map<String, Value>, words: &mut Map<String, Value>) {
    let choices: Vec<&Value> = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(choices)), _) => choices.iter().collect(),
        (_, Some(only)) => vec![only],
        _ => return,
    };
    let (nulls, choices): (Vec<_>, Vec<_>) = choices.into_iter().partition(|one| one.is_null());
    if !nulls.is_empty() {
        words.insert("nullable".to_owned(), true.into());
    }
    let may_be_text = words.get("type").is_none_or(|kind| kind == "string");
    let is_word = |one: &&Value| one.as_str().is_some_and(|word| !word.is_empty());
    if may_be_text && !choices.is_empty() && choices.iter().all(is_word) {
        words.remove("anyOf");
        words.insert("type".to_owned(), "string".into());
        words.insert("enum".to_owned(), choices.into_iter().cloned().collect());
        return;
    }
    let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
    let choices = format!("One of {}.", choices.join(", "));
    let told = words.get("description").and_then(Value::as_str);
    let told = told.map_or_else(|| choices.clone(), |told| format!("{told} {choices}"));
    words.insert("description".to_owned(), told.into());
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

/// Nothing may stand beside alternatives: Gemini on Vertex refuses such a
/// schema. Where there are properties, the alternatives go; elsewhere, what is
/// said of all of them is said of each.
fn settle_alternatives(schema: &mut Map<String, Value>) {
    if schema.contains_key("properties") {
        schema.remove("anyOf");
    }
    let Some(Value::Array(mut alternatives)) = schema.remove("anyOf") else { return };
    let mut shared = Map::new();
    for name in ["description", "nullable"] {
        shared.extend(schema.remove(name).map(|value| (name.to_owned(), value)));
    }
    for alternative in alternatives.iter_mut().filter_map(Value::as_object_mut) {
        merge(alternative, Value::Object(shared.clone()));
    }
    *schema = Map::from_iter([("anyOf".to_owned(), Value::Array(alternatives))]);
}

/// Every schema has a type, but for one of alternatives; an array has items.
fn settle_type(schema: &mut Map<String, Value>) {
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
