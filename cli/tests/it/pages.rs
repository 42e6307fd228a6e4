//! The pages that the API serves, in a real browser and with the demo accounts.

use std::collections::BTreeSet;

use cairn_testing::browser::Browser;
use reqwest::Client;
use serde_json::{Value, json};

use crate::dev::Dev;
use crate::support::Sandbox;

const CALL: &str = include_str!("pages.js");

#[tokio::test(flavor = "multi_thread")]
async fn a_person_finds_everything_and_calls_operations_in_the_browser() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let http = Client::builder().no_proxy().build().unwrap();

    browser.shows(&format!("{}/", dev.url), &["Cairn API", "Try it out", "Reference"]).await;
    let links = browser.run("return [...document.links].map((link) => link.href)", json!([])).await;
    let links: BTreeSet<&str> = links.as_array().unwrap().iter().map(|link| link.as_str().unwrap()).collect();
    assert!(links.len() >= 6, "{links:?}");
    for link in links {
        assert!(link.starts_with(&dev.url), "{link} leads elsewhere");
        assert_eq!(http.get(link).send().await.unwrap().status(), 200, "{link}");
    }
    browser.shows(&format!("{}/reference", dev.url), &["LEARNERS", "OPERATORS", "Register an account"]).await;

    browser.shows(&format!("{}/docs", dev.url), &["Sign in", "Roadmaps of stages of lessons"]).await;
    let document = http.get(format!("{}/openapi.json", dev.url)).send().await.unwrap().text().await.unwrap();
    let page = SwaggerUi { browser: &browser, document: serde_json::from_str(&document).unwrap() };
    let called = page.call("getMe", json!({})).await;
    assert_eq!(called.0, 401, "nobody is signed in yet");
    browser.fill("input[name=email]", "admin@demo.test").await;
    browser.fill("input[name=password]", "wrong-password").await;
    browser.click("#sign-in button").await;
    browser.comes_to_show(&["password"]).await;
    sign_in(&browser, "admin@demo.test").await;
    browser.open(&format!("{}/docs", dev.url)).await;
    browser.comes_to_show(&["You are signed in.", "Sign out"]).await;

    // The admin may call every list. What the page fills in must be right as it stands.
    let lists = page.lists();
    assert!(lists.len() > 25, "{lists:?}");
    for id in lists {
        let (status, body) = page.call(&id, json!({})).await;
        assert_eq!(status, 200, "{id}: {body}");
    }

    browser.click("#sign-out").await;
    sign_in(&browser, "learner@demo.test").await;
    for _ in 0..2 {
        let (status, body) = page.call("createProject", json!({})).await;
        assert_eq!(status, 201, "{body}");
    }
    let (status, body) = page.call("askTool", json!({ "tool_type": "assistant" })).await;
    assert_eq!(status, 202, "{body}");
    let asked: Value = serde_json::from_str(&body).unwrap();
    let reply = &asked["reply_id"];
    let (status, body) = page.call("streamReply", json!({ "reply_id": reply })).await;
    assert_eq!(status, 200, "{body}");
    let (_, whole) = page.call("getReply", json!({ "reply_id": reply })).await;
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(streamed_text(&body), whole["text"].as_str().unwrap(), "{body}");

    drop(browser);
    assert_eq!(dev.stop(), 0);
}

async fn sign_in(browser: &Browser, email: &str) {
    browser.run("document.getElementById('sign-in').reset()", json!([])).await;
    browser.fill("input[name=email]", email).await;
    browser.fill("input[name=password]", "cairn-demo-2026").await;
    browser.click("#sign-in button").await;
    browser.comes_to_show(&[&format!("Signed in as {email}.")]).await;
}

/// The open page, and the document that it shows.
struct SwaggerUi<'a> {
    browser: &'a Browser,
    document: Value,
}

impl SwaggerUi<'_> {
    /// Path, method and object of every operation.
    fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(|(method, operation)| (path.as_str(), method.as_str(), operation))
        })
    }

    /// Calls an operation with these parameters. Returns the status and the body.
    async fn call(&self, id: &str, parameters: Value) -> (u64, String) {
        let (path, method, operation) =
            self.operations().find(|(_, _, operation)| operation["operationId"] == id).unwrap();
        let arguments = json!([operation["tags"][0], id, path, method, parameters]);
        let called = self.browser.run_async(CALL, arguments).await;
        (called[0].as_u64().unwrap(), called[1].as_str().unwrap_or_default().to_owned())
    }

    /// The ids of the lists that need no parameters.
    fn lists(&self) -> Vec<String> {
        let lists = self.operations().filter(|(_, _, operation)| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters = parameters.map(|parameter| match parameter["$ref"].as_str() {
                Some(reference) => self.document.pointer(&reference[1..]).unwrap(),
                None => parameter,
            });
            let (is_paged, needs_id) = parameters.fold((false, false), |(is_paged, needs_id), parameter| {
                (is_paged || parameter["name"] == "cursor", needs_id || parameter["required"] == true)
            });
            is_paged && !needs_id
        });
        lists.map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned()).collect()
    }
}

/// The text of the reply in a stream as the page shows it.
fn streamed_text(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data:"));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok());
    events.filter_map(|event| (event["type"] == "chunk").then(|| event["text"].as_str().unwrap().to_owned())).collect()
}
