//! Flowise's `openAIEmbeddingsCustom`, version 3: a model by its typed name,
//! and headers of the operator's own.

use super::compatible::{BATCH_SIZE, DIMENSIONS, MODEL, STRIP_NEW_LINES};
use super::open_ai_embeddings::{CREDENTIAL, build};
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "openAIEmbeddingsCustom",
    category: "Embeddings",
    version: 3.0,
    about: "Vectors by any model of OpenAI, or of a server that speaks its protocol.",
    params: &[
        STRIP_NEW_LINES,
        BATCH_SIZE,
        Param::open("timeout", Kind::Integer),
        Param::closed("basepath", Kind::Text),
        Param::closed("baseOptions", Kind::Json),
        MODEL,
        DIMENSIONS,
        Param::closed("openAIApiKey", Kind::Text),
    ],
    credential: Some(&CREDENTIAL),
    build,
};
