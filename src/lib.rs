//! Parlor serves exported Flowise chatflows over Flowise's own REST API.
//!
//! # Layout
//! - [`flow`]: exported JSON -> compiled plan -> run
//! - [`store`]: message history, chatflows, keys and credentials in sled

pub mod flow;
pub mod store;
