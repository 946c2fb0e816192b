//! A loader that is not filled in.

use std::future::ready;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::retrieval::{DocumentLoader, Loaded};

/// It says so when it is asked to load, since predictions of its chatflow may
/// do without.
pub(super) struct Unset(pub(super) NodeError);

impl DocumentLoader for Unset {
    fn load<'a>(&'a self, _ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        ready(Err(self.0.clone())).boxed()
    }
}
