//! A chatflow's speech to text: which provider its `speechToText` column
//! chooses, with which secrets, and what it makes of the recordings of a turn.

use parlor_nodes::speech::{Clip, PROVIDERS, Transcriber};
use parlor_nodes::{NodeError, TurnCtx};
use parlor_schemas::{Chatflow, ErrorCode, Fault};
use serde_json::Value;

use super::credentials;
use crate::store::Store;

/// The provider of a chatflow, or why it cannot be used.
pub type Speech = Result<Transcriber, Fault>;

/// Reads the column: the first provider whose `status` is true. None, and
/// recordings are stored and left alone, as in Flowise.
pub fn of(chatflow: &Chatflow, store: &Store) -> Option<Speech> {
    let column = Chatflow::settings(chatflow.speech_to_text.as_deref());
    let is_on = |settings: &Value| match settings.get("status") {
        Some(Value::String(text)) => text == "true",
        Some(status) => status.as_bool() == Some(true),
        None => false,
    };
    let chosen = column.as_object()?.iter().find(|(key, it)| *key != "none" && is_on(it));
    let (key, settings) = chosen?;
    let Some(provider) = PROVIDERS.iter().find(|provider| provider.key == key) else {
        let shown: String = key.chars().take(40).collect();
        let message = format!("speech to text with \"{}\" is not known here", shown.escape_debug());
        return Some(Err(Fault::new(ErrorCode::InvalidFlow, message)));
    };
    let id = settings.get("credentialId").and_then(Value::as_str).filter(|id| !id.is_empty());
    let secrets = credentials::for_speech(id, provider.credential, store);
    let settings = settings.as_object()?;
    Some(provider.transcriber(settings, secrets).map_err(Fault::from))
}

/// The words of the last recording that has any; each replaces the one before
/// it, as in Flowise.
///
/// # Errors
/// The provider's.
pub(super) async fn words(
    speech: &Speech,
    clips: &[Clip],
    ctx: &TurnCtx,
) -> Result<Option<String>, Fault> {
    let mut words = None;
    for clip in clips {
        let transcriber = speech.as_ref().map_err(Clone::clone)?;
        let said = transcriber.transcribe(clip, ctx).await.map_err(named)?;
        words = Some(said).filter(|said| !said.is_empty()).or(words);
    }
    Ok(words)
}

/// The same error, with a word on which of the turn's calls failed.
fn named(error: NodeError) -> Fault {
    let fault = Fault::from(error);
    Fault { message: format!("Speech to text: {}", fault.message), ..fault }
}
