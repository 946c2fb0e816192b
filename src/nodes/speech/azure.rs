//! `azureCognitive`: Azure's fast transcription, one request with the
//! recording and a definition of what is wanted.

use reqwest::multipart::Form;
use serde_json::{Value, json};

use super::{Clip, Kind, Provider, TIMEOUT, Transcriber, part, text};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::spec::CredentialSpec;
use crate::wire::http::Call;
use crate::wire::openai::secret_header;

const API_VERSION: &str = "2024-05-15-preview";

const CREDENTIAL: CredentialSpec = CredentialSpec {
    kind: "azureCognitiveServices",
    fields: &[("azureSubscriptionKey", None), ("serviceRegion", None), ("apiVersion", None)],
};

/// The provider.
pub(super) const PROVIDER: Provider =
    Provider { key: "azureCognitive", credential: &CREDENTIAL, build };

pub(super) struct Azure {
    key: Result<String, NodeError>,
    region: Result<String, NodeError>,
    api_version: String,
    definition: Value,
}

fn build(inputs: &Inputs) -> Result<Transcriber, NodeError> {
    let typed =
        |name: &str, otherwise: &str| inputs.text(name).unwrap_or_else(|| otherwise.to_owned());
    let channels: Result<Vec<u32>, _> =
        typed("channels", "0,1").split(',').map(|channel| channel.trim().parse()).collect();
    let channels =
        channels.map_err(|_| inputs.bad("channels", "must be whole numbers such as 0,1"))?;
    let api_version = inputs.optional_secret("apiVersion").map(|(version, _)| version);
    Ok(Transcriber(Kind::Azure(Azure {
        key: inputs.secret("azureSubscriptionKey"),
        region: region(inputs),
        api_version: api_version.unwrap_or_else(|| API_VERSION.to_owned()),
        definition: json!({
            "locales": [typed("language", "en-US")],
            "profanityFilterMode": typed("profanityFilterMode", "Masked"),
            "channels": channels,
        }),
    })))
}

/// The region is a part of the host that the key is sent to.
fn region(inputs: &Inputs) -> Result<String, NodeError> {
    let region = inputs.secret("serviceRegion")?;
    if region.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '-') {
        return Ok(region);
    }
    Err(inputs.bad("serviceRegion", "must be a name such as westeurope"))
}

impl Azure {
    pub(super) async fn transcribe(&self, clip: &Clip, ctx: &TurnCtx) -> Result<String, NodeError> {
        let key = self.key.clone()?;
        let base = match ctx.services.provider_url("azure-speech") {
            Some(base) => base,
            None => format!("https://{}.cognitiveservices.azure.com", self.region.clone()?),
        };
        let url = format!("{base}/speechtotext/transcriptions:transcribe");
        let header = secret_header(&key)?;
        let secrets = [key];
        let call = Call::new("Azure", ctx, TIMEOUT, &secrets);
        let reply = call.send(|client| {
            let definition = self.definition.to_string();
            let form = Form::new().part("audio", part(clip)).text("definition", definition);
            let request = client.post(query(&url, &self.api_version));
            request.header("Ocp-Apim-Subscription-Key", header.clone()).multipart(form)
        });
        let reply = super::json(reply.await?).await?;
        // A recording without words has no phrase.
        match reply.pointer("/combinedPhrases").and_then(Value::as_array) {
            Some(phrases) if phrases.is_empty() => Ok(String::new()),
            _ => text(&reply, "/combinedPhrases/0/text", &call),
        }
    }
}

fn query(url: &str, api_version: &str) -> String {
    match reqwest::Url::parse_with_params(url, [("api-version", api_version)]) {
        Ok(url) => url.to_string(),
        // The request fails with this address, in the words for a bad address.
        Err(_) => url.to_owned(),
    }
}
