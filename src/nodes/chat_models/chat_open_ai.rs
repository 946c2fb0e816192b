//! x
use crate::spec::NodeSpec;
pub const SPEC: NodeSpec = NodeSpec {
    name: "x",
    category: "x",
    version: 1.0,
    about: "x",
    params: &[],
    credential: None,
    build: |_| Ok(crate::Instance::Note),
};
