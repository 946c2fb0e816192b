//! The list of all nodes.

use crate::spec::NodeSpec;

/// Every node that Parlor runs, by category.
pub fn all() -> impl Iterator<Item = &'static NodeSpec> {
    [
        crate::chat_models::NODES,
        crate::chains::NODES,
        crate::agents::NODES,
        crate::tools::NODES,
        crate::prompts::NODES,
        crate::memory::NODES,
        crate::moderation::NODES,
        crate::output_parsers::NODES,
        crate::document_loaders::NODES,
        crate::text_splitters::NODES,
        crate::embeddings::NODES,
        crate::vector_stores::NODES,
        crate::record_managers::NODES,
        crate::retrievers::NODES,
        crate::utilities::NODES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The node of this name, if Parlor runs it.
pub fn find(name: &str) -> Option<&'static NodeSpec> {
    all().find(|spec| spec.name == name)
}
