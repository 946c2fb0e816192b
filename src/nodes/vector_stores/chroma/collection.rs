//! The collection on the server, and the space that its vectors lie in.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Chroma;
use crate::error::NodeError;
use crate::vector_stores::remote::score_of_squared;
use crate::wire::rest::{Rest, if_found};
use crate::wire::uri::segment;

/// What the server says of a collection.
#[derive(Deserialize)]
pub(super) struct Collection {
    /// By which it is asked.
    pub(super) id: String,
    /// Of its vectors; none while it is empty.
    pub(super) dimension: Option<usize>,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    configuration_json: Value,
}

impl Collection {
    /// The collection, if it is there.
    pub(super) async fn find(index: &Chroma, rest: &Rest<'_>) -> Result<Option<Self>, NodeError> {
        if_found(rest.get(&format!("/{}", segment(&index.collection))).await)
    }

    /// The collection, made where it is not there. Its space is the server's
    /// own (`l2`), as Flowise leaves it.
    pub(super) async fn ensure(index: &Chroma, rest: &Rest<'_>) -> Result<Self, NodeError> {
        rest.post("", &json!({"name": index.collection, "get_or_create": true})).await
    }

    /// A question about it.
    pub(super) fn path(&self, verb: &str) -> String {
        format!("/{}/{verb}", segment(&self.id))
    }

    /// The score of a distance. `cosine` and `ip` are 1 less the product, `l2`
    /// is the squared distance.
    pub(super) fn score(&self, distance: f64) -> f32 {
        match self.space() {
            // The cast keeps what a score needs of the number.
            "cosine" | "ip" => (1.0 - distance) as f32,
            _ => score_of_squared(distance),
        }
    }

    fn space(&self) -> &str {
        let set = ["/hnsw/space", "/spann/space"].into_iter();
        let configured = set.filter_map(|path| self.configuration_json.pointer(path)?.as_str());
        // Where servers kept it before.
        let noted = self.metadata.get("hnsw:space").and_then(Value::as_str);
        configured.chain(noted).next().unwrap_or("l2")
    }
}
