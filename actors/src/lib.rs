//! The actors of Parlor: a sharded supervisor, and one actor per conversation,
//! and one per vector store that is being filled.
//!
//! They drive ports and know neither HTTP nor a node nor sled.
//!
//! # Layout
//! - [`ports`]: what the actors ask of the world
//! - [`messages`]: what every actor can be told, with its reply
//! - [`handle`]: the only way in; no `Addr` leaves this crate
//! - `admission`: how many turns are taken on, of whom
//! - `shard`: finds, starts and passivates the sessions of one arbiter
//! - `session`: one conversation, one turn at a time
//! - `step`: one piece of a session's work, as a future
//! - `running`: the turns of each chat, to be aborted
//! - `memory`: the bounded end of a conversation
//! - [`upsert_handle`]: the way in for upserts; `upsert_desk` finds the stores' actors;
//!   `upsert`: one vector store, one upsert at a time
//! - [`view`]: what the supervisors show of themselves
//! - `budget`: how often a session may fail before it is left alone
//!
//! # Why not `actix::Supervisor`
//! It does not survive a panic: the mailbox closes and `restarting` never
//! runs. A shard re-creates dead sessions itself, and every turn runs inside
//! `catch_unwind`.

mod admission;
mod budget;
pub mod handle;
mod memory;
pub mod messages;
pub mod ports;
mod running;
mod session;
mod shard;
mod step;
mod upsert;
mod upsert_desk;
pub mod upsert_handle;
pub mod view;

pub use handle::{Limits, Load, PendingTurn, Stats, SupervisorHandle, share_of};
pub use ports::{
    Append, HistoryStore, LoadedSession, Progress, SessionTail, TurnOutcome, TurnRunner,
    UpsertRunner,
};
pub use upsert::stopped as upsert_stopped;
pub use upsert_handle::{PendingUpsert, UpsertHandle, UpsertLimits, UpsertPermit};
