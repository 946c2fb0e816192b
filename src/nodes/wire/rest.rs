//! Questions in JSON to a database's HTTP API.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::NodeError;
use crate::wire::http::Call;
use crate::wire::parse::parse;

/// A database's API, entered.
pub(crate) struct Rest<'a> {
    /// Limits, retries and the turn.
    pub(crate) call: Call<'a>,
    /// Its address without a slash at its end.
    pub(crate) base: String,
    /// Those of the key.
    pub(crate) headers: HeaderMap,
}

impl Rest<'_> {
    /// What it answers to a question without a body.
    ///
    /// # Errors
    /// Those of [`Call::send`]; [`NodeError::UpstreamBroken`] for an answer of
    /// another form.
    pub(crate) async fn get<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
    ) -> Result<T, NodeError> {
        self.ask(Method::GET, path, None).await
    }

    /// What it answers to a body.
    ///
    /// # Errors
    /// As of [`Self::get`].
    pub(crate) async fn post<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, NodeError> {
        self.ask(Method::POST, path, Some(self.written(body)?)).await
    }

    /// The same with PUT.
    ///
    /// # Errors
    /// As of [`Self::get`].
    pub(crate) async fn put<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, NodeError> {
        self.ask(Method::PUT, path, Some(self.written(body)?)).await
    }

    fn written(&self, body: &impl Serialize) -> Result<bytes::Bytes, NodeError> {
        let body = serde_json::to_vec(body);
        Ok(body.map_err(|_| self.call.broken("cannot be asked that: it is no JSON"))?.into())
    }

    async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        method: Method,
        path: &str,
        body: Option<bytes::Bytes>,
    ) -> Result<T, NodeError> {
        let url = format!("{}{path}", self.base);
        let reply = self.call.send(|client| {
            let request = client.request(method.clone(), &url).headers(self.headers.clone());
            match &body {
                None => request,
                Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.clone()),
            }
        });
        let bytes = reply.await?.whole().await?;
        let answer = parse(bytes).await;
        answer.ok_or_else(|| self.call.broken("sent an answer that could not be read"))
    }
}

/// `None` for what is not there.
pub(crate) fn if_found<T>(answer: Result<T, NodeError>) -> Result<Option<T>, NodeError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(NodeError::UpstreamStatus { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A header that is kept out of logs.
///
/// # Errors
/// [`NodeError::MissingCredential`] for a key that no header can hold.
pub(crate) fn secret_header(
    headers: &mut HeaderMap,
    name: &'static str,
    value: &str,
) -> Result<(), NodeError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        NodeError::MissingCredential(
            "the key of a vector store holds characters that no header can; store it again"
                .to_owned(),
        )
    })?;
    value.set_sensitive(true);
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

/// An address without user, password and query, to be told to people.
pub(crate) fn public_address(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else {
        return "an address that cannot be read".to_owned();
    };
    // Both fail only where an address has no place for them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// Cuts items into batches of at most so many, and of about so many bytes; an
/// item that is larger goes alone.
pub(crate) fn batches<T>(
    items: Vec<T>,
    most: usize,
    most_bytes: usize,
    n_bytes: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut filled = usize::MAX;
    for item in items {
        let size = n_bytes(&item);
        match batches.last_mut() {
            Some(batch) if batch.len() < most && filled.saturating_add(size) <= most_bytes => {
                filled += size;
                batch.push(item);
            }
            _ => {
                filled = size;
                batches.push(vec![item]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_full_by_number_or_by_size() {
        let cut = |items: &[usize]| batches(items.to_vec(), 3, 10, |size| *size);

        assert_eq!(cut(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(cut(&[1, 1, 1, 1]), [vec![1, 1, 1], vec![1]]);
        assert_eq!(cut(&[6, 5, 5, 40, 1]), [vec![6], vec![5, 5], vec![40], vec![1]]);
    }

    #[test]
    fn an_address_is_told_without_its_secrets() {
        for (address, told) in [
            ("http://me:pass@host:1/x/?key=1#y", "http://host:1/x"),
            ("https://host", "https://host"),
            ("nonsense", "an address that cannot be read"),
        ] {
            assert_eq!(public_address(address), told);
        }
    }
}
