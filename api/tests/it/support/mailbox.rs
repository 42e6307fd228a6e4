//! The mail hook of tests: an HTTP endpoint that checks signatures and keeps the mails.

use std::sync::{Arc, Mutex};

use cairn_core::config::{MailConfig, Secret};
use cairn_core::users::mail;
use poem::http::StatusCode;
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::Data;
use poem::{EndpointExt, Request, Route, Server, handler, post};
use serde_json::Value;

const SECRET: &str = "dGhlIG1haWwgaG9vayBvZiB0ZXN0cywgZ3VhcmRzIG5vdGhpbmc=";

/// A hook that runs until the test ends.
#[derive(Clone)]
pub(crate) struct Mailbox {
    /// The configuration that names it.
    pub(crate) config: MailConfig,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    mails: Vec<Value>,
    /// How many requests are still to be answered with 503, although the mail is kept.
    failures: usize,
}

impl Mailbox {
    pub(crate) async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
        let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let route = Route::new().at("/hook", post(receive)).data(Arc::clone(&state));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(route));
        let url = format!("http://{address}/hook").parse().unwrap();
        Self { config: MailConfig { url, secret: Secret::new(SECRET) }, state }
    }

    /// What has arrived since the last call.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.state.lock().unwrap().mails)
    }

    /// Answers the next request with a failure.
    pub(crate) fn fail_once(&self) {
        self.state.lock().unwrap().failures = 1;
    }
}

#[handler]
#[expect(clippy::needless_pass_by_value, reason = "extractors are values")]
fn receive(request: &Request, body: String, state: Data<&Arc<Mutex<State>>>) -> StatusCode {
    let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let content = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    if header("webhook-signature") != mail::sign(&Secret::new(SECRET), &content).unwrap() {
        return StatusCode::UNAUTHORIZED;
    }
    let mut state = state.lock().unwrap();
    state.mails.push(serde_json::from_str(&body).unwrap());
    if state.failures > 0 {
        state.failures -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    StatusCode::OK
}
