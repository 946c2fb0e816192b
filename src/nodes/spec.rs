//! What a node says of itself: the same four parts in every node file.

use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;

/// A node that Parlor runs.
pub struct NodeSpec {
    /// The registry key: `data.name` of an exported node.
    pub name: &'static str,
    /// The category of Flowise's palette.
    pub category: &'static str,
    /// The newest version of Flowise's node whose inputs are known here.
    pub version: f32,
    /// One sentence for `parlor nodes`.
    pub about: &'static str,
    /// The typed inputs; an exported input that is not listed is ignored, as in Flowise.
    pub params: &'static [Param],
    /// The secrets that the node can use.
    pub credential: Option<&'static CredentialSpec>,
    /// Makes the instance. Pure: it calls nobody and keeps nothing, so the
    /// same inputs may be built once and shared by every session.
    pub build: fn(&Inputs) -> Result<Instance, NodeError>,
}

/// One input of a node.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// The key in `inputs`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether a request may override it where the chatflow does not say.
    pub open: bool,
    /// Whether the chatflow's own list of overrides may open it.
    pub openable: bool,
}

/// The type of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Text with `{variables}`.
    Template,
    /// A number; exports hold it as a number or as text.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// JSON: a tree, or text that holds one.
    Json,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Files: data URIs, names of stored ones, or files of a multipart body.
    File,
    /// Another node.
    Node,
    /// Several other nodes.
    Nodes,
}

/// The secrets of one provider.
#[derive(Debug)]
pub struct CredentialSpec {
    /// Flowise's credential name, `openAIApi`; where a node takes one of
    /// several, their names with `|` between them.
    pub kind: &'static str,
    /// The fields of all of them, each with the provider's usual environment
    /// variable.
    pub fields: &'static [(&'static str, Option<&'static str>)],
}

impl CredentialSpec {
    /// The credential names that the node takes.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.kind.split('|')
    }

    /// Whether the node takes a credential of this name.
    pub fn takes(&self, credential_name: &str) -> bool {
        self.kinds().any(|kind| kind == credential_name)
    }
}

impl Param {
    /// An input that a request may override.
    pub const fn open(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, open: true, openable: true }
    }

    /// An input that a request may override only where the chatflow lists it:
    /// what keeps the readers of one store apart, and what a store was filled with.
    pub const fn listed(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, open: false, openable: true }
    }

    /// An input that only the operator sets: addresses, headers, code, paths,
    /// and connections to other nodes. A switch or a choice leads nothing
    /// astray, so that the chatflow's list may open it.
    pub const fn closed(name: &'static str, kind: Kind) -> Self {
        let openable = matches!(kind, Kind::Boolean | Kind::Choice(_));
        Self { name, kind, open: false, openable }
    }
}

impl NodeSpec {
    /// The input of this name.
    pub fn param(&self, name: &str) -> Option<&'static Param> {
        self.params.iter().find(|param| param.name == name)
    }
}
