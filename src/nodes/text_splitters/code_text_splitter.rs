//! Flowise `codeTextSplitter`, version 1: before the definitions of a language first.

use std::sync::Arc;

use super::languages;
use super::recursive::Recursive;
use super::sizes::{CHUNK_OVERLAP, CHUNK_SIZE, Sizes};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "codeTextSplitter",
    category: "Text Splitters",
    version: 1.0,
    about: "Cuts source code before the definitions of its language first.",
    params: &[LANGUAGE, CHUNK_SIZE, CHUNK_OVERLAP],
    credential: None,
    build,
};

const LANGUAGE: Param = Param::open("language", Kind::Choice(languages::NAMES));

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let language = inputs.required_text(LANGUAGE.name)?;
    let separators = languages::separators(&language).ok_or_else(|| {
        inputs.bad(LANGUAGE.name, format!("must be one of {}", languages::NAMES.join(", ")))
    })?;
    Ok(Instance::Splitter(Arc::new(Recursive::with(Sizes::read(inputs)?, separators))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{build, build_error, source};
    use crate::text_splitters::Room;

    #[test]
    fn definitions_begin_chunks() {
        let sizes = [("chunkSize", source("24")), ("chunkOverlap", source("0"))];
        let [size, overlap] = sizes;
        let Instance::Splitter(splitter) =
            build(&SPEC, [size, overlap, ("language", source("python"))])
        else {
            panic!("a splitter")
        };

        let chunks = splitter
            .split("import os\ndef a():\n    pass\nclass B:\n    x = 1\n", &mut Room::endless());

        assert_eq!(chunks, ["import os", "def a():\n    pass", "class B:\n    x = 1"]);
    }

    #[test]
    fn a_language_that_is_unknown_or_missing_is_refused_by_name() {
        for (language, problem) in [("cobol", "must be one of cpp, go"), ("", "is empty")] {
            let error = build_error(&SPEC, [("language", source(language))]).to_string();
            assert!(error.contains(&format!("language {problem}")), "{error}");
        }
    }
}
