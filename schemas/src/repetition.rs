//! What is known of a request that may come again under its `Idempotency-Key`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{ErrorCode, Fault};

/// What a repetition of a request is recognized by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// Made of the chatflow and its `Idempotency-Key`; the key itself is not kept.
    pub key: Uuid,
    /// SHA-256 of all that the body says, hex.
    pub body: String,
}

impl Repetition {
    /// The refusal of a key that came with another body before.
    pub fn key_reused() -> Fault {
        let message = "this Idempotency-Key came with another body before; send a new key";
        Fault::new(ErrorCode::KeyReused, message)
    }
}

/// The answer that repetitions of a turn's request get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// What they are recognized by.
    pub repetition: Repetition,
    /// JSON text of the turn's [`crate::TurnReply`], byte for byte as it was sent.
    pub reply: Vec<u8>,
}
