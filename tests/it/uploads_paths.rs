//! Names and ids that try to lead out of the storage of uploaded files.

use serde_json::json;

use crate::replay::Stage;
use crate::uploads::{ask, file_path, text_file, uploaded};

#[tokio::test]
async fn a11_no_name_and_no_id_leads_out_of_the_storage() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    ask(&stage, "c1", json!([text_file("mine.txt", "mine")])).await.expect(200);
    std::fs::write(stage.server.folder().path().join("secret.txt"), "secret").unwrap();
    let long = "x".repeat(300);
    let names = [
        "..",
        "../../secret.txt",
        "..%2F..%2Fsecret.txt",
        "..%5C..%5Csecret.txt",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "a%00b",
        "%00",
        "",
        ".",
        &long,
        "mine.txt%0d%0aSet-Cookie:x",
    ];
    for name in names {
        let reply = stage.server.anyone().get(&file_path(flow, "c1", name)).await;
        reply.expect_error(400);
    }
    for chat in ["..", "../..", "..%2F..", "%2Fetc", "a%00", "", &"x".repeat(600)] {
        stage.server.anyone().get(&file_path(flow, chat, "secret.txt")).await.expect_error(400);
    }
    for id in ["..", "../../x", "not-a-uuid", "", "54d84c373f574c00841d17f95e783c4d"] {
        stage.server.anyone().get(&file_path(id, "c1", "mine.txt")).await.expect_error(400);
    }
    for path in [
        "/api/v1/get-upload-file".to_owned(),
        format!("/api/v1/get-upload-file?chatflowId={flow}&chatId=c1"),
        format!("{}&fileName=other.txt", file_path(flow, "c1", "mine.txt")),
    ] {
        stage.server.anyone().get(&path).await.expect_error(400);
    }
    for name in ["%252e%252e%252fsecret.txt", "secret.txt", ".note.mine.txt", "~"] {
        stage.server.anyone().get(&file_path(flow, "c1", name)).await.expect_error(404);
    }
}

#[tokio::test]
async fn a_wild_name_is_tidied_and_found_again() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    let uploads = json!([text_file("../../a/b?.txt", "mine")]);
    ask(&stage, "c1", uploads).await.expect(200);
    let reply = stage.server.anyone().get(&file_path(flow, "c1", "ab.txt")).await.expect(200);
    assert_eq!(reply.body, "mine");
    let files = uploaded(&stage.server);
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].ends_with("ab.txt"), "{files:?}");
}

#[tokio::test]
async fn a11_a_link_in_the_storage_is_not_followed() {
    let stage = Stage::set().await;
    let flow = stage.flow("b-conversation");
    ask(&stage, "c1", json!([text_file("mine.txt", "mine")])).await.expect(200);
    let secret = stage.server.folder().path().join("secret.txt");
    std::fs::write(&secret, "secret").unwrap();
    let chat = uploaded(&stage.server)[0].with_file_name("link.txt");
    std::os::unix::fs::symlink(&secret, chat).unwrap();
    stage.server.anyone().get(&file_path(flow, "c1", "link.txt")).await.expect_error(404);
}
