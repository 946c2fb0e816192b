//! What the operator of the server under test does: puts a credential and a chatflow in,
//! and reads conversations back.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Connection;

/// The chatflow that is measured: a model, a buffer memory, a system prompt.
const FLOW: &str = include_str!("../flows/conversation.json");

/// An operator who signs in with a name and a password.
#[derive(Clone, Debug)]
pub struct Operator {
    address: SocketAddr,
    authorization: String,
}

impl Operator {
    /// For a server, with its `name:password`.
    pub fn new(address: SocketAddr, name_and_password: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(name_and_password));
        Self { address, authorization }
    }

    /// Whether the server answers at all.
    pub async fn ping(&self) -> anyhow::Result<()> {
        self.call("GET", "/api/v1/ping", None).await.map(drop)
    }

    /// What the server says of its version.
    pub async fn version(&self) -> anyhow::Result<Value> {
        json_of(&self.call("GET", "/api/v1/version", None).await?)
    }

    /// Stores the credential and the measured chatflow; returns the chatflow's id.
    pub async fn import_flow(&self) -> anyhow::Result<String> {
        self.import_flow_with(None).await
    }

    /// The same with a model server's address in the flow itself, as Flowise needs it.
    pub async fn import_flow_at(&self, base_path: &str) -> anyhow::Result<String> {
        self.import_flow_with(Some(base_path)).await
    }

    async fn import_flow_with(&self, base_path: Option<&str>) -> anyhow::Result<String> {
        let credential = json!({
            "name": "bench",
            "credentialName": "openAIApi",
            "plainDataObj": {"openAIApiKey": "sk-bench"},
        });
        let credential = self.create("/api/v1/credentials", &credential).await?;
        let flow = measured_flow(&credential, base_path)?;
        let chatflow = json!({"name": "Bench conversation", "flowData": flow.to_string()});
        self.create("/api/v1/chatflows", &chatflow).await
    }

    /// The roles of a session's stored messages, oldest first.
    pub async fn stored_roles(&self, flow: &str, session: &str) -> anyhow::Result<Vec<String>> {
        let path = format!("/api/v1/chatmessage/{flow}?sessionId={session}&order=ASC");
        let rows = json_of(&self.call("GET", &path, None).await?)?;
        let rows = rows.as_array().context("the messages are no array")?;
        let role = |row: &Value| row["role"].as_str().unwrap_or_default().to_owned();
        Ok(rows.iter().map(role).collect())
    }

    /// A session's stored messages, (role, content), oldest first.
    pub async fn stored_messages(
        &self,
        flow: &str,
        session: &str,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let path = format!("/api/v1/chatmessage/{flow}?sessionId={session}&order=ASC");
        let rows = json_of(&self.call("GET", &path, None).await?)?;
        let rows = rows.as_array().context("the messages are no array")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(rows.iter().map(|row| (text(&row["role"]), text(&row["content"]))).collect())
    }

    /// Sends lines of JSON; the answer's JSON.
    pub async fn post_lines(&self, path: &str, lines: &str) -> anyhow::Result<Value> {
        json_of(&self.send("POST", path, "application/x-ndjson", lines).await?)
    }

    /// A connection that stays open, for reads one after the other.
    pub async fn reader(&self) -> anyhow::Result<Reader> {
        let connection = Connection::open(self.address).await?;
        Ok(Reader { connection, authorization: self.authorization.clone(), reply: Vec::new() })
    }

    async fn create(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let created = json_of(&self.call("POST", path, Some(body)).await?)?;
        created["id"].as_str().map(str::to_owned).with_context(|| format!("{path} gave no id"))
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Vec<u8>> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, "application/json", &body).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        media_type: &str,
        body: &str,
    ) -> anyhow::Result<Vec<u8>> {
        let (address, authorization) = (self.address, &self.authorization);
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n\
             x-request-from: internal\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut reply = Vec::new();
        let status = Connection::open(address)
            .await?
            .exchange(request.as_bytes(), &mut reply)
            .await
            .with_context(|| format!("{method} {path}"))?;
        let said = String::from_utf8_lossy(&reply[..reply.len().min(300)]);
        ensure!((200..300).contains(&status), "{method} {path} answered {status}: {said}");
        Ok(reply)
    }
}

/// Reads on one connection.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    authorization: String,
    reply: Vec<u8>,
}

impl Reader {
    /// Reads a JSON array; the number of its elements.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<usize> {
        let authorization = &self.authorization;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: l\r\nauthorization: {authorization}\r\n\r\n");
        self.reply.clear();
        let status = self.connection.exchange(request.as_bytes(), &mut self.reply).await?;
        ensure!(status == 200, "GET {path} answered {status}");
        let rows: Vec<serde::de::IgnoredAny> =
            serde_json::from_slice(&self.reply).context("the reply is no JSON array")?;
        Ok(rows.len())
    }
}

fn measured_flow(credential: &str, base_path: Option<&str>) -> anyhow::Result<Value> {
    let mut flow: Value = serde_json::from_str(FLOW).context("flows/conversation.json")?;
    let nodes = flow["nodes"].as_array_mut().context("the flow has no nodes")?;
    let models = nodes.iter_mut().filter(|node| node["data"]["name"] == "chatOpenAI");
    models.for_each(|node| {
        node["data"]["credential"] = credential.into();
        if let Some(base_path) = base_path {
            node["data"]["inputs"]["basepath"] = base_path.into();
        }
    });
    Ok(flow)
}

fn json_of(reply: &[u8]) -> anyhow::Result<Value> {
    serde_json::from_slice(reply).context("the reply is no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_flow_hangs_together() {
        let flow = measured_flow("c1", None).unwrap();
        let nodes = flow["nodes"].as_array().unwrap();
        let ids: Vec<_> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
        for edge in flow["edges"].as_array().unwrap() {
            assert!(ids.contains(&edge["source"].as_str().unwrap()));
            assert!(ids.contains(&edge["target"].as_str().unwrap()));
        }
        let model = nodes.iter().find(|node| node["data"]["name"] == "chatOpenAI").unwrap();
        assert_eq!(model["data"]["credential"], "c1");
    }
}
