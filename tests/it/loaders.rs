//! Files that become text of a prompt, seen from the model server: saved with
//! the flow, brought by a form or as a data URI, and below allowed folders.

use serde_json::{Value, json};

use crate::support::flows::Flow;
use crate::support::{Options, Parlor, Scripted};

const SAVED: &str = "data:text/plain;base64,c2F2ZWQ=,filename:saved.txt";

struct Stage {
    server: Parlor,
    model: Scripted,
    id: String,
}

impl Stage {
    /// A chain whose prompt is what a loader reads.
    async fn set(options: Options, loader: &str, inputs: Value) -> Self {
        let server = Parlor::start_with(options);
        let model = Scripted::saying("Fine.").await;
        let credential = server.openai_credential().await;
        let mut flow = Flow::golden("a-llmchain")
            .with_openai(&credential, &model.basepath())
            .with_input("promptTemplate_0", "template", json!("About: {text}"))
            .with_input(
                "promptTemplate_0",
                "promptValues",
                json!("{\"text\":\"{{loader_0.data.instance}}\"}"),
            );
        let node = json!({"id": "loader_0", "type": "customNode", "data": {
            "id": "loader_0", "name": loader, "label": "Loader", "category": "Document Loaders",
            "inputs": inputs, "outputs": {"output": "text"}
        }});
        flow.0["nodes"].as_array_mut().unwrap().push(node);
        let edge = json!({"source": "loader_0", "target": "promptTemplate_0"});
        flow.0["edges"].as_array_mut().unwrap().push(edge);
        let id = server.install("Loader", &flow).await;
        Self { server, model, id }
    }

    /// The prompt of the only call.
    fn prompt(&self) -> String {
        let received = self.model.take_received();
        assert_eq!(received.len(), 1, "{received:#?}");
        received[0].messages().pop().unwrap().1
    }

    fn path(&self) -> String {
        format!("/api/v1/prediction/{}", self.id)
    }
}

#[tokio::test]
async fn a_saved_file_fills_a_prompt_until_a_request_brings_its_own() {
    let stage = Stage::set(Options::default(), "textFile", json!({"txtFile": SAVED})).await;

    stage.server.ask(&stage.id, &json!({"question": "q"})).await.expect(200);
    assert_eq!(stage.prompt(), "About: saved\n");

    let files =
        [("a.txt", "text/plain", b"from a {form}".as_slice()), ("b.md", "text/markdown", b"# two")];
    stage.server.anyone().post_form(&stage.path(), &[("question", "q")], &files).await.expect(200);
    assert_eq!(stage.prompt(), "About: from a {form}\n# two\n");

    let uri = "data:text/plain;base64,dXJp,filename:u.txt";
    let body = json!({"question": "q", "overrideConfig": {"txtFile": uri}});
    stage.server.ask(&stage.id, &body).await.expect(200);
    assert_eq!(stage.prompt(), "About: uri\n");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_and_no_model_is_asked() {
    let stage = Stage::set(Options::default(), "fileLoader", json!({"file": SAVED})).await;
    for (name, bytes, part) in [
        ("empty.txt", b"".as_slice(), "empty.txt is empty"),
        ("broken.pdf", b"%PDF-1.4 nothing", "broken.pdf cannot be read"),
        ("latin.txt", b"Caf\xe9", "latin.txt has letters that are no UTF-8"),
        ("no.json", b"{", "no.json is no valid JSON"),
    ] {
        let files = [(name, "application/octet-stream", bytes)];
        let caller = stage.server.anyone();
        let reply = caller.post_form(&stage.path(), &[("question", "q")], &files).await;
        let message = reply.expect_error(400);
        assert!(message.contains(part), "{message}");
    }
    let stored = json!({"question": "q", "overrideConfig": {"file": "FILE-STORAGE::saved.txt"}});
    let message = stage.server.ask(&stage.id, &stored).await.expect_error(400);
    assert!(message.contains("overrideConfig.file"), "{message}");
    assert!(stage.model.take_received().is_empty(), "the model was asked");
}

#[tokio::test]
async fn a_folder_is_read_only_where_the_operator_allows_it() {
    let allowed = tempfile::tempdir().unwrap();
    std::fs::write(allowed.path().join("a.txt"), "allowed").unwrap();
    let root = allowed.path().to_str().unwrap();
    let inputs = json!({"folderPath": root, "recursive": false});
    let options = Options::default().env("PARLOR_LOADER_ROOTS", root);

    let open = Stage::set(options, "folderFiles", inputs.clone()).await;
    let closed = Stage::set(Options::default(), "folderFiles", inputs).await;

    let elsewhere = json!({"question": "q", "overrideConfig": {"folderPath": "/"}});
    open.server.ask(&open.id, &elsewhere).await.expect(200);
    assert_eq!(open.prompt(), "About: allowed\n");
    let message = closed.server.ask(&closed.id, &json!({"question": "q"})).await.expect_error(422);
    assert!(message.contains("--loader-root") && !message.contains(root), "{message}");
}
