//! The one door to addresses that a request, a page or a model can steer.
//!
//! Only `http` and `https`, only the public internet and what the operator
//! opens; names are resolved once, every answer is checked, and the connection
//! goes to the checked answers; each redirect is checked anew. Nothing but this
//! module may fetch such an address. Providers are the operator's: see `wire`.

mod addresses;
mod client;
mod error;
mod fetch;
mod opened;

pub use client::Guard;
pub use error::FetchError;
pub use fetch::{Fetched, Limits, fetch, shown};
pub use opened::Opened;

#[cfg(test)]
pub(crate) mod test_web;
#[cfg(test)]
mod tests;
