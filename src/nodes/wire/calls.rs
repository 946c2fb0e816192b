//! Tool calls, put together from the fragments of a stream.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::http::Call;
use crate::error::NodeError;
use crate::model::ToolCall;

/// Most calls of one answer: a bound on what a broken server makes us keep.
pub(crate) const MAX_CALLS: usize = 128;

/// The calls of one answer so far, in the order in which they began.
#[derive(Default)]
pub(crate) struct CallFragments(Vec<Partial>);

#[derive(Default)]
struct Partial {
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

/// A piece of a call; the first piece brings its id and name.
#[derive(Default)]
pub(crate) struct Fragment<'a> {
    /// Which call of the answer it belongs to.
    pub(crate) index: usize,
    /// The provider's id, or empty.
    pub(crate) id: &'a str,
    /// The tool, or empty.
    pub(crate) name: &'a str,
    /// More of the arguments' JSON.
    pub(crate) arguments: &'a str,
}

impl CallFragments {
    /// How many calls began.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a call of this index began.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.0.iter().any(|partial| partial.index == index)
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// [`NodeError::UpstreamBroken`] for more calls than an answer may have.
    pub(crate) fn add(&mut self, piece: &Fragment<'_>, call: &Call<'_>) -> Result<(), NodeError> {
        // Some gateways give all calls the index 0: a new id is a new call.
        let continues = |partial: &Partial| {
            let same_id = piece.id.is_empty() || partial.id.is_empty() || partial.id == piece.id;
            partial.index == piece.index && same_id
        };
        let at = self.0.iter().rposition(continues).unwrap_or(self.0.len());
        if at == MAX_CALLS {
            return Err(call.broken("called more than 128 tools at once"));
        }
        if at == self.0.len() {
            self.0.push(Partial { index: piece.index, ..Partial::default() });
        }
        let partial = &mut self.0[at];
        set_once(&mut partial.id, piece.id);
        set_once(&mut partial.name, piece.name);
        partial.arguments.push_str(piece.arguments);
        Ok(())
    }

    /// The whole calls.
    ///
    /// # Errors
    /// [`NodeError::UpstreamBroken`] for a call without a name.
    pub(crate) fn done(self, call: &Call<'_>) -> Result<Vec<ToolCall>, NodeError> {
        self.0.into_iter().map(|partial| partial.done(call)).collect()
    }
}

impl Partial {
    fn done(self, call: &Call<'_>) -> Result<ToolCall, NodeError> {
        if self.name.is_empty() {
            return Err(call.broken("called a tool without its name"));
        }
        let id = if self.id.is_empty() { new_id() } else { self.id };
        Ok(ToolCall { id, name: self.name, arguments: arguments(self.arguments) })
    }
}

/// An id for a call that came without one.
pub(crate) fn new_id() -> String {
    format!("call_{}", Uuid::new_v4().simple())
}

/// The arguments of a call; none at all is an empty object. What is no JSON is
/// the text itself: it is the agent that tells the model of its mistake.
fn arguments(json: String) -> Value {
    if json.trim().is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(&json).unwrap_or(Value::String(json))
}

fn set_once(field: &mut String, value: &str) {
    if field.is_empty() {
        field.push_str(value);
    }
}
