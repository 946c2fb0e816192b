//! `assemblyAiTranscribe`: upload, order, and ask until it is done.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Clip, Kind, Provider, TIMEOUT, Transcriber, text};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::spec::CredentialSpec;
use crate::wire::http::{Call, MAX_CALL};
use crate::wire::openai::secret_header;
use crate::wire::{Endpoint, Key};

const FIELD: &str = "assemblyAIApiKey";
/// Between two questions whether it is done.
const PAUSE: Duration = Duration::from_secs(1);

const CREDENTIAL: CredentialSpec =
    CredentialSpec { kind: "assemblyAIApi", fields: &[(FIELD, Some("ASSEMBLYAI_API_KEY"))] };

/// The provider.
pub(super) const PROVIDER: Provider =
    Provider { key: "assemblyAiTranscribe", credential: &CREDENTIAL, build };

pub(super) struct AssemblyAi {
    endpoint: Endpoint,
}

fn build(inputs: &Inputs) -> Result<Transcriber, NodeError> {
    let endpoint = Endpoint {
        provider: "assemblyai",
        public: "https://api.assemblyai.com".into(),
        typed: None,
        key: Key::of(inputs, "", FIELD),
    };
    Ok(Transcriber(Kind::AssemblyAi(AssemblyAi { endpoint })))
}

impl AssemblyAi {
    pub(super) async fn transcribe(&self, clip: &Clip, ctx: &TurnCtx) -> Result<String, NodeError> {
        let (base, key) = self.endpoint.resolve(ctx)?;
        let secrets: Vec<String> = key.into_iter().map(str::to_owned).collect();
        let key = secret_header(key.unwrap_or_default())?;
        let call = Call::new("AssemblyAI", ctx, TIMEOUT, &secrets);

        let url = format!("{base}/v2/upload");
        let sent = call.send(|client| {
            let request = client.post(&url).header(AUTHORIZATION, key.clone());
            request.header(CONTENT_TYPE, "application/octet-stream").body(clip.bytes.clone())
        });
        let upload = text(&super::json(sent.await?).await?, "/upload_url", &call)?;

        let url = format!("{base}/v2/transcript");
        let order = json!({"audio_url": upload, "speaker_labels": false}).to_string();
        let sent = call.send(|client| {
            let request = client.post(&url).header(AUTHORIZATION, key.clone());
            request.header(CONTENT_TYPE, "application/json").body(order.clone())
        });
        let order = super::json(sent.await?).await?;
        let url = format!("{base}/v2/transcript/{}", id(&order, &call)?);
        let until = Instant::now() + MAX_CALL;
        loop {
            let sent = call.send(|client| client.get(&url).header(AUTHORIZATION, key.clone()));
            let state = super::json(sent.await?).await?;
            match state.get("status").and_then(Value::as_str) {
                Some("completed") => return words(&state, &call),
                Some("error") => return Err(failed(&state, &call)),
                _ if Instant::now() > until => {
                    let seconds = MAX_CALL.as_secs();
                    let provider = call.provider.to_owned();
                    return Err(NodeError::UpstreamTimeout { provider, seconds });
                }
                _ => pause(ctx).await?,
            }
        }
    }
}

/// Its id goes into an address, so only what looks like one is taken.
fn id(order: &Value, call: &Call<'_>) -> Result<String, NodeError> {
    let id = text(order, "/id", call)?;
    let is_plain = id.chars().all(|ch| ch.is_ascii_alphanumeric() || "-_".contains(ch));
    if is_plain && !id.is_empty() { Ok(id) } else { Err(call.broken("sent an id that is none")) }
}

fn words(state: &Value, call: &Call<'_>) -> Result<String, NodeError> {
    match state.get("text") {
        // Nothing was said.
        Some(Value::Null) => Ok(String::new()),
        _ => text(state, "/text", call),
    }
}

fn failed(state: &Value, call: &Call<'_>) -> NodeError {
    let message = state.get("error").and_then(Value::as_str);
    call.status(200, message.unwrap_or("the transcription failed"), None)
}

async fn pause(ctx: &TurnCtx) -> Result<(), NodeError> {
    tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(NodeError::Cancelled),
        () = sleep(PAUSE) => Ok(()),
    }
}
