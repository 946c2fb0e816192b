use serde_json::{Value, json};

use super::*;
use crate::egress::test_web::{Page, TestWeb, html, missing, moved, whole};
use crate::inputs::InputValue;
use crate::retrieval::Origin;
use crate::test_support::{self, TestTurn, build_error, inputs, json as tree, source};

/// A small site: pages that link to each other, a dead link, a file, a way out.
async fn site() -> TestWeb {
    TestWeb::serving(|path| match path {
        "/" => html(
            "<body>Home <a href='/a'>A</a> <a href='b/'>B</a> <a href='/a#x'>A</a> \
             <a href='/dead'>D</a> <a href='/paper.pdf'>P</a> <a href='/data'>J</a> \
             <a href='http://127.0.0.1:1/out'>O</a> <a href='mailto:x@y'>M</a> <a href='/away'>W</a>",
        ),
        "/a" => html("<body><a href='/'>Home</a> <a href='/a?page=2'>More</a> <a href='/c'>C</a>"),
        "/b/" => html("<body>Bee <a href='deep'>D</a> <a href='/moved'>M</a>"),
        "/b/deep" => html("<body>Deep"),
        "/c" => html("<body>Sea"),
        "/moved" => moved("/c"),
        "/away" => moved("http://127.0.0.1:1/out"),
        "/data" => whole("200 OK", "content-type: application/json\r\n", "{}"),
        "/latin" => whole("200 OK", "content-type: text/html; charset=iso-8859-1\r\n", b"caf\xe9"),
        "/text" => whole("200 OK", "content-type: text/plain\r\n", "just words"),
        "/report" => whole("200 OK", "content-type: application/pdf\r\n", "%PDF-1.7"),
        "/broken" => whole("500 Internal Server Error", "content-type: text/html\r\n", "oops"),
        "/cut" => Page::Whole(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok".to_vec()),
        "/inside" => moved("http://169.254.169.254/latest/meta-data/"),
        _ => missing(),
    })
    .await
}

type Given = Vec<(&'static str, InputValue)>;

fn given(web: &TestWeb, path: &str, more: Given) -> Inputs {
    let mut inputs = inputs([("url", source(&web.url(path)))]);
    inputs.values.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    inputs
}

async fn load(web: &TestWeb, inputs: &Inputs) -> Result<Loaded, NodeError> {
    let Instance::Loader(loader) = (SPEC.build)(inputs).unwrap() else { panic!("a loader") };
    loader.load(&web.ctx()).await
}

/// The sources without the server's address, with their texts, and the failures.
fn shown(web: &TestWeb, loaded: &Loaded) -> (Vec<(String, String)>, Vec<String>) {
    let documents = loaded.documents.iter().map(|document| {
        let source = document.metadata["source"].as_str().unwrap();
        (source.replace(&web.url(""), ""), document.page_content.clone())
    });
    let failures = loaded
        .failures
        .iter()
        .map(|failure| format!("{} {}", failure.name.replace(&web.url(""), ""), failure.problem));
    (documents.collect(), failures.collect())
}

fn pair(source: &str, text: &str) -> (String, String) {
    (source.to_owned(), text.to_owned())
}

#[tokio::test]
async fn one_page_is_one_document_with_its_address_as_source() {
    let web = site().await;
    let more = vec![("metadata", tree(json!({"team": "x"})))];

    let loaded = load(&web, &given(&web, "/b/", more)).await.unwrap();

    let expected = json!([{
        "pageContent": "Bee D M",
        "metadata": {"source": web.url("/b/"), "team": "x"},
    }]);
    assert_eq!(serde_json::to_value(&loaded.documents).unwrap(), expected);
    assert_eq!((loaded.n_files, loaded.failures.len()), (1, 0));
    assert_eq!(web.paths(), ["/b/"]);
}

#[tokio::test]
async fn a_selector_picks_what_is_taken() {
    let web = site().await;
    let more = vec![("selector", source("a[href^='/a'], a[href='b/']"))];

    let loaded = load(&web, &given(&web, "/", more)).await.unwrap();

    assert_eq!(shown(&web, &loaded).0, [pair("/", "ABAW")]);
}

#[tokio::test]
async fn plain_text_and_old_charsets_are_read() {
    let web = site().await;
    let links = json!([web.url("/latin"), web.url("/text"), web.url("/latin")]);

    let loaded = load(&web, &given(&web, "/", vec![("selectedLinks", tree(links))])).await.unwrap();

    assert_eq!(shown(&web, &loaded).0, [pair("/latin", "café"), pair("/text", "just words")]);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_by_its_address() {
    let web = site().await;
    for (path, expected) in [
        ("/dead?token=t", "/dead answered 404"),
        ("/broken", "/broken answered 500"),
        ("/report", "/report is no web page but application/pdf"),
        ("/data", "/data is no web page but application/json"),
        ("/cut", "/cut broke off in the middle of its answer"),
        (
            "/inside",
            "/inside redirects to an address that leads into a private or reserved network; \
             the operator can open it (--egress-allow)",
        ),
    ] {
        let loaded = load(&web, &given(&web, path, Vec::new())).await.unwrap();

        assert_eq!(shown(&web, &loaded), (Vec::new(), vec![expected.to_owned()]));
        assert!(loaded.whole().unwrap_err().to_string().ends_with(expected));
    }
}

#[tokio::test]
async fn an_address_that_is_not_opened_is_refused_and_never_asked() {
    let web = site().await;
    let Instance::Loader(loader) = (SPEC.build)(&given(&web, "/", Vec::new())).unwrap() else {
        panic!("a loader")
    };

    let loaded = loader.load(&TestTurn::asking("").ctx()).await.unwrap();

    let problem = &loaded.failures[0].problem;
    assert!(problem.starts_with("leads into a private or reserved network"), "{problem}");
    assert_eq!(web.heads().len(), 0);
}

#[tokio::test]
async fn a_crawl_takes_each_page_of_the_site_once_breadth_first() {
    let web = site().await;
    let more = vec![("relativeLinksMethod", source("webCrawl")), ("limit", source("0"))];

    let loaded = load(&web, &given(&web, "/", more)).await.unwrap();

    let (documents, failures) = shown(&web, &loaded);
    let expected = [
        pair("", "Home A B A D P J O M W"),
        pair("/a", "Home More C"),
        pair("/b", "Bee D M"),
        pair("/c", "Sea"),
        pair("/b/deep", "Deep"),
    ];
    assert_eq!(documents, expected);
    let refused = "/away redirects to an address that leads into a private or reserved network; \
                   the operator can open it (--egress-allow)";
    assert_eq!(failures, ["/dead answered 404", refused]);
    let asked = ["/", "/a", "/away", "/b/", "/b/deep", "/c", "/data", "/dead", "/moved"];
    let mut asked = asked.map(str::to_owned).to_vec();
    asked.extend(["/c".to_owned(), "/robots.txt".to_owned()]);
    asked.sort();
    assert_eq!(web.paths(), asked);
}

#[tokio::test]
async fn a_turn_goes_on_without_the_dead_links_of_a_site_but_not_without_the_only_page() {
    let web = site().await;
    for (path, method, n_pages) in [
        ("/", "webCrawl", Some(5)),
        ("/dead", "webCrawl", None),
        ("/dead", "", None),
        ("/", "", Some(1)),
    ] {
        let inputs = given(&web, path, vec![("relativeLinksMethod", source(method))]);
        let Instance::Loader(loader) = (SPEC.build)(&inputs).unwrap() else { panic!("a loader") };

        assert_eq!(loader.takes_what_it_finds(), !method.is_empty());
        let documents = loader.load(&web.ctx()).await.unwrap().readable();

        assert_eq!(documents.ok().map(|documents| documents.len()), n_pages, "{path} {method}");
    }
}

#[tokio::test]
async fn a_crawl_ends_at_its_limit() {
    let web = site().await;
    for (limit, n_pages) in [("1", 1), ("2", 2), ("3", 3), ("", 5)] {
        let method = ("relativeLinksMethod", source("webCrawl"));
        let more = vec![method, ("limit", source(limit))];

        let loaded = load(&web, &given(&web, "/", more)).await.unwrap();

        assert_eq!(loaded.documents.len(), n_pages, "{limit}");
    }
}

#[tokio::test]
async fn a_site_without_an_end_is_crawled_to_the_default_limit() {
    let web = TestWeb::serving(|path| {
        let n: usize = path.trim_start_matches('/').parse().unwrap_or(0);
        html(&format!("<a href='/{}'>next</a><a href='/{}'>far</a>", 2 * n + 1, 2 * n + 2))
    });
    let web = web.await;
    let more = vec![("relativeLinksMethod", source("webCrawl"))];

    let loaded = load(&web, &given(&web, "/0", more)).await.unwrap();

    assert_eq!(loaded.documents.len(), 10);
    assert_eq!(web.heads().len(), 11, "one of them for robots.txt");
}

#[tokio::test]
async fn robots_txt_closes_found_links_but_not_what_the_author_wrote() {
    let web = TestWeb::serving(|path| match path {
        "/robots.txt" => {
            whole("200 OK", "content-type: text/plain\r\n", "User-agent: *\nDisallow: /private")
        }
        "/private" => html("<a href='/private/more'>m</a><a href='/open'>o</a>"),
        _ => html("open"),
    });
    let web = web.await;
    let more = vec![("relativeLinksMethod", source("webCrawl"))];

    let loaded = load(&web, &given(&web, "/private", more)).await.unwrap();

    assert_eq!(shown(&web, &loaded).0, [pair("/private", "mo"), pair("/open", "open")]);
    assert_eq!(web.paths(), ["/open", "/private", "/robots.txt"]);
}

#[tokio::test]
async fn a_robots_txt_that_cannot_be_had_closes_the_crawl_and_says_so() {
    let web = TestWeb::serving(|path| match path {
        "/robots.txt" => whole("503 Service Unavailable", "", ""),
        _ => html("<a href='/a'>a</a>"),
    });
    let web = web.await;
    let more = vec![("relativeLinksMethod", source("webCrawl"))];

    let loaded = load(&web, &given(&web, "/", more)).await.unwrap();

    let told = "/robots.txt answered 503, so no link was followed".to_owned();
    assert_eq!(shown(&web, &loaded), (vec![pair("", "a")], vec![told]));
}

async fn sitemaps() -> TestWeb {
    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let known = port.clone();
    let web = TestWeb::serving(move |path| {
        let base = format!("http://127.0.0.1:{}", known.get().copied().unwrap_or(0_u16));
        let xml = |body: String| whole("200 OK", "content-type: application/xml\r\n", body);
        let url = |path: &str| format!("<url><loc>{base}{path}</loc></url>");
        let inner = |path: &str| format!("<sitemap><loc>{base}{path}</loc></sitemap>");
        match path {
            "/sitemap.xml" => xml(format!(
                "<urlset>{}{}{}{}</urlset>",
                url("/1"),
                url("/2"),
                url("/1"),
                url("/9")
            )),
            "/index.xml" => {
                let inner = inner("/sitemap.xml") + &inner("/lost.xml");
                xml(format!("<sitemapindex>{inner}</sitemapindex>"))
            }
            "/empty.xml" => xml("<urlset/>".to_owned()),
            "/1" | "/2" => html(&format!("page {path}")),
            _ => missing(),
        }
    });
    let web = web.await;
    port.set(web.port()).unwrap();
    web
}

#[tokio::test]
async fn the_pages_of_a_sitemap_are_loaded_also_through_an_index() {
    let web = sitemaps().await;
    let both = [pair("/1", "page /1"), pair("/2", "page /2")];
    for (path, limit, n_pages, failures) in [
        ("/sitemap.xml", "", 2, vec!["/9 answered 404"]),
        ("/sitemap.xml", "1", 1, vec![]),
        ("/sitemap.xml", "0", 2, vec!["/9 answered 404"]),
        ("/index.xml", "", 2, vec!["/lost.xml answered 404", "/9 answered 404"]),
        ("/1", "", 0, vec!["/1 is no sitemap in XML"]),
        ("/none.xml", "", 0, vec!["/none.xml answered 404"]),
    ] {
        let method = ("relativeLinksMethod", source("scrapeXMLSitemap"));
        let more = vec![method, ("limit", source(limit))];

        let loaded = load(&web, &given(&web, path, more)).await.unwrap();

        let (documents, told) = shown(&web, &loaded);
        assert_eq!((documents.as_slice(), told), (&both[..n_pages], own(failures)), "{path}");
    }
}

fn own(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_sitemap_without_pages_is_an_error() {
    let web = sitemaps().await;
    let more = vec![("relativeLinksMethod", source("scrapeXMLSitemap"))];

    let error = load(&web, &given(&web, "/empty.xml", more)).await.unwrap_err();

    assert_eq!(error.to_string(), "Test node (test_0): the sitemap at url lists no page");
}

#[tokio::test]
async fn selected_links_are_read_in_place_of_the_address_up_to_a_given_limit() {
    let web = site().await;
    let links = || tree(json!([web.url("/b/deep"), web.url("/c"), web.url("/dead")]));
    for (limit, n_asked) in [("", 3), ("0", 3), ("2", 2)] {
        let before = web.heads().len();
        let more = vec![("selectedLinks", links()), ("limit", source(limit))];

        let loaded = load(&web, &given(&web, "/", more)).await.unwrap();

        assert_eq!(shown(&web, &loaded).0, [pair("/b/deep", "Deep"), pair("/c", "Sea")]);
        assert_eq!(web.heads().len() - before, n_asked, "{limit}");
    }
}

#[tokio::test]
async fn an_address_of_the_request_gives_documents_of_the_request() {
    let web = site().await;
    let saved = vec![("selectedLinks", tree(json!(["https://saved.test/a"])))];
    let mut inputs = given(&web, "/c", saved);
    inputs.is_overridden = true;

    let loaded = load(&web, &inputs).await.unwrap();

    let origin = Origin::Request(web.url("/c").into());
    assert_eq!(loaded.documents[0].origin, Some(origin));

    let loaded = load(&web, &given(&web, "/c", Vec::new())).await.unwrap();
    assert_eq!(loaded.documents[0].origin, Some(Origin::Chatflow("test_0".into())));
}

#[tokio::test]
async fn a_caller_who_left_gets_nothing() {
    let web = site().await;
    for method in ["", "webCrawl", "scrapeXMLSitemap"] {
        let inputs = given(&web, "/", vec![("relativeLinksMethod", source(method))]);
        let Instance::Loader(loader) = (SPEC.build)(&inputs).unwrap() else { panic!("a loader") };
        let ctx = web.ctx();
        ctx.cancel.cancel();

        let error = loader.load(&ctx).await.unwrap_err();

        assert!(matches!(error, NodeError::Cancelled), "{method}: {error}");
    }
}

#[test]
fn inputs_that_mean_nothing_are_refused_by_name() {
    for (name, value, problem) in [
        ("url", json!(""), "url is empty"),
        ("limit", json!("1001"), "limit must be at most 1000; 0 takes as many"),
        ("limit", json!("-1"), "limit must be a whole number"),
        ("selector", json!("p["), "selector is no CSS selector"),
        ("relativeLinksMethod", json!("all"), "relativeLinksMethod must be webCrawl"),
        ("selectedLinks", json!({"a": 1}), "selectedLinks must be a list"),
        ("selectedLinks", json!([1]), "selectedLinks must be a list"),
    ] {
        let value: Value = value;
        let url = ("url", source("https://a.test/"));
        let error = build_error(&SPEC, [url, (name, test_support::json(value))]);
        assert!(error.to_string().contains(problem), "{error}");
    }
}
