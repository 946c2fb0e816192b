//! What the calls of a Zod expression mean for a schema.

use serde_json::{Map, Value};

use super::schema::{Format, Kind, Length, Range, Schema};

/// An argument of a call.
pub(super) enum Argument {
    /// An expression of Zod.
    Schema(Schema),
    /// A text, a number, a word.
    Value(Value),
    /// `[...]`
    List(Vec<Argument>),
    /// `{...}`
    Map(Vec<(String, Argument)>),
}

/// The arguments of a call that are not read yet.
pub(super) type Arguments = std::vec::IntoIter<Argument>;

/// The kinds that can be called, `z.KIND(...)`.
pub(super) const KINDS: [&str; 16] = [
    "object", "array", "string", "number", "boolean", "enum", "literal", "union", "nullable",
    "optional", "date", "record", "any", "unknown", "tuple", "null",
];

/// What can be said of a kind, `.METHOD(...)`.
pub(super) const METHODS: [&str; 22] = [
    "describe",
    "optional",
    "nullable",
    "nullish",
    "default",
    "array",
    "min",
    "max",
    "length",
    "nonempty",
    "int",
    "gt",
    "gte",
    "lt",
    "lte",
    "positive",
    "negative",
    "nonnegative",
    "nonpositive",
    "email",
    "url",
    "uuid",
];

/// `z.NAME(...)`. What else is said to a plain kind (error texts) changes
/// nothing here.
pub(super) fn base(name: &str, mut arguments: Arguments) -> Result<Schema, String> {
    let kind = match name {
        "string" => Kind::Text(Length::default(), None),
        "number" => Kind::Number(Range::default()),
        "boolean" => Kind::Boolean,
        "date" => Kind::Date,
        "any" | "unknown" => Kind::Any,
        "null" => Kind::Literal(Value::Null),
        "object" => match arguments.next() {
            Some(Argument::Map(fields)) => Kind::Object(named(fields)?),
            _ => return Err("gives z.object no fields".to_owned()),
        },
        "array" => Kind::Array(Box::new(one(&mut arguments, "z.array")?), Length::default()),
        "record" => {
            let first = one(&mut arguments, "z.record")?;
            let value = if arguments.len() == 0 { first } else { one(&mut arguments, "z.record")? };
            Kind::Record(Box::new(value))
        }
        "tuple" => Kind::Tuple(several(&mut arguments, "z.tuple")?),
        "union" => Kind::Union(several(&mut arguments, "z.union")?),
        "enum" => Kind::Enum(words(arguments.next())?),
        "literal" => match arguments.next() {
            Some(Argument::Value(value)) => Kind::Literal(value),
            _ => return Err("gives z.literal no value".to_owned()),
        },
        _ => {
            let inner = one(&mut arguments, &format!("z.{name}"))?;
            return refine(inner, name, Vec::new().into_iter());
        }
    };
    Ok(Schema { optional: name == "any" || name == "unknown", ..Schema::new(kind) })
}

fn one(arguments: &mut Arguments, of: &str) -> Result<Schema, String> {
    match arguments.next() {
        Some(Argument::Schema(schema)) => Ok(schema),
        _ => Err(format!("gives {of} no schema")),
    }
}

fn several(arguments: &mut Arguments, of: &str) -> Result<Vec<Schema>, String> {
    let Some(Argument::List(items)) = arguments.next() else {
        return Err(format!("gives {of} no list of schemas"));
    };
    let mut items = items.into_iter();
    (0..items.len()).map(|_| one(&mut items, of)).collect()
}

fn named(fields: Vec<(String, Argument)>) -> Result<Vec<(String, Schema)>, String> {
    let schema = |(name, argument)| match argument {
        Argument::Schema(schema) => Ok((name, schema)),
        _ => Err(format!("gives the field {name} no schema")),
    };
    fields.into_iter().map(schema).collect()
}

fn words(list: Option<Argument>) -> Result<Vec<String>, String> {
    let wrong = || "gives z.enum no list of texts".to_owned();
    let Some(Argument::List(items)) = list else { return Err(wrong()) };
    let word = |item| match item {
        Argument::Value(Value::String(word)) => Ok(word),
        _ => Err(wrong()),
    };
    let words: Vec<String> = items.into_iter().map(word).collect::<Result<_, _>>()?;
    if words.is_empty() { Err(wrong()) } else { Ok(words) }
}

/// `.NAME(...)` said of a schema.
pub(super) fn refine(
    mut schema: Schema,
    name: &str,
    mut arguments: Arguments,
) -> Result<Schema, String> {
    match name {
        "optional" => schema.optional = true,
        "nullable" => schema.nullable = true,
        "nullish" => (schema.optional, schema.nullable) = (true, true),
        "array" => return Ok(Schema::new(Kind::Array(Box::new(schema), Length::default()))),
        "describe" => match arguments.next() {
            Some(Argument::Value(Value::String(text))) => schema.description = Some(text),
            _ => return Err("gives .describe() no text".to_owned()),
        },
        "default" => {
            let value = arguments.next().and_then(plain_value);
            let value = value.ok_or("gives .default() no plain value")?;
            let value = schema.check(value).map_err(|why| format!("has a default where {why}"))?;
            schema.default = Some(value);
        }
        _ => bound(&mut schema.kind, name, arguments.next())?,
    }
    Ok(schema)
}

/// What limits a kind: its length, its range, its format.
fn bound(kind: &mut Kind, name: &str, argument: Option<Argument>) -> Result<(), String> {
    let given = match argument {
        Some(Argument::Value(Value::Number(number))) => number.as_f64(),
        _ => None,
    };
    let limit = || given.ok_or_else(|| format!("gives .{name}() no number"));
    match (kind, name) {
        (Kind::Text(length, _) | Kind::Array(_, length), "min") => {
            length.min = Some(count(limit()?))
        }
        (Kind::Text(length, _) | Kind::Array(_, length), "max") => {
            length.max = Some(count(limit()?))
        }
        (Kind::Text(length, _) | Kind::Array(_, length), "length") => {
            (length.min, length.max) = (Some(count(limit()?)), Some(count(limit()?)));
        }
        (Kind::Text(length, _) | Kind::Array(_, length), "nonempty") => length.min = Some(1),
        (Kind::Text(_, format), "email") => *format = Some(Format::Email),
        (Kind::Text(_, format), "url") => *format = Some(Format::Url),
        (Kind::Text(_, format), "uuid") => *format = Some(Format::Uuid),
        (Kind::Number(range), "int") => range.whole = true,
        (Kind::Number(range), "min" | "gte") => range.min = Some(limit()?),
        (Kind::Number(range), "max" | "lte") => range.max = Some(limit()?),
        (Kind::Number(range), "gt") => range.above = Some(limit()?),
        (Kind::Number(range), "lt") => range.below = Some(limit()?),
        (Kind::Number(range), "positive") => range.above = Some(0.0),
        (Kind::Number(range), "negative") => range.below = Some(0.0),
        (Kind::Number(range), "nonnegative") => range.min = Some(0.0),
        (Kind::Number(range), "nonpositive") => range.max = Some(0.0),
        _ => return Err(format!("uses .{name}() where it says nothing")),
    }
    Ok(())
}

/// The cast saturates: a negative limit is none at all.
fn count(limit: f64) -> u64 {
    limit.ceil() as u64
}

fn plain_value(argument: Argument) -> Option<Value> {
    match argument {
        Argument::Value(value) => Some(value),
        Argument::Schema(_) => None,
        Argument::List(items) => {
            items.into_iter().map(plain_value).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        Argument::Map(fields) => {
            let field = |(name, argument)| Some((name, plain_value(argument)?));
            fields.into_iter().map(field).collect::<Option<Map<_, _>>>().map(Value::Object)
        }
    }
}
