//! Flowise `stickyNote`, version 2: words on the canvas, without effect.

use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "stickyNote",
    category: "Utilities",
    version: 2.0,
    about: "A note for people who read the flow.",
    params: &[Param::closed("note", Kind::Text)],
    credential: None,
    build: |_| Ok(Instance::Note),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{build, source};

    #[test]
    fn a_note_is_a_note_whatever_it_says() {
        let note = build(&SPEC, [("note", source("{not a template"))]);

        assert!(matches!(note, Instance::Note));
    }
}
