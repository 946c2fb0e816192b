//! What one job of the writer means for the history, before anything of it
//! is written.

use parlor_schemas::ChatflowId;

use super::error::StoreError;
use super::keys::{Grave, TurnPlace};
use super::ledger::Ledger;
use super::queue::Job;
use super::rows::Changes;

/// What a job changes in the history, and what it buries.
#[derive(Default)]
pub(super) struct Plan {
    pub changes: Changes,
    /// Of an append the place of its turn.
    pub place: Option<TurnPlace>,
    pub grave: Option<(ChatflowId, Grave)>,
}

/// Plans one job.
///
/// # Errors
/// What is wrong with it; nothing of it is done then.
pub(super) fn plan(ledger: &mut Ledger, tree: &sled::Tree, job: &Job) -> Result<Plan, StoreError> {
    let plan = match job {
        Job::Append(append) => {
            let (changes, place) = ledger.plan_append(tree, append)?;
            Plan { changes, place: Some(place), grave: None }
        }
        Job::Forget(key) => match ledger.plan_forget(tree, key)? {
            Some((changes, grave)) => {
                Plan { changes, grave: Some((key.chatflow, grave)), place: None }
            }
            None => Plan::default(),
        },
        Job::ForgetChatflow(chatflow) => {
            let (changes, grave) = ledger.plan_forget_chatflow(*chatflow);
            Plan { changes, grave: Some((*chatflow, grave)), place: None }
        }
        _ => Plan::default(),
    };
    Ok(plan)
}
