//! A metadata filter as a condition: equality by `jsonb`'s containment, as in
//! Flowise, and `in`, `notIn` and `arrayContains` as in LangChain's pgvector
//! store. Keys and values are parameters, never part of the statement.

use serde_json::{Map, Value, json};

use crate::error::NodeError;
use crate::vector_stores::remote::{CHAT_KEY, object};
use crate::wire::postgres::{Parameter, Type};

/// A condition and the texts and lists that it names as `$n`.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// SQL, never empty.
    pub(super) sql: String,
    /// Its parameters in order.
    pub(super) parameters: Vec<Bound>,
}

/// A parameter.
#[derive(Debug, PartialEq)]
pub(super) enum Bound {
    Text(String),
    Texts(Vec<String>),
}

impl Bound {
    /// It and its type.
    pub(super) fn parameter(&self) -> Parameter<'_> {
        match self {
            Self::Text(text) => (text, Type::TEXT),
            Self::Texts(texts) => (texts, Type::TEXT_ARRAY),
        }
    }
}

impl Condition {
    /// The condition of a filter; its first parameter is `$first`.
    ///
    /// # Errors
    /// [`NodeError::BadRequest`] for a filter that is no object.
    pub(super) fn of(filter: Option<&Value>, first: usize, title: &str) -> Result<Self, NodeError> {
        let filter = object(filter, "pgMetadataFilter", title)?;
        let mut condition = Self::default();
        let mut equal = Map::new();
        let mut parts = Vec::new();
        for (key, value) in filter.into_iter().flatten() {
            match operator(value) {
                None => {
                    equal.insert(key.clone(), value.clone());
                }
                Some((operator, values)) => {
                    let key = condition.bind(first, Bound::Text(key.clone()));
                    let values = condition.bind(first, Bound::Texts(values));
                    parts.push(operator.sql(&key, &values));
                }
            }
        }
        // Also without a key: rows whose metadata are null belong to nobody.
        let equal = condition.bind(first, Bound::Text(Value::Object(equal).to_string()));
        parts.push(format!("metadata @> {equal}::text::jsonb"));
        condition.sql = parts.join(" AND ");
        Ok(condition)
    }

    /// Only what belongs to no chat, or all that this chat brought, which the
    /// filter does not concern (as in Flowise).
    pub(super) fn in_chat(mut self, chat: Option<&str>, first: usize) -> Self {
        let shared = format!("({} AND NOT (metadata ? '{CHAT_KEY}'))", self.sql);
        self.sql = match chat {
            None => shared,
            Some(chat) => {
                let own = Bound::Text(json!({CHAT_KEY: chat}).to_string());
                let own = self.bind(first, own);
                format!("({shared} OR metadata @> {own}::text::jsonb)")
            }
        };
        self
    }

    fn bind(&mut self, first: usize, value: Bound) -> String {
        self.parameters.push(value);
        format!("${}", first + self.parameters.len() - 1)
    }
}

#[derive(Clone, Copy)]
enum Operator {
    In,
    NotIn,
    ArrayContains,
}

impl Operator {
    fn sql(self, key: &str, values: &str) -> String {
        match self {
            Self::In => format!("metadata ->> {key} = ANY({values})"),
            Self::NotIn => format!("NOT (metadata ->> {key} = ANY({values}))"),
            Self::ArrayContains => format!("metadata -> {key} ?| {values}"),
        }
    }
}

/// The operator that an object of one key is, and its list.
fn operator(value: &Value) -> Option<(Operator, Vec<String>)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (name, values) = object.iter().next()?;
    let operator = match name.as_str() {
        "in" => Operator::In,
        "notIn" => Operator::NotIn,
        "arrayContains" => Operator::ArrayContains,
        _ => return None,
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some((operator, values.as_array()?.iter().map(text).collect()))
}
