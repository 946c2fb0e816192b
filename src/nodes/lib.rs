//! The Flowise nodes that Parlor runs, one file each.
//!
//! A node knows its inputs and its context, nothing else: this crate cannot
//! reach HTTP handlers, actors or the store. A new node is one new file and
//! its two lines (a `mod` line, a list line) in its category's `mod.rs`.
//!
//! # Layout
//! - [`spec`]: what a node says of itself; [`registry`]: the list of all
//! - [`inputs`]: the resolved inputs that a node is built from
//! - [`instance`]: what a built node is to its neighbours
//! - [`ctx`]: what a node may ask of the turn it runs in
//! - [`model`]: the chat model's request and reply
//! - [`template`]: prompt templates; [`rich_text`]: author's text and data apart
//! - [`wire`]: one client per provider protocol
//! - [`spans`]: what traces tell of calls
//! - [`egress`]: the guard of addresses that others can steer
//! - [`retrieval`]: documents, vectors and what works on them, as traits
//! - [`vector_index`]: the embedded index, in memory; `bm25`: ranks by words
//! - [`files`]: files as inputs; [`workers`]: work that computes for long
//! - [`extract`]: the text of files; [`speech`]: words out of recordings
//! - `web`: pages, sitemaps and robots.txt as text
//! - then one folder per category of Flowise's palette

pub mod agents;
mod bm25;
pub mod chains;
pub mod chat_models;
pub mod ctx;
pub mod document_loaders;
pub mod egress;
pub mod embeddings;
pub mod error;
pub mod events;
pub mod extract;
pub mod files;
#[cfg(test)]
mod fuzz;
pub mod inputs;
pub mod instance;
pub mod memory;
pub mod model;
pub mod moderation;
pub mod output_parsers;
pub mod prompts;
pub mod record_managers;
pub mod registry;
pub mod retrieval;
pub mod retrievers;
pub mod rich_text;
pub mod spans;
pub mod spec;
pub mod speech;
pub mod template;
#[cfg(test)]
mod test_retrieval;
#[cfg(test)]
mod test_support;
pub mod text_splitters;
pub mod tools;
pub mod upstream;
pub mod utilities;
pub mod vector_index;
pub mod vector_stores;
mod web;
pub mod wire;
pub mod workers;

pub use ctx::{Services, Transcript, TurnCtx};
pub use error::NodeError;
pub use events::{Crowd, EventSink};
pub use inputs::{InputValue, Inputs};
pub use instance::{ChatModel, Document, Instance, Memory, RunOutput, Runnable};
pub use rich_text::{Piece, RichText};
pub use spec::{Kind, NodeSpec, Param};
pub use wire::PROVIDERS;
