use clap::Parser;
use parlor_schemas::ErrorCode;
use serde_json::json;

use super::*;
use crate::app::Application;
use crate::config::ServeArgs;

#[derive(Parser)]
struct Serve {
    #[command(flatten)]
    args: ServeArgs,
}

fn chatflow(id: ChatflowId) -> parlor_schemas::Chatflow {
    let store = json!({"id": "s_0", "data": {
        "id": "s_0", "label": "Store", "name": "madeUpStore", "category": "Vector Stores",
    }});
    let date = "1970-01-01T00:00:00.000Z";
    let row = json!({
        "id": id, "name": "flow", "createdDate": date, "updatedDate": date,
        "flowData": json!({"nodes": [store], "edges": []}).to_string(),
    });
    serde_json::from_value(row).unwrap()
}

#[test]
fn a_full_server_says_so_before_it_compiles_what_would_be_filled() {
    actix::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let args = Serve::parse_from(["parlor"]).args;
        let application = Application::build(&folder.path().join("data"), &args).await.unwrap();
        let (state, id) = (application.state().clone(), ChatflowId::random());
        state.store.chatflows().put(&chatflow(id)).unwrap();
        let refused = async || {
            let incoming = Incoming { body: Map::new(), files: Vec::new() };
            let bound = bind(&state, id, incoming, &Wish::default(), None).await;
            bound.err().expect("a store that nobody knows").0.code
        };
        let handle = state.upserts.handle();
        let permits: Vec<_> = std::iter::from_fn(|| handle.admit().ok()).collect();
        assert_eq!(refused().await, ErrorCode::Overloaded);
        drop(permits);
        assert_eq!(refused().await, ErrorCode::UnsupportedNode);
        application.close().await;
    });
}
