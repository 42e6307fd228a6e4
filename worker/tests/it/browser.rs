//! Tests the board in a real browser: Chromium, controlled over `WebDriver`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Harness, http_client};
use cairn_testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_renders_the_board() {
    let Some(browser) = Browser::start().await else { return };
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    harness.enqueue_events(2).await;
    let dead = harness.insert_raw("likes", b"garbage").await;
    eventually("the jobs have run", async || {
        harness.count("activity", "Done").await == 2 && harness.count("likes", "Killed").await == 1
    })
    .await;
    let done: String = sqlx::query_scalar("SELECT min(id) FROM apalis.jobs WHERE job_type = 'activity'")
        .fetch_one(harness.pool())
        .await
        .unwrap();

    browser.shows(&ops.url("/"), &["Killed Jobs\n1", "Done Jobs\n", "progress-bulk", "maintenance", "Healthy"]).await;
    browser.shows(&ops.url("/queues/likes"), &["likes", "Last Heartbeat", "likes-", "just now"]).await;
    browser.shows(&ops.url("/queues/activity/Done"), &[&done, "Done"]).await;
    browser.shows(&ops.url("/tasks/Killed"), &[&dead, "likes"]).await;
    let job = ops.url(&format!("/queues/likes/tasks/{dead}"));
    browser.shows(&job, &[&dead, "Killed", "\"unreadable\": \"garbage\"", "the payload cannot be read"]).await;
    browser.close().await;
    worker.stop().await;
}

/// A browser and its driver. Dropping it ends both.
struct Browser {
    driver: Child,
    session: String,
    http: Client,
    profile: TempDir,
}

impl Browser {
    /// `None` if this machine has no browser, which is an error only on CI.
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
    async fn start() -> Option<Self> {
        let (http, profile) = (http_client(), TempDir::new().unwrap());
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = match command.spawn() {
            Ok(driver) => driver,
            Err(error) => {
                let missing = format!(
                    "chromedriver cannot be started ({error}): install Chromium and its driver, on Debian \
                     `apt-get install chromium chromium-driver`"
                );
                assert!(std::env::var_os("CI").is_none(), "{missing}");
                eprintln!("the board was not tested: {missing}");
                return None;
            }
        };
        let base = format!("http://127.0.0.1:{port}");
        let mut browser = Self { driver, session: base.clone(), http, profile };
        eventually("the driver is ready", async || {
            let answer = browser.http.get(format!("{base}/status")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        let profile = format!("--user-data-dir={}", browser.profile.path().display());
        let quiet =
            ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
        let plain =
            ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", &profile];
        let arguments = [&plain[..], &quiet[..]].concat();
        let options = json!({"goog:chromeOptions": {"args": arguments}});
        let session = browser.call(Method::POST, "/session", json!({"capabilities": {"alwaysMatch": options}})).await;
        browser.session = format!("{base}/session/{}", session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// Opens a page and waits until it shows all of the texts.
    async fn shows(&self, url: &str, texts: &[&str]) {
        self.call(Method::POST, "/url", json!({ "url": url })).await;
        let mut shown = String::new();
        eventually(&format!("{url} shows {texts:?}"), async || {
            let script = json!({"script": "return document.body.innerText", "args": []});
            self.call(Method::POST, "/execute/sync", script).await.as_str().unwrap_or_default().clone_into(&mut shown);
            texts.iter().all(|text| shown.contains(text))
        })
        .await;
    }

    async fn close(self) {
        self.call(Method::DELETE, "", json!({})).await;
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.session)).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Terminated rather than killed, so that it can end the browser.
        let _ = Command::new("kill").args(["-TERM", &self.driver.id().to_string()]).status();
        let _ = self.driver.wait();
    }
}
