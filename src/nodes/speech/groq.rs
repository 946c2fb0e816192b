//! `groqWhisper`: Whisper at Groq, which tells more than the words when asked
//! for `verbose_json`, as Flowise does.

use super::whisper::{Whisper, fields};
use super::{Kind, Provider, Transcriber};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::spec::CredentialSpec;
use crate::wire::{Endpoint, Key};

const FIELD: &str = "groqApiKey";

const CREDENTIAL: CredentialSpec =
    CredentialSpec { kind: "groqApi", fields: &[(FIELD, Some("GROQ_API_KEY"))] };

/// The provider.
pub(super) const PROVIDER: Provider =
    Provider { key: "groqWhisper", credential: &CREDENTIAL, build };

fn build(inputs: &Inputs) -> Result<Transcriber, NodeError> {
    let mut fields = fields(inputs, "whisper-large-v3", &["language", "temperature"])?;
    fields.push(("response_format", "verbose_json".to_owned()));
    Ok(Transcriber(Kind::Whisper(Whisper {
        name: "Groq",
        endpoint: Endpoint {
            provider: "groq",
            public: "https://api.groq.com/openai/v1".into(),
            typed: None,
            key: Key::of(inputs, "", FIELD),
        },
        fields,
    })))
}
