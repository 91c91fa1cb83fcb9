//! Where requests do not go, and what definitions may not put into them.

use segno::activity::policy::metadata::SERVICES;
use segno::activity::policy::{Policy, Profile};
use serde_json::{Value, json};

use super::server::Server;
use super::{context, http, run, run_with, told};

#[tokio::test]
async fn a_refused_address_is_refused_however_it_is_written() {
    let server = Server::start().await;
    let port = server.port();
    let this_machine = http(&[], &["127.0.0.0/8", "::1"]);
    let everything = http(&[], &["*"]);
    for host in [
        "127.0.0.1",
        "127.1",
        "0.0.0.0",
        "0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "2130706433",
        "0x7f.0.0.1",
        "0177.1",
        "localhost",
    ] {
        for http in [&this_machine, &everything] {
            let request = json!({ "url": format!("http://{host}:{port}/") });
            let failure = run_with(http, context("http"), request).await.unwrap_err();
            assert_eq!(told(&failure).0, "HttpPolicy", "{host}: {failure:?}");
        }
    }
    assert!(server.lines().is_empty(), "{:?}", server.lines());
}

#[tokio::test]
async fn methods_and_headers_that_are_the_workers_are_refused() {
    let server = Server::start().await;
    let with = |rest: Value| {
        let mut request = json!({ "url": server.url("/") });
        let rest = rest.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(rest);
        request
    };
    let mut requests = vec![
        with(json!({ "method": "CONNECT" })),
        with(json!({ "method": "trace" })),
        with(json!({ "secrets": { "headers": { "Host": "TOKEN" } } })),
    ];
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "CONNECTION",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "http2-settings",
    ] {
        requests.push(with(json!({ "headers": { name: "1" } })));
    }
    for request in requests {
        let failure = run(request.clone()).await.unwrap_err();
        assert_eq!(told(&failure).0, "HttpRequest", "{request}");
        assert!(!told(&failure).1, "{request}: it would be retried");
    }
    assert!(server.lines().is_empty(), "{:?}", server.lines());
}

#[tokio::test]
async fn the_strict_profile_holds_for_requests_and_redirects() {
    let server = Server::start().await;
    let policy = |allow: &[&str]| {
        let allow: Vec<_> = allow.iter().map(|p| (*p).to_owned()).collect();
        Policy::new(&allow, &[])
            .unwrap()
            .with_profile(Profile::Strict)
    };
    let judged = |policy: Policy| {
        let secrets = segno::activity::secret::Secrets::default();
        segno::activity::http::Http::new(policy.into(), secrets).unwrap()
    };
    let plain = json!({ "url": server.url("/") });
    let unnamed = json!({ "url": "https://203.0.113.7/" });
    for (http, request, why) in [
        (judged(policy(&["127.0.0.1"])), plain, "by https alone"),
        (judged(policy(&[])), unnamed, "not on the public internet"),
        (
            judged(policy(&["localhost"])),
            json!({ "url": format!("https://localhost:{}/", server.port()) }),
            "not on the public internet",
        ),
    ] {
        let failure = run_with(&http, context("http"), request).await.unwrap_err();
        assert_eq!(told(&failure).0, "HttpPolicy", "{failure:?}");
        assert!(failure.message.contains(why), "{}", failure.message);
    }
    assert!(server.lines().is_empty());
}

#[test]
fn the_documentation_lists_every_metadata_service_with_its_source() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/steps/http.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut table = String::from("| service | at | by |\n|---|---|---|\n");
    for service in &SERVICES {
        let places = service.networks.iter().chain(service.names);
        let places: Vec<_> = places.map(|place| format!("`{place}`")).collect();
        let sources: Vec<_> = service
            .source
            .split(", ")
            .map(|s| format!("<{s}>"))
            .collect();
        let line = format!(
            "| {} | {} | {} |\n",
            service.cloud,
            places.join(", "),
            sources.join(", ")
        );
        table += &line;
    }
    let (begin, end) = ("<!-- metadata services -->\n\n", "\n<!-- end -->");
    let start = text.find(begin).expect("the table's place") + begin.len();
    let stop = start + text[start..].find(end).expect("the table's end");
    if std::env::var_os("SEGNO_UPDATE").is_some() {
        let updated = format!("{}{table}{}", &text[..start], &text[stop..]);
        std::fs::write(&path, updated).unwrap();
        return;
    }
    assert_eq!(&text[start..stop], table, "SEGNO_UPDATE=1 writes it anew");
}
