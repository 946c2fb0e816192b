//! The OpenAPI document, held against the server by schemathesis: requests
//! that it allows and requests that it does not, with what comes back.

use std::process::Command;

use crate::support::server::{PASSWORD, USERNAME};
use crate::support::{Parlor, Scripted, tools};

/// Runs a program while the servers of the test go on; its status and output.
async fn run(mut command: Command) -> (bool, String) {
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("the program ran").expect("the program can be started");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn what_the_document_says_holds_for_requests_that_nobody_thought_of() {
    let model = Scripted::saying("Nice to meet you.").await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    let other = server.install_llm_chain(&model.basepath()).await;
    let mut command = tools::python("schemathesis");
    command.arg("--config-file").arg(tools::tests_folder("schemathesis.toml")).arg("run");
    command.arg(format!("http://{}/api/v1/openapi.json", server.address()));
    command.args(["--no-color", "--workers", "2"]);
    command.env("PARLOR_USERNAME", USERNAME).env("PARLOR_PASSWORD", PASSWORD);
    command.env("PARLOR_CHATFLOW", flow).env("PARLOR_OTHER_CHATFLOW", other);
    // It leaves nothing behind in the folder that the tests run in.
    command.current_dir(server.folder().path());
    let (succeeded, report) = run(command).await;
    assert!(succeeded, "{report}");
    let received = model.received().len();
    assert!(received > 5, "only {received} questions reached the model: {report}");
}

#[tokio::test]
async fn the_document_is_shown_by_pages_that_need_no_other_server() {
    let server = Parlor::start();
    let mut command = Command::new(tools::chromium());
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-sync"]);
    command.args([
        "--disable-component-update",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]);
    command.arg(format!("--user-data-dir={}", server.folder().path().join("browser").display()));
    // Time of the page's own clock: it is up when all is loaded and drawn.
    command.args(["--virtual-time-budget=20000", "--dump-dom"]);
    command.arg(format!("http://{}/api-docs", server.address()));
    let (_, dom) = run(command).await;
    for shown in ["/api/v1/prediction/", "Answers a question from outside", "Authorize"] {
        // The page lets a path break after each slash.
        let dom = dom.replace("<wbr>", "").replace("\u{200b}", "");
        assert!(dom.contains(shown), "{shown} is not shown: {dom}");
    }
}

#[tokio::test]
async fn the_pages_have_no_way_to_other_files() {
    let server = Parlor::start();
    for name in ["nothing.js", "..%2fCargo.toml", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%00"] {
        let reply = server.anyone().get(&format!("/api-docs/{name}")).await;
        reply.expect_error(404);
    }
    let page = server.anyone().get("/api-docs/").await.expect(200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
}
