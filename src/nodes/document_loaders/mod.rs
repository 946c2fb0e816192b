//! Document loaders: text from somewhere, as documents or as one text.

mod output;

mod plain_text;

use crate::spec::NodeSpec;

/// The document loader nodes.
pub const NODES: &[&NodeSpec] = &[&plain_text::SPEC];
