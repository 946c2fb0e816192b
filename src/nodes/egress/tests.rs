use std::time::Duration;

use tokio::net::TcpListener;

use super::test_web::{Names, Page, TestWeb, guarded, html, moved, whole};
use super::*;
use crate::ctx::TurnCtx;

/// A limit, and no guess at a duration.
const PATIENCE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { bytes: 64 << 10, time: Duration::from_secs(20) };

fn closed() -> TurnCtx {
    guarded(Guard::closed())
}

async fn refusal(address: &str, ctx: &TurnCtx) -> String {
    match fetch(address, &LIMITS, ctx).await {
        Err(FetchError::Refused(problem)) => problem,
        other => panic!("{address}: {other:?}"),
    }
}

#[tokio::test]
async fn an_address_that_leads_inside_is_refused_however_it_is_written() {
    let web = TestWeb::serving(|_| html("secret")).await;
    let port = web.port();
    let ctx = closed();
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7F.1",
        "017700000001",
        "0177.0.0.1",
        "0177.0.0x1",
        "127.0.0.1.",
        "127.000.000.001",
        "１２７.０.０.１",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "lo%63alhost",
        "a.localhost",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[100::1]",
        "10.0.0.1",
        "167772161",
        "012.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "0xac.0x10.0.1",
        "192.168.1.1",
        "192.168.257",
        "3232235777",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "4294967295",
    ] {
        let problem = refusal(&format!("http://{host}:{port}/"), &ctx).await;
        assert!(
            problem.starts_with("leads into a private or reserved network"),
            "{host}: {problem}"
        );
        assert!(!problem.contains("127."), "{problem}");
    }
    assert_eq!(web.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn only_plain_addresses_of_the_web_are_fetched() {
    let ctx = closed();
    for (address, problem) in [
        ("file:///etc/passwd", "must begin with http"),
        ("ftp://example.com/", "must begin with http"),
        ("gopher://127.0.0.1:6379/_INFO", "must begin with http"),
        ("data:text/html,hi", "must begin with http"),
        ("javascript:alert(1)", "must begin with http"),
        ("blob:https://example.com/1", "must begin with http"),
        ("unix:/var/run/docker.sock", "must begin with http"),
        ("example.com", "must begin with http"),
        ("/relative", "must begin with http"),
        ("", "must begin with http"),
        ("http://user@example.com/", "must not hold a user name"),
        ("http://user:password@example.com/", "must not hold a user name"),
        ("http://:password@example.com/", "must not hold a user name"),
        ("http://example.com@127.0.0.1/", "must not hold a user name"),
        ("http://127.0.0.1\\@example.com/", "leads into a private"),
        ("http:127.0.0.1", "leads into a private"),
        ("http:////127.0.0.1/", "leads into a private"),
        ("ht\ntp://127.0.0.1/", "leads into a private"),
        (" http://127.0.0.1/ ", "leads into a private"),
        ("http://", "is no valid address"),
        ("http://256.256.256.256/", "is no valid address"),
        ("http://0x7f.0.0.0.1/", "is no valid address"),
        ("http://1.2.3.4.5/", "is no valid address"),
        ("http://[::1/", "is no valid address"),
        ("http://[fe80::1%25eth0]/", "is no valid address"),
        ("http://a b/", "is no valid address"),
        ("http://exa%00mple.com/", "is no valid address"),
        ("http://example.com:99999/", "is no valid address"),
    ] {
        let found = refusal(address, &ctx).await;
        assert!(found.starts_with(problem), "{address}: {found}");
    }
    let long = format!("http://example.com/{}", "a".repeat(5000));
    assert_eq!(refusal(&long, &ctx).await, "is too long");
}

#[tokio::test]
async fn a_name_is_refused_when_one_of_its_addresses_is_not_public() {
    let names = Names::default()
        .with("inside.test", &["10.1.2.3"])
        .with("both.test", &["93.184.216.34 127.0.0.1"])
        .with("mapped.test", &["::ffff:169.254.169.254"])
        .with("six.test", &["2606:4700::1111 fd00::1"]);
    let ctx = guarded(names.guard(""));
    for name in ["inside.test", "both.test", "mapped.test", "six.test"] {
        let problem = refusal(&format!("http://{name}/a?token=t"), &ctx).await;

        let expected = "leads into a private or reserved network; \
                        the operator can open it (--egress-allow)";
        assert_eq!(problem, expected);
        assert_eq!(names.n_asked(name), 1);
    }
}

/// A port that is free at 127.0.0.2 may be another test's at 127.0.0.1.
async fn one_port_of_two_addresses() -> (TcpListener, TcpListener) {
    for _ in 0..100 {
        let outside = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = outside.local_addr().unwrap().port();
        if let Ok(inside) = TcpListener::bind(("127.0.0.1", port)).await {
            return (outside, inside);
        }
    }
    panic!("no port is free at both addresses");
}

#[tokio::test]
async fn a_name_that_turns_inward_after_its_check_leads_nowhere() {
    // 127.0.0.2 plays the public server, by an opened network of one address.
    let (outside, inside) = one_port_of_two_addresses().await;
    let outside = TestWeb::on(outside, |_| html("public"));
    let port = outside.port();
    let inside = TestWeb::on(inside, |_| html("secret"));
    let names = Names::default().with("rebind.test", &["127.0.0.2", "127.0.0.1"]);
    let ctx = guarded(names.guard("127.0.0.2/32"));
    let address = format!("http://rebind.test:{port}/");

    let first = fetch(&address, &LIMITS, &ctx).await.unwrap();
    assert_eq!((&first.bytes[..], names.n_asked("rebind.test")), (&b"public"[..], 1));

    let problem = refusal(&address, &ctx).await;
    assert!(problem.starts_with("leads into a private"), "{problem}");
    assert_eq!((names.n_asked("rebind.test"), inside.heads().len()), (2, 0));
}

#[tokio::test]
async fn what_the_operator_opens_is_fetched_and_its_neighbours_are_not() {
    let web = TestWeb::serving(|_| html("wiki")).await;
    let port = web.port();
    let names = Names::default()
        .with("wiki.corp", &["127.0.0.1"])
        .with("other.corp", &["127.0.0.1"])
        .with("public.test", &["127.0.0.1"]);
    for (opened, address, is_open) in [
        ("wiki.corp".to_owned(), "wiki.corp", true),
        (format!("wiki.corp:{port}"), "wiki.corp", true),
        (format!("wiki.corp:{}", port ^ 1), "wiki.corp", false),
        ("wiki.corp".to_owned(), "other.corp", false),
        ("127.0.0.0/8".to_owned(), "other.corp", true),
        ("127.0.0.1".to_owned(), "127.0.0.1", true),
        (format!("127.0.0.1:{port}"), "127.0.0.1", true),
        (format!("127.0.0.1:{port}"), "public.test", false),
    ] {
        let ctx = guarded(names.guard(&opened));

        let fetched = fetch(&format!("http://{address}:{port}/"), &LIMITS, &ctx).await;

        assert_eq!(fetched.is_ok(), is_open, "{opened} {address}: {fetched:?}");
    }
}

#[tokio::test]
async fn five_redirects_are_followed_and_the_last_address_is_told() {
    let web = TestWeb::serving(|path| match path {
        "/a/5" => html("arrived"),
        "/" => moved("a/1?b=c#d"),
        path => {
            let n = path.trim_start_matches("/a/").split('?').next().unwrap();
            moved(&format!("./{}", n.parse::<u8>().unwrap() + 1))
        }
    });
    let web = web.await;

    let fetched = fetch(&web.url("/"), &LIMITS, &web.ctx()).await.unwrap();

    assert_eq!((&fetched.bytes[..], fetched.url.as_str()), (&b"arrived"[..], &*web.url("/a/5")));
    assert_eq!(web.paths(), ["/", "/a/1?b=c", "/a/2", "/a/3", "/a/4", "/a/5"]);
}

#[tokio::test]
async fn a_redirect_to_a_refused_address_is_not_followed() {
    let inside = TestWeb::serving(|_| html("secret")).await;
    let port = inside.port();
    for location in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("//0x7f.1:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1:6379/".to_owned(),
        "http://user:password@example.com/".to_owned(),
    ] {
        let target = location.clone();
        let web = TestWeb::serving(move |_| moved(&target)).await;

        let problem = refusal(&web.url("/"), &web.ctx()).await;

        assert!(problem.starts_with("redirects to an address that "), "{location}: {problem}");
    }
    assert_eq!(inside.heads().len(), 0);
}

#[tokio::test]
async fn redirects_without_an_end_are_given_up() {
    let web = TestWeb::serving(|_| moved("/again")).await;

    let error = fetch(&web.url("/"), &LIMITS, &web.ctx()).await.unwrap_err();

    assert_eq!(error.problem(), "redirects more than 5 times");
    assert_eq!(web.heads().len(), 6);
}

#[tokio::test]
async fn a_redirect_tells_nobody_where_it_came_from() {
    let other = TestWeb::serving(|_| html("other")).await;
    let elsewhere = other.url("/other");
    let web = TestWeb::serving(move |_| moved(&elsewhere)).await;
    let opened = format!("127.0.0.1:{},127.0.0.1:{}", web.port(), other.port());
    let ctx = guarded(Guard::new(opened.parse().unwrap()));

    fetch(&web.url("/"), &LIMITS, &ctx).await.unwrap();

    let head = other.heads()[0].to_lowercase();
    assert!(!head.contains("referer") && head.contains("user-agent: parlor/"), "{head}");
}

#[tokio::test]
async fn answers_that_are_too_much_are_given_up() {
    let flood = |n_headers: usize| {
        let headers: String = (0..n_headers).map(|n| format!("x-{n}: y\r\n")).collect();
        whole("200 OK", &headers, "")
    };
    let web = TestWeb::serving(move |path| match path {
        "/endless" => Page::Endless(&[b'x'; 8192]),
        "/announced" => whole("200 OK", "", vec![b'x'; (64 << 10) + 1]),
        "/headers" => flood(5_000),
        "/bomb" => whole("200 OK", "content-encoding: gzip\r\n", [0x1f, 0x8b, 8, 0]),
        "/cut" => Page::Whole(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok".to_vec()),
        _ => Page::Whole(Vec::new()),
    });
    let web = web.await;
    for (path, problem) in [
        ("/endless", "sent more than 64 KiB"),
        ("/announced", "sent more than 64 KiB"),
        ("/headers", "broke off before it answered"),
        ("/bomb", "sent a compressed answer, unasked"),
        ("/cut", "broke off in the middle of its answer"),
        ("/nothing", "broke off before it answered"),
    ] {
        let error = fetch(&web.url(path), &LIMITS, &web.ctx()).await.unwrap_err();
        assert_eq!(error.problem(), problem, "{path}");
    }
    assert!(web.heads()[0].to_lowercase().contains("accept-encoding: identity"));
}

#[tokio::test]
async fn who_answers_too_slowly_is_not_awaited() {
    let web = TestWeb::serving(|path| match path {
        "/drip" => Page::Drip,
        "/redirects" => Page::Whole(b"HTTP/1.1 302 Found\r\nlocation: /silent\r\n\r\n".to_vec()),
        _ => Page::Silence,
    });
    let web = web.await;
    let limits = Limits { bytes: 1 << 30, time: Duration::from_millis(100) };
    for path in ["/drip", "/silent", "/redirects"] {
        let error = fetch(&web.url(path), &limits, &web.ctx()).await.unwrap_err();
        assert_eq!(error, FetchError::Timeout(1), "{path}");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_fetch() {
    let web = TestWeb::serving(|_| Page::Silence).await;
    let ctx = web.ctx();
    let cancel = ctx.cancel.clone();
    let leave = async {
        while web.heads().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let url = web.url("/");

    let both = async { tokio::join!(fetch(&url, &LIMITS, &ctx), leave) };
    let (fetched, ()) = tokio::time::timeout(PATIENCE, both).await.expect("a request, and its end");

    assert_eq!(fetched.unwrap_err(), FetchError::Cancelled);
}

#[tokio::test]
async fn an_answer_tells_its_type_its_charset_and_its_status() {
    let web = TestWeb::serving(|_| {
        whole("404 Not Found", "content-type: Text/HTML ; x=y; Charset=\"ISO-8859-1\"\r\n", "gone")
    });
    let web = web.await;

    let fetched = fetch(&web.url("/x"), &LIMITS, &web.ctx()).await.unwrap();

    assert_eq!((fetched.status, fetched.mime.as_str()), (404, "text/html"));
    assert_eq!(fetched.charset.as_deref(), Some("ISO-8859-1"));
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    for (address, expected) in [
        ("https://u:p@example.com:8443/a/b?token=t#f", "https://example.com:8443/a/b"),
        ("http://example.com", "http://example.com/"),
        ("http:u:p@example.com/a", "http://example.com/a"),
        ("http://u:p@example.com:99999/", "the given address"),
        ("u:p@example.com/", "the given address"),
        ("ftp://u:p@example.com/", "the given address"),
        ("nonsense", "the given address"),
    ] {
        assert_eq!(shown(address), expected);
    }
}
