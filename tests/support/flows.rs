//! Flows of the fixtures, pointed at the model server of a test.

use serde_json::{Value, json};

use super::server::Parlor;
use super::{fixture_text, http};

/// The secret of the OpenAI credential that the tests make, as in the recordings.
pub const OPENAI_KEY: &str = "sk-mock";

/// A flow: nodes and edges.
#[derive(Debug, Clone)]
pub struct Flow(pub Value);

impl Flow {
    /// A flow behind the recorded exchanges.
    pub fn golden(name: &str) -> Self {
        Self::read(&format!("goldens/flows/{name}.json"))
    }

    /// An example flow of Flowise 2.2.8.
    pub fn template(name: &str) -> Self {
        Self::read(&format!("templates/{name}.json"))
    }

    fn read(path: &str) -> Self {
        Self(serde_json::from_str(&fixture_text(path)).expect("a flow is JSON"))
    }

    /// The same flow with every OpenAI model, chat and embeddings, at this
    /// address and this credential.
    pub fn with_openai(mut self, credential: &str, basepath: &str) -> Self {
        for name in ["chatOpenAI", "openAIEmbeddings"] {
            for data in self.nodes_named(name) {
                data["credential"] = json!(credential);
                data["inputs"]["basepath"] = json!(basepath);
            }
        }
        self
    }

    /// The same flow with this credential at every node of a name.
    pub fn with_credential(mut self, node_name: &str, credential: &str) -> Self {
        for data in self.nodes_named(node_name) {
            data["credential"] = json!(credential);
        }
        self
    }

    /// The same flow with one input of a node changed.
    pub fn with_input(mut self, node_id: &str, input: &str, value: Value) -> Self {
        self.data(node_id)["inputs"][input] = value;
        self
    }

    /// The `data` of a node.
    pub fn data(&mut self, node_id: &str) -> &mut Value {
        let nodes = self.0["nodes"].as_array_mut().expect("nodes");
        let node = nodes.iter_mut().find(|node| node["id"] == node_id);
        &mut node.unwrap_or_else(|| panic!("no node {node_id}"))["data"]
    }

    fn nodes_named(&mut self, name: &str) -> impl Iterator<Item = &mut Value> {
        let nodes = self.0["nodes"].as_array_mut().expect("nodes").iter_mut();
        nodes.map(|node| &mut node["data"]).filter(move |data| data["name"] == name)
    }

    /// The body of `POST /api/v1/chatflows`.
    pub fn row(&self, name: &str) -> Value {
        json!({"name": name, "flowData": self.0.to_string(), "type": "CHATFLOW"})
    }
}

impl Parlor {
    /// Stores a flow as an operator would, and gives its id.
    pub async fn install(&self, name: &str, flow: &Flow) -> String {
        self.install_row(&flow.row(name)).await
    }

    /// Stores a whole chatflow row, and gives its id.
    pub async fn install_row(&self, row: &Value) -> String {
        id_of(&self.operator().post("/api/v1/chatflows", row).await)
    }

    /// The recorded LLM chain, without memory, on a model server.
    pub async fn install_llm_chain(&self, basepath: &str) -> String {
        let credential = self.openai_credential().await;
        let flow = Flow::golden("a-llmchain").with_openai(&credential, basepath);
        self.install("LLM Chain", &flow).await
    }

    /// The recorded conversation chain, with buffer memory, on a model server.
    pub async fn install_conversation(&self, basepath: &str) -> String {
        let credential = self.openai_credential().await;
        let flow = Flow::golden("b-conversation").with_openai(&credential, basepath);
        self.install("Conversation Chain", &flow).await
    }

    /// A new OpenAI credential.
    pub async fn openai_credential(&self) -> String {
        self.credential("openAIApi", json!({"openAIApiKey": OPENAI_KEY})).await
    }

    /// A new credential of any kind.
    pub async fn credential(&self, kind: &str, secrets: Value) -> String {
        let body = json!({"name": kind, "credentialName": kind, "plainDataObj": secrets});
        id_of(&self.operator().post("/api/v1/credentials", &body).await)
    }

    /// A new API key: its id and the key itself.
    pub async fn api_key(&self, name: &str) -> (String, String) {
        let rows = self.operator().post("/api/v1/apikey", &json!({"keyName": name})).await;
        let rows = rows.expect(200).json();
        let rows = rows.as_array().expect("the whole list of keys");
        let row = rows.iter().find(|row| row["keyName"] == name).expect("the new key is listed");
        let text = |field: &str| row[field].as_str().expect(field).to_owned();
        (text("id"), text("apiKey"))
    }

    /// Asks a chatflow, as anyone.
    pub async fn ask(&self, flow: &str, body: &Value) -> http::Reply {
        self.anyone().post(&format!("/api/v1/prediction/{flow}"), body).await
    }

    /// The stored messages of a chatflow as (role, content), oldest first.
    pub async fn messages(&self, flow: &str, query: &str) -> Vec<(String, String)> {
        let path = format!("/api/v1/chatmessage/{flow}?{query}");
        let rows = self.operator().get(&path).await.expect(200).json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let rows = rows.as_array().expect("an array of messages").iter();
        rows.map(|row| (text(&row["role"]), text(&row["content"]))).collect()
    }
}

fn id_of(reply: &http::Reply) -> String {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["id"].as_str().expect("an id").to_owned()
}

/// Checks that messages are whole turns: each question with its answer.
pub fn assert_whole_turns(messages: &[(String, String)]) {
    assert!(messages.len().is_multiple_of(2), "half a turn is stored: {messages:?}");
    for pair in messages.chunks(2) {
        let roles = [pair[0].0.as_str(), pair[1].0.as_str()];
        assert_eq!(roles, ["userMessage", "apiMessage"], "{messages:?}");
    }
}
