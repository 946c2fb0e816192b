//! `localAISTT`: a server of one's own with OpenAI's API. Its address is typed
//! into the chatflow, so a key from the environment never goes there.

use super::whisper::{Whisper, fields};
use super::{Kind, Provider, Transcriber};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::spec::CredentialSpec;
use crate::wire::{Endpoint, Key};

const FIELD: &str = "localAIApiKey";

const CREDENTIAL: CredentialSpec = CredentialSpec { kind: "localAIApi", fields: &[(FIELD, None)] };

/// The provider.
pub(super) const PROVIDER: Provider =
    Provider { key: "localAISTT", credential: &CREDENTIAL, build };

fn build(inputs: &Inputs) -> Result<Transcriber, NodeError> {
    let base = inputs.required_text("baseUrl")?;
    if !base.starts_with("http://") && !base.starts_with("https://") {
        return Err(inputs.bad("baseUrl", "must begin with http:// or https://"));
    }
    Ok(Transcriber(Kind::Whisper(Whisper {
        name: "LocalAI",
        endpoint: Endpoint {
            provider: "localai",
            public: "".into(),
            typed: Some(base),
            key: Key::of(inputs, "", FIELD),
        },
        fields: fields(inputs, "whisper-1", &["language", "prompt", "temperature"])?,
    })))
}
