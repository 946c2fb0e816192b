//! The language of metadata filters: `{"team": "x"}`, `{"page": {"$gte": 3}}`,
//! `$and`, `$or`, `$not`, and paths with dots (`loc.lines.from`).

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::error::NodeError;

/// Deepest nesting of `$and`, `$or` and `$not`.
const MAX_DEPTH: usize = 8;
/// Most conditions of one filter, values of `$in` and `$nin` among them.
const MAX_CONDITIONS: usize = 1_000;

const OPERATORS: &str = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin or $exists";

/// A filter that was read.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    root: Clause,
}

#[derive(Debug, Clone)]
enum Clause {
    All(Vec<Clause>),
    Any(Vec<Clause>),
    Not(Box<Clause>),
    Where(String, Test),
}

#[derive(Debug, Clone)]
enum Test {
    In(Vec<Value>),
    Compare(fn(Ordering) -> bool, Value),
    Exists,
}

impl Filter {
    /// Reads a filter. Equality and `$in` also hold for a list that has the
    /// value. Numbers compare with numbers and texts with texts; what is
    /// missing equals nothing and compares with nothing.
    ///
    /// # Errors
    /// [`NodeError::BadRequest`] saying what is wrong.
    pub fn parse(filter: &Value) -> Result<Self, NodeError> {
        let mut reader = Reader { n_left: MAX_CONDITIONS };
        let root = reader.clause(filter, MAX_DEPTH);
        let bad = |problem| NodeError::BadRequest(format!("the metadata filter {problem}"));
        Ok(Self { text: filter.to_string(), root: root.map_err(bad)? })
    }

    /// The filter as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether metadata match.
    pub fn lets_through(&self, metadata: &Map<String, Value>) -> bool {
        self.root.holds(metadata)
    }
}

/// Reads clauses and counts their conditions. Problems start with a verb.
struct Reader {
    n_left: usize,
}

impl Reader {
    fn clause(&mut self, value: &Value, depth: usize) -> Result<Clause, String> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(format!("is nested deeper than {MAX_DEPTH} levels"));
        };
        let Value::Object(members) = value else {
            return Err(format!("must be a JSON object, not {}", kind(value)));
        };
        let clauses = members.iter().map(|(key, value)| match key.as_str() {
            "$and" => Ok(Clause::All(self.clauses(key, value, depth)?)),
            "$or" => Ok(Clause::Any(self.clauses(key, value, depth)?)),
            "$not" => Ok(Clause::Not(Box::new(self.clause(value, depth)?))),
            key if key.starts_with('$') => {
                Err(format!("has {key} where a metadata key, $and, $or or $not belongs"))
            }
            key => self.tests(key, value),
        });
        Ok(Clause::All(clauses.collect::<Result<_, _>>()?))
    }

    fn clauses(&mut self, key: &str, value: &Value, depth: usize) -> Result<Vec<Clause>, String> {
        match value {
            Value::Array(items) if !items.is_empty() => {
                items.iter().map(|item| self.clause(item, depth)).collect()
            }
            _ => Err(format!("needs a list of filters after {key}")),
        }
    }

    fn tests(&mut self, path: &str, value: &Value) -> Result<Clause, String> {
        let Value::Object(operators) = value else { return self.equals(path, value) };
        if operators.is_empty() {
            return Err(format!("says nothing of {path}: give a value, or one of {OPERATORS}"));
        }
        let tests = operators.iter().map(|(name, value)| self.test(path, name, value));
        Ok(Clause::All(tests.collect::<Result<_, _>>()?))
    }

    fn test(&mut self, path: &str, name: &str, value: &Value) -> Result<Clause, String> {
        let not = |clause| Clause::Not(Box::new(clause));
        match name {
            "$eq" => self.equals(path, value),
            "$ne" => Ok(not(self.equals(path, value)?)),
            "$in" => self.one_of(path, name, value),
            "$nin" => Ok(not(self.one_of(path, name, value)?)),
            "$gt" => self.compares(path, name, value, Ordering::is_gt),
            "$gte" => self.compares(path, name, value, Ordering::is_ge),
            "$lt" => self.compares(path, name, value, Ordering::is_lt),
            "$lte" => self.compares(path, name, value, Ordering::is_le),
            "$exists" => {
                let exists = self.condition(path, Test::Exists)?;
                match value {
                    Value::Bool(true) => Ok(exists),
                    Value::Bool(false) => Ok(not(exists)),
                    _ => Err(format!("needs true or false after $exists of {path}")),
                }
            }
            _ => Err(format!(
                "has {name} under {path}, where {OPERATORS} is expected; write a nested key as {path}.{name}"
            )),
        }
    }

    fn equals(&mut self, path: &str, value: &Value) -> Result<Clause, String> {
        if value.is_array() || value.is_object() {
            return Err(format!(
                "compares {path} with {}; use $in for several values",
                kind(value)
            ));
        }
        self.condition(path, Test::In(vec![value.clone()]))
    }

    fn one_of(&mut self, path: &str, name: &str, value: &Value) -> Result<Clause, String> {
        let Value::Array(values) = value else {
            return Err(format!("needs a list after {name} of {path}"));
        };
        if values.iter().any(|value| value.is_array() || value.is_object()) {
            return Err(format!("may list texts, numbers and booleans after {name} of {path}"));
        }
        // The condition itself counts for the first.
        self.n_left = self.n_left.saturating_sub(values.len().saturating_sub(1));
        self.condition(path, Test::In(values.clone()))
    }

    fn compares(
        &mut self,
        path: &str,
        name: &str,
        value: &Value,
        is: fn(Ordering) -> bool,
    ) -> Result<Clause, String> {
        if !(value.is_number() || value.is_string()) {
            return Err(format!("needs a number or a text after {name} of {path}"));
        }
        self.condition(path, Test::Compare(is, value.clone()))
    }

    fn condition(&mut self, path: &str, test: Test) -> Result<Clause, String> {
        let left = self.n_left.checked_sub(1);
        self.n_left = left.ok_or(format!("has more than {MAX_CONDITIONS} conditions"))?;
        Ok(Clause::Where(path.to_owned(), test))
    }
}

impl Clause {
    fn holds(&self, metadata: &Map<String, Value>) -> bool {
        match self {
            Self::All(clauses) => clauses.iter().all(|clause| clause.holds(metadata)),
            Self::Any(clauses) => clauses.iter().any(|clause| clause.holds(metadata)),
            Self::Not(clause) => !clause.holds(metadata),
            Self::Where(path, test) => at(metadata, path).is_some_and(|value| test.holds(value)),
        }
    }
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::In(values) => values.iter().any(|wanted| match value {
                Value::Array(items) => items.iter().any(|item| is_equal(item, wanted)),
                value => is_equal(value, wanted),
            }),
            Self::Compare(is, wanted) => compare(value, wanted).is_some_and(is),
            Self::Exists => true,
        }
    }
}

/// The value under a key, or at a path of keys with dots between them.
fn at<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = map.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    at(map.get(first)?.as_object()?, rest)
}

fn is_equal(a: &Value, b: &Value) -> bool {
    a == b
        || matches!((a, b), (Value::Number(_), Value::Number(_)) if compare(a, b) == Some(Ordering::Equal))
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_operator_says_what_it_lets_through() {
        let metadata = json!({
            "team": "x", "page": 3, "share": 0.5, "tags": ["a", "b"], "none": null,
            "loc": {"lines": {"from": 7}}, "a.b": "dotted",
        });
        let Value::Object(metadata) = metadata else { panic!("an object") };
        for (filter, expected) in [
            (json!({}), true),
            (json!({"team": "x", "page": 3.0}), true),
            (json!({"team": "x", "page": 4}), false),
            (json!({"team": {"$eq": "x", "$ne": "y"}}), true),
            (json!({"missing": "x"}), false),
            (json!({"missing": {"$ne": "x"}}), true),
            (json!({"page": {"$gt": 2, "$lt": 4}}), true),
            (json!({"page": {"$gte": 3.5}}), false),
            (json!({"share": {"$lte": 0.5}}), true),
            (json!({"team": {"$gt": "w"}}), true),
            (json!({"team": {"$gt": 1}}), false),
            (json!({"missing": {"$lt": 1}}), false),
            (json!({"team": {"$in": ["y", "x"]}}), true),
            (json!({"team": {"$nin": ["y", "x"]}}), false),
            (json!({"missing": {"$nin": []}}), true),
            (json!({"tags": "b"}), true),
            (json!({"tags": {"$in": ["c"]}}), false),
            (json!({"none": {"$exists": true}}), true),
            (json!({"none": null}), true),
            (json!({"missing": {"$exists": false}}), true),
            (json!({"loc.lines.from": 7}), true),
            (json!({"loc.lines.to": {"$exists": true}}), false),
            (json!({"a.b": "dotted"}), true),
            (json!({"$or": [{"team": "y"}, {"page": 3}]}), true),
            (json!({"$and": [{"team": "x"}, {"page": 4}]}), false),
            (json!({"$not": {"team": "y"}, "page": 3}), true),
        ] {
            let read = Filter::parse(&filter).unwrap();
            assert_eq!(read.lets_through(&metadata), expected, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_says_what_is_wrong() {
        let deep = (0..20).fold(json!({"a": 1}), |inner, _| json!({"$not": inner}));
        let many: Vec<u32> = (0..=1_000).collect();
        assert!(Filter::parse(&json!({"a": {"$in": many[1..]}})).is_ok());
        for (filter, part) in [
            (json!([1]), "a JSON object, not a list"),
            (json!("x"), "a JSON object, not a text"),
            (json!({"$where": "1"}), "$where"),
            (json!({"$and": {}}), "a list of filters after $and"),
            (json!({"$or": []}), "a list of filters after $or"),
            (json!({"a": {}}), "says nothing of a"),
            (json!({"a": {"b": 1}}), "a.b"),
            (json!({"a": [1]}), "use $in"),
            (json!({"a": {"$gt": true}}), "a number or a text after $gt"),
            (json!({"a": {"$in": 1}}), "a list after $in"),
            (json!({"a": {"$exists": 1}}), "true or false after $exists"),
            (deep, "deeper than 8"),
            (json!({"a": {"$in": many}}), "more than 1000"),
        ] {
            let error = Filter::parse(&filter).unwrap_err();
            assert!(matches!(error, NodeError::BadRequest(_)), "{error}");
            assert!(error.to_string().contains(part), "{filter}: {error}");
        }
    }
}
