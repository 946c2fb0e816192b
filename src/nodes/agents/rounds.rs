//! How many rounds an agent has, and what it says when they are over.

use crate::ctx::{AgentBudget, TurnCtx};
use crate::error::NodeError;
use crate::inputs::Inputs;

/// Rounds where the author says nothing.
const DEFAULT_ROUNDS: usize = 15;

/// The answer of an agent whose rounds are over: LangChain's text.
pub(super) const STOPPED: &str = "Agent stopped due to max iterations.";

/// The node's `maxIterations`.
pub(super) struct Rounds(usize);

impl Rounds {
    /// Reads the input; zero is the default, as in Flowise.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for anything but a whole number.
    pub(super) fn of(inputs: &Inputs) -> Result<Self, NodeError> {
        let typed = inputs.integer("maxIterations", 0)?.unwrap_or_default();
        let typed = usize::try_from(typed).unwrap_or(AgentBudget::MAX_ROUNDS);
        let rounds = if typed == 0 { DEFAULT_ROUNDS } else { typed };
        Ok(Self(rounds.min(AgentBudget::MAX_ROUNDS)))
    }

    /// Whether another round may begin after `n_done`.
    pub(super) fn may_begin(&self, n_done: usize, ctx: &TurnCtx) -> bool {
        n_done < self.0 && ctx.agents.take_round()
    }
}
