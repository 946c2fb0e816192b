//! OpenAI's form of transcription, which LocalAI and Groq speak too.

use reqwest::header::AUTHORIZATION;
use reqwest::multipart::Form;

use super::{Clip, TIMEOUT, json, part, text};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::wire::Endpoint;
use crate::wire::http::Call;
use crate::wire::openai::secret_header;

/// A server of that form.
pub(super) struct Whisper {
    /// Its name in error texts.
    pub(super) name: &'static str,
    pub(super) endpoint: Endpoint,
    /// Fields beside the recording, in order.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Whisper {
    /// `POST /audio/transcriptions`; the words are in `text`.
    pub(super) async fn transcribe(&self, clip: &Clip, ctx: &TurnCtx) -> Result<String, NodeError> {
        let (base, key) = self.endpoint.resolve(ctx)?;
        let url = format!("{base}/audio/transcriptions");
        let bearer = key.map(|key| secret_header(&format!("Bearer {key}"))).transpose()?;
        let secrets: Vec<String> = key.into_iter().map(str::to_owned).collect();
        let call = Call::new(self.name, ctx, TIMEOUT, &secrets);
        let reply = call.send(|client| {
            let request = client.post(&url).multipart(self.form(clip));
            match &bearer {
                Some(bearer) => request.header(AUTHORIZATION, bearer.clone()),
                None => request,
            }
        });
        let reply = json(reply.await?).await?;
        text(&reply, "/text", &call)
    }

    fn form(&self, clip: &Clip) -> Form {
        let fields = self.fields.iter();
        let form = fields.fold(Form::new(), |form, (name, value)| form.text(*name, value.clone()));
        form.part("file", part(clip))
    }
}

/// The fields that the settings name, as they are typed there.
///
/// # Errors
/// [`NodeError::BadInput`] for a temperature that is no number.
pub(super) fn fields(
    inputs: &Inputs,
    model: &str,
    names: &[&'static str],
) -> Result<Vec<(&'static str, String)>, NodeError> {
    let model = inputs.text("model").unwrap_or_else(|| model.to_owned());
    let mut fields = vec![("model", model)];
    for &name in names {
        let value = match name {
            "temperature" => inputs.number(name)?.map(|number| number.to_string()),
            _ => inputs.text(name),
        };
        fields.extend(value.map(|value| (name, value)));
    }
    Ok(fields)
}
