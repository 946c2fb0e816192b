//! A shape for JSON, and how a model is told of it.

use serde_json::{Map, Value, json};

/// A shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    /// What it may be.
    pub(crate) kind: Kind,
    /// What it means, for the model.
    pub(crate) description: Option<String>,
    /// Whether it may be missing from its object.
    pub(crate) optional: bool,
    /// Whether it may be `null`.
    pub(crate) nullable: bool,
    /// What stands for it where it is missing.
    pub(crate) default: Option<Value>,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Anything.
    Any,
    /// A text, its length counted in UTF-16 units as JavaScript does.
    Text(Length, Option<Format>),
    /// A number.
    Number(Range),
    /// True or false.
    Boolean,
    /// A date as a text: RFC 3339, or a day.
    Date,
    /// This value.
    Literal(Value),
    /// One of these words.
    Enum(Vec<String>),
    /// A list of one kind.
    Array(Box<Schema>, Length),
    /// A list of these kinds in this order.
    Tuple(Vec<Schema>),
    /// An object with these keys; others are left out.
    Object(Vec<(String, Schema)>),
    /// An object of any keys.
    Record(Box<Schema>),
    /// The first of these that fits.
    Union(Vec<Schema>),
}

/// How long a text or a list may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Length {
    /// At least.
    pub(crate) min: Option<u64>,
    /// At most.
    pub(crate) max: Option<u64>,
}

/// What a text must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// An address of mail.
    Email,
    /// A whole URL.
    Url,
    /// A UUID.
    Uuid,
}

/// Which numbers are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Range {
    /// Whole numbers only.
    pub(crate) whole: bool,
    /// At least.
    pub(crate) min: Option<f64>,
    /// At most.
    pub(crate) max: Option<f64>,
    /// More than.
    pub(crate) above: Option<f64>,
    /// Less than.
    pub(crate) below: Option<f64>,
}

impl Schema {
    /// A shape without a word about it.
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, description: None, optional: false, nullable: false, default: None }
    }

    /// The shape as JSON Schema.
    pub(crate) fn to_json(&self) -> Value {
        let mut schema = self.kind.to_json();
        if self.nullable {
            schema = Map::from_iter([("anyOf".to_owned(), json!([schema, {"type": "null"}]))]);
        }
        if let Some(description) = &self.description {
            schema.insert("description".to_owned(), json!(description));
        }
        if let Some(default) = &self.default {
            schema.insert("default".to_owned(), default.clone());
        }
        Value::Object(schema)
    }
}

impl Kind {
    fn to_json(&self) -> Map<String, Value> {
        let schema = match self {
            Self::Any => json!({}),
            Self::Text(length, format) => text(*length, *format),
            Self::Number(range) => number(range),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Date => json!({"type": "string", "format": "date-time"}),
            Self::Literal(value) => json!({"const": value}),
            Self::Enum(words) => json!({"type": "string", "enum": words}),
            Self::Array(item, length) => {
                let mut schema = json!({"type": "array", "items": item.to_json()});
                set(&mut schema, "minItems", length.min);
                set(&mut schema, "maxItems", length.max);
                schema
            }
            Self::Tuple(items) => json!({
                "type": "array", "prefixItems": all(items),
                "minItems": items.len(), "maxItems": items.len(),
            }),
            Self::Object(fields) => object(fields),
            Self::Record(value) => {
                json!({"type": "object", "additionalProperties": value.to_json()})
            }
            Self::Union(kinds) => json!({"anyOf": all(kinds)}),
        };
        match schema {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

fn all(schemas: &[Schema]) -> Vec<Value> {
    schemas.iter().map(Schema::to_json).collect()
}

fn text(length: Length, format: Option<Format>) -> Value {
    let mut schema = json!({"type": "string"});
    set(&mut schema, "minLength", length.min);
    set(&mut schema, "maxLength", length.max);
    let word = format.map(|format| match format {
        Format::Email => "email",
        Format::Url => "uri",
        Format::Uuid => "uuid",
    });
    set(&mut schema, "format", word);
    schema
}

fn number(range: &Range) -> Value {
    let mut schema = json!({"type": if range.whole { "integer" } else { "number" }});
    set(&mut schema, "minimum", range.min.map(plain));
    set(&mut schema, "maximum", range.max.map(plain));
    set(&mut schema, "exclusiveMinimum", range.above.map(plain));
    set(&mut schema, "exclusiveMaximum", range.below.map(plain));
    schema
}

fn object(fields: &[(String, Schema)]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| (name.clone(), schema.to_json())).collect();
    let is_required = |schema: &Schema| !schema.optional && schema.default.is_none();
    let required: Vec<&String> =
        fields.iter().filter(|(_, schema)| is_required(schema)).map(|(name, _)| name).collect();
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn set(schema: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        schema[key] = value.into();
    }
}

/// A whole number without its point: a model copies what it sees.
pub(super) fn plain(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { json!(number as i64) } else { json!(number) }
}
