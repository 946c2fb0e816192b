//! Parlor serves exported Flowise chatflows over Flowise's own REST API.
//!
//! # Layout
//! - [`store`]: message history, chatflows, keys and credentials in sled

pub mod store;
