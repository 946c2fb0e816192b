//! `openAIWhisper`: OpenAI's `whisper-1`.

use super::whisper::{Whisper, fields};
use super::{Kind, Provider, Transcriber};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::spec::CredentialSpec;
use crate::wire::{Endpoint, Key};

const FIELD: &str = "openAIApiKey";

const CREDENTIAL: CredentialSpec =
    CredentialSpec { kind: "openAIApi", fields: &[(FIELD, Some("OPENAI_API_KEY"))] };

/// The provider.
pub(super) const PROVIDER: Provider =
    Provider { key: "openAIWhisper", credential: &CREDENTIAL, build };

fn build(inputs: &Inputs) -> Result<Transcriber, NodeError> {
    let mut fields = fields(inputs, "whisper-1", &["language", "prompt", "temperature"])?;
    // Flowise offers no choice here.
    fields[0].1 = "whisper-1".to_owned();
    Ok(Transcriber(Kind::Whisper(Whisper {
        name: "OpenAI",
        endpoint: Endpoint {
            provider: "openai",
            public: "https://api.openai.com/v1".into(),
            typed: None,
            key: Key::of(inputs, "", FIELD),
        },
        fields,
    })))
}
