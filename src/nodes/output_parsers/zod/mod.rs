//! A subset of Zod, read and never run: in Flowise the expression is
//! JavaScript, here it is a small language of its own.
//!
//! - `lexer`: words, texts, numbers and signs
//! - `parser`: the expression as a [`Schema`]; `meaning`: what its calls say
//! - `schema`: the shape, and the same as JSON Schema
//! - `check`: whether a value has the shape

mod check;
mod lexer;
mod meaning;
mod parser;
mod schema;

pub(crate) use parser::parse;
pub(crate) use schema::{Kind, Length, Range, Schema};

#[cfg(test)]
mod tests;
