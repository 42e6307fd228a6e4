//! A real browser: Chromium, controlled over `WebDriver`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::eventually;

/// A browser and its driver. Dropping it ends both.
pub struct Browser {
    driver: Child,
    session: String,
    http: Client,
    profile: TempDir,
}

impl Browser {
    /// `None` if this machine has no browser, which is an error only on CI.
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
    pub async fn start() -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().timeout(Duration::from_mins(2)).build().unwrap();
        let profile = TempDir::new().unwrap();
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
                eprintln!("no page was tested: {missing}");
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
        let plain = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--window-size=1280,1400",
            &profile,
        ];
        let arguments = [&plain[..], &quiet[..]].concat();
        let options = json!({"goog:chromeOptions": {"args": arguments}});
        let session = browser.call(Method::POST, "/session", json!({"capabilities": {"alwaysMatch": options}})).await;
        browser.session = format!("{base}/session/{}", session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// Opens a page and waits until it shows all of the texts.
    pub async fn shows(&self, url: &str, texts: &[&str]) {
        self.open(url).await;
        self.comes_to_show(texts).await;
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.call(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// Waits until the open page shows all of the texts.
    pub async fn comes_to_show(&self, texts: &[&str]) {
        eventually(&format!("the page shows {texts:?}"), async || {
            let shown = self.run("return document.body.innerText", json!([])).await;
            texts.iter().all(|text| shown.as_str().unwrap_or_default().contains(text))
        })
        .await;
    }

    /// Types into the element that the CSS selector finds.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.call(Method::POST, &format!("{element}/value"), json!({ "text": text })).await;
    }

    /// Clicks on the element that the CSS selector finds.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.call(Method::POST, &format!("{element}/click"), json!({})).await;
    }

    async fn element(&self, selector: &str) -> String {
        let how = json!({ "using": "css selector", "value": selector });
        let found = self.call(Method::POST, "/element", how).await;
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        format!("/element/{id}")
    }

    /// Runs a script in the page. Returns what it returns.
    pub async fn run(&self, script: &str, arguments: Value) -> Value {
        self.call(Method::POST, "/execute/sync", json!({ "script": script, "args": arguments })).await
    }

    /// Runs a script in the page and waits until it calls its last argument. Returns what it calls it with.
    pub async fn run_async(&self, script: &str, arguments: Value) -> Value {
        self.call(Method::POST, "/execute/async", json!({ "script": script, "args": arguments })).await
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.session)).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    /// Ends the browser, also if a test failed: its driver alone would leave it running.
    fn drop(&mut self) {
        let path = self.session.trim_start_matches("http://");
        if let Some((address, path)) = path.split_once('/')
            && let Ok(mut connection) = TcpStream::connect(address)
        {
            let request = format!("DELETE /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            let _ = connection.write_all(request.as_bytes());
            let _ = connection.read(&mut [0; 1]);
        }
        let _ = Command::new("kill").args(["-TERM", &self.driver.id().to_string()]).status();
        let _ = self.driver.wait();
    }
}
