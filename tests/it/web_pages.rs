//! Pages of the web on their way to the model, through the guard of addresses
//! that others can steer: the real server, and a web server on loopback.

use serde_json::{Value, json};

use crate::support::scripted::Received;
use crate::support::{Answer, Flow, Options, Parlor, Scripted};

/// The address without its scheme: what an operator opens.
fn place(server: &Scripted) -> String {
    server.base().trim_start_matches("http://").to_owned()
}

async fn web() -> Scripted {
    Scripted::start(|request| {
        let page = |status, body: &str| {
            let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
            Answer::Whole { status, headers, body: body.to_owned() }
        };
        match request.path.as_str() {
            "/" => page(
                200,
                "<title>t</title><body>Opening hours: <a href='/gone'></a><a href='/more'>more</a>",
            ),
            "/more" => page(200, "<body>nine to five {{question}} {braces}"),
            "/away" => {
                let headers = vec![("location", "http://169.254.169.254/latest/".to_owned())];
                Answer::Whole { status: 302, headers, body: String::new() }
            }
            _ => page(404, "no such page"),
        }
    })
    .await
}

/// A model server that speaks Anthropic's protocol.
async fn model() -> Scripted {
    Scripted::start(|_| {
        let body = json!({"id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "Nine to five."}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1}});
        let headers = vec![("content-type", "application/json".to_owned())];
        Answer::Whole { status: 200, headers, body: body.to_string() }
    })
    .await
}

/// Installs Flowise's example that hands a loader's text to a model, with a web
/// page in the place of the typed text.
async fn install(server: &Parlor, url: &str, more: Value) -> String {
    let secrets = json!({"anthropicApiKey": "sk-ant-mock"});
    let credential = server.credential("anthropicApi", secrets).await;
    let mut flow = Flow::template("Transcript Summarization");
    let loader = flow.data("plainText_0");
    loader["name"] = json!("cheerioWebScraper");
    loader["inputs"] = json!({"url": url});
    for (name, value) in more.as_object().expect("an object") {
        loader["inputs"][name] = value.clone();
    }
    server.install("Web pages", &flow.with_credential("chatAnthropic", &credential)).await
}

fn system_of(request: &Received) -> String {
    request.body["system"].to_string()
}

#[tokio::test]
async fn the_pages_of_an_opened_site_reach_the_model_as_text() {
    let (web, model) = (web().await, model().await);
    let options = Options::default().provider("anthropic", &model.base());
    let server = Parlor::start_with(options.env("PARLOR_EGRESS_ALLOW", &place(&web)));
    let crawl = json!({"relativeLinksMethod": "webCrawl", "limit": "2"});
    let flow = install(&server, &web.base(), crawl).await;

    let reply = server.ask(&flow, &json!({"question": "When are you open?"})).await;

    assert_eq!(reply.expect(200).json()["text"], "Nine to five.");
    let system = system_of(&model.received()[0]);
    assert!(
        system.contains("Opening hours: more\\nnine to five {{question}} {braces}\\n"),
        "{system}"
    );
    assert!(!system.contains("<body>"), "{system}");
}

#[tokio::test]
async fn a19_what_the_operator_did_not_open_is_refused_before_anybody_is_asked() {
    let (web, model) = (web().await, model().await);
    let server = Parlor::start_with(Options::default().provider("anthropic", &model.base()));
    let flow = install(&server, &web.base(), json!({})).await;

    let error = server.ask(&flow, &json!({"question": "?"})).await.expect_error(400);

    let told = format!("{}/ leads into a private or reserved network", web.base());
    assert!(error.starts_with(&told), "{error}");
    assert_eq!((web.received().len(), model.received().len()), (0, 0));
}

#[tokio::test]
async fn a19_a_request_may_bring_an_address_but_not_one_that_leads_inside() {
    let (web, model, inside) = (web().await, model().await, web().await);
    let options = Options::default().provider("anthropic", &model.base());
    let server = Parlor::start_with(options.env("PARLOR_EGRESS_ALLOW", &place(&web)));
    let flow = install(&server, &web.base(), json!({})).await;
    let asking = |url: String| json!({"question": "?", "overrideConfig": {"url": url}});

    server.ask(&flow, &asking(format!("{}/more", web.base()))).await.expect(200);
    assert!(system_of(&model.received()[0]).contains("nine to five"));

    let port = inside.base().rsplit(':').next().expect("a port").to_owned();
    for url in [
        inside.base(),
        format!("http://localhost:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://[::ffff:7f00:1]:{port}/"),
        format!("http://u:p@127.0.0.1:{port}/"),
        format!("{}/away", web.base()),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
    ] {
        let error = server.ask(&flow, &asking(url.clone())).await.expect_error(400);
        assert!(!error.contains("root:") && !error.contains("u:p"), "{url}: {error}");
    }
    assert_eq!((inside.received().len(), model.received().len()), (0, 1));
}

#[tokio::test]
async fn a_proxy_of_the_environment_serves_providers_and_never_pages() {
    // The proxy resolves names itself, so what passes it is not guarded.
    let (web, proxy) = (web().await, model().await);
    let options = Options::default().provider("anthropic", "http://model.test");
    let options = options.env("http_proxy", &proxy.base()).env("HTTP_PROXY", &proxy.base());
    let server = Parlor::start_with(options.env("PARLOR_EGRESS_ALLOW", &place(&web)));
    let flow = install(&server, &format!("{}/more", web.base()), json!({})).await;

    server.ask(&flow, &json!({"question": "?"})).await.expect(200);

    let passed: Vec<String> = proxy.received().into_iter().map(|request| request.path).collect();
    assert_eq!(passed, ["http://model.test/v1/messages"]);
    assert_eq!(web.received().len(), 1);
}
