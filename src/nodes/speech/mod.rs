//! Words out of recordings: the five providers of a chatflow's speech to text.
//!
//! Source: contract of Flowise 2.2.8, section 7. A transcription is a call of
//! the turn: its client, its cancelling, its time limits.

mod assembly_ai;
mod azure;
mod groq;
mod local_ai;
mod open_ai;
#[cfg(test)]
mod tests;
mod whisper;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::{InputValue, Inputs, Secrets};
use crate::spec::CredentialSpec;
use crate::wire::http::{Call, Reply};

/// A recording is sent whole before the first byte comes back.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A recording that can be transcribed.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Its file name, which tells providers the format.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Clip {
    /// The clip, if its type is one that is transcribed.
    pub fn of(name: &str, mime: &str, bytes: impl Into<Bytes>) -> Option<Self> {
        is_transcribed(mime).then(|| Self { name: name.to_owned(), bytes: bytes.into() })
    }
}

/// Whether recordings of a type are transcribed: `audio/webm`, `audio/mp4` and
/// `audio/ogg`, whatever parameters follow.
pub fn is_transcribed(mime: &str) -> bool {
    let kind = mime.split(';').next().unwrap_or_default().trim();
    matches!(kind, "audio/webm" | "audio/mp4" | "audio/ogg")
}

/// A provider of speech to text.
pub struct Provider {
    /// The key in the chatflow's `speechToText`.
    pub key: &'static str,
    /// The secrets that it needs.
    pub credential: &'static CredentialSpec,
    build: fn(&Inputs) -> Result<Transcriber, NodeError>,
}

/// All providers.
pub const PROVIDERS: &[&Provider] = &[
    &open_ai::PROVIDER,
    &assembly_ai::PROVIDER,
    &local_ai::PROVIDER,
    &azure::PROVIDER,
    &groq::PROVIDER,
];

impl Provider {
    /// Sets the provider up from its part of `speechToText`.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] naming the setting.
    pub fn transcriber(
        &self,
        settings: &Map<String, Value>,
        secrets: Result<Secrets, String>,
    ) -> Result<Transcriber, NodeError> {
        let values = settings.iter();
        let values = values.map(|(name, value)| (name.clone(), InputValue::Json(value.clone())));
        (self.build)(&Inputs {
            is_overridden: false,
            id: self.key.to_owned(),
            label: "Speech to text".to_owned(),
            output: None,
            values: values.collect(),
            secrets: Some(secrets),
        })
    }
}

/// A provider that is set up.
pub struct Transcriber(Kind);

enum Kind {
    Whisper(whisper::Whisper),
    AssemblyAi(assembly_ai::AssemblyAi),
    Azure(azure::Azure),
}

impl Transcriber {
    /// The words of a recording, possibly none.
    ///
    /// # Errors
    /// Those of the provider, [`NodeError::MissingCredential`], and
    /// [`NodeError::Cancelled`] when the caller left.
    pub async fn transcribe(&self, clip: &Clip, ctx: &TurnCtx) -> Result<String, NodeError> {
        match &self.0 {
            Kind::Whisper(whisper) => whisper.transcribe(clip, ctx).await,
            Kind::AssemblyAi(assembly) => assembly.transcribe(clip, ctx).await,
            Kind::Azure(azure) => azure.transcribe(clip, ctx).await,
        }
    }
}

/// A reply as JSON.
async fn json(reply: Reply<'_>) -> Result<Value, NodeError> {
    let call = reply.call;
    let body = reply.whole().await?;
    serde_json::from_slice(&body).map_err(|_| call.broken("sent an answer that is no JSON"))
}

/// A text that the reply must have.
fn text(reply: &Value, pointer: &str, call: &Call<'_>) -> Result<String, NodeError> {
    let text = reply.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| call.broken("sent an answer without a transcript"))
}

/// The recording as a part of a form.
fn part(clip: &Clip) -> reqwest::multipart::Part {
    let length = clip.bytes.len() as u64;
    let part = reqwest::multipart::Part::stream_with_length(clip.bytes.clone(), length);
    let part = part.file_name(clip.name.clone());
    let mut headers = reqwest::header::HeaderMap::new();
    let octets = reqwest::header::HeaderValue::from_static("application/octet-stream");
    headers.insert(reqwest::header::CONTENT_TYPE, octets);
    part.headers(headers)
}
