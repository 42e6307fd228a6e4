//! A scripted provider of AI answers: it implements the chat-completions format of OpenAI and of compatible servers over real
//! HTTP, together with their faults. Tests and benchmarks start it in their own process:
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use cairn_stub_provider::Stub;
//!
//! let stub = Stub::start().await?;
//! // Configure `stub.base_url()` and ask "stub:fault=429,times=1 What is a viewport?". The question names the script, see
//! // `Script`. Then check how often the provider was called.
//! assert_eq!(stub.calls("fault=429,times=1"), 2);
//! # Ok(())
//! # }
//! ```

mod answer;
mod asked;
mod demand;
mod dialect;
mod embeddings;
mod fault;
mod kept;
mod marked;
mod random;
mod recorded;
mod script;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::answer::{After, Told, play};
pub use crate::asked::Asked;
pub use crate::demand::Demand;
pub use crate::dialect::Dialect;
pub use crate::fault::Fault;
use crate::kept::Shelf;
pub use crate::marked::{Flaw, Marked, recognize};
pub use crate::random::{Case, Shown};
pub use crate::recorded::Recorded;
pub use crate::script::Script;
use crate::wire::{Connection, Request};

/// How many of the newest requests are kept.
const MAX_REQUESTS: usize = 200;

/// A running provider. Dropping it stops the provider.
pub struct Stub {
    addr: SocketAddr,
    seen: Arc<Seen>,
    server: AbortHandle,
}

/// What the provider has received.
#[derive(Default)]
struct Seen {
    calls: Mutex<HashMap<String, usize>>,
    requests: Mutex<VecDeque<Asked>>,
    recorded: Mutex<HashMap<String, Recorded>>,
    shelf: Shelf,
    open: AtomicUsize,
    hung_up: AtomicUsize,
    abandoned: AtomicUsize,
    embedded: AtomicUsize,
    released: AtomicBool,
    out: AtomicBool,
    at_random: Mutex<AtRandom>,
}

/// How requests are answered.
#[derive(Clone, Copy, Default)]
enum Choice {
    /// As the question says.
    #[default]
    Scripted,
    /// At random, by this seed.
    Random(u64),
    /// Without faults, as [`recognize`] knows it.
    Plain,
}

/// Requests that are answered at random.
#[derive(Default)]
struct AtRandom {
    choice: Choice,
    /// How many requests there were with each question.
    numbers: HashMap<String, usize>,
    shown: Vec<Shown>,
}

impl Stub {
    /// Starts on a free loopback port.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts on an address.
    pub async fn start_on(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let server = tokio::spawn(serve(listener, seen.clone())).abort_handle();
        Ok(Self { addr, seen, server })
    }

    /// The URL to configure as the provider's base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// The number of requests with a script, which is given as in the question but without `stub:`. The empty string counts the
    /// requests without a script.
    pub fn calls(&self, script: &str) -> usize {
        self.seen.calls().get(script).copied().unwrap_or(0)
    }

    /// The number of all requests.
    pub fn total_calls(&self) -> usize {
        self.seen.calls().values().sum()
    }

    /// The number of answers in progress.
    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::Acquire)
    }

    /// The number of answers whose client hung up before they were complete.
    pub fn hung_up(&self) -> usize {
        self.seen.hung_up.load(Ordering::Acquire)
    }

    /// The number of kept answers that the client has had stopped.
    pub fn abandoned(&self) -> usize {
        self.seen.abandoned.load(Ordering::Acquire)
    }

    /// The number of texts that got a vector.
    pub fn embedded(&self) -> usize {
        self.seen.embedded.load(Ordering::Acquire)
    }

    /// The newest requests in the order in which they were received.
    pub fn requests(&self) -> Vec<Asked> {
        self.seen.requests().iter().cloned().collect()
    }

    /// Has this response sent to requests whose script is this name, instead of what a script says.
    pub fn record(&self, name: &str, response: Recorded) {
        self.seen.recorded.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), response);
    }

    /// Lets kept answers go on that stall.
    pub fn release(&self) {
        self.seen.released.store(true, Ordering::Release);
    }

    /// Answers requests at random from now on, in a way that depends on the seed, the question and how often it was asked; without
    /// faults if there is no seed. The answers are such that [`recognize`] knows them. The question is the last line of the last
    /// message, and names no script.
    pub fn answer_at_random(&self, seed: Option<u64>) {
        self.seen.at_random().choice = seed.map_or(Choice::Plain, Choice::Random);
    }

    /// The requests that were answered at random, in the order in which they were received.
    pub fn shown(&self) -> Vec<Shown> {
        self.seen.at_random().shown.clone()
    }

    /// Begins or ends an outage, during which every connection is closed without a response.
    pub fn set_out(&self, out: bool) {
        self.seen.out.store(out, Ordering::Release);
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Seen {
    fn calls(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_random(&self) -> MutexGuard<'_, AtRandom> {
        self.at_random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request. Returns how many there have been with its script, including this one.
    fn count(&self, script: &str, asked: Asked) -> usize {
        let mut requests = self.requests();
        if requests.len() == MAX_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(asked);
        let mut calls = self.calls();
        let calls = calls.entry(script.to_owned()).or_default();
        *calls += 1;
        *calls
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    // Dropping the task drops the connections too.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(talk(stream, seen.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the requests of one connection until either side closes it.
async fn talk(stream: TcpStream, seen: Arc<Seen>) {
    let Ok(mut connection) = Connection::new(stream) else { return };
    while let Ok(Some(request)) = connection.request().await {
        if seen.out.load(Ordering::Acquire) {
            return;
        }
        seen.open.fetch_add(1, Ordering::AcqRel);
        let after = answer(&mut connection, &seen, request).await;
        seen.open.fetch_sub(1, Ordering::AcqRel);
        match after {
            Ok(After::KeepOpen) => {}
            Ok(After::Close) => return,
            Err(_) => {
                seen.hung_up.fetch_add(1, Ordering::AcqRel);
                return;
            }
        }
    }
}

async fn answer(connection: &mut Connection, seen: &Seen, request: Request) -> io::Result<After> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let is_azure = path.starts_with("/openai/deployments/") && path.ends_with("/chat/completions");
    match (request.method.as_str(), path) {
        ("POST", "/v1/chat/completions" | "/v1/responses") => {}
        ("POST", _) if is_azure => {}
        ("POST", "/v1/embeddings") => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            if body["model"] == "slow" {
                connection.pause(Duration::from_secs(2)).await?;
            }
            let (status, answer, texts) = embeddings::answer(&body);
            seen.embedded.fetch_add(texts, Ordering::AcqRel);
            return send(connection, status, &answer).await;
        }
        ("GET", "/v1/models") => return models(connection, &request).await,
        ("POST", kept) if kept.starts_with("/v1/responses/") && kept.ends_with("/cancel") => {
            seen.abandoned.fetch_add(1, Ordering::AcqRel);
            return send(connection, 200, &json!({"object": "response", "status": "cancelled"})).await;
        }
        ("GET", kept) if kept.starts_with("/v1/responses/") => {
            return match seen.shelf.find(kept.trim_start_matches("/v1/responses/")) {
                // As OpenAI says of what was not begun as a stream, and of what was begun some minutes ago.
                Some(kept) if query == "stream=true" && !kept.is_streamed() => {
                    send(connection, 400, &json!({"error": {"message": "This response can no longer be streamed."}}))
                        .await
                }
                Some(kept) if query == "stream=true" => kept.play(connection, &seen.released).await,
                Some(kept) => kept.look(connection).await,
                None => send(connection, 404, &json!({"error": {"message": "Response not found."}})).await,
            };
        }
        _ => {
            let body = json!({"error": {"message": "Unknown request URL", "type": "invalid_request_error"}});
            return send(connection, 404, &body).await;
        }
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        let body = json!({"error": {"message": "The body is not JSON", "type": "invalid_request_error"}});
        return send(connection, 400, &body).await;
    };
    let name = script_name(&body).to_owned();
    let keeps = path == "/v1/responses";
    let choice = seen.at_random().choice;
    let (path, authorization, api_key) = (request.path, request.authorization, request.api_key);
    let asked = Asked { path, authorization, api_key, body };
    if !matches!(choice, Choice::Scripted) {
        return answer_at_random(connection, seen, choice, &asked).await;
    }
    let script = name.parse::<Script>();
    if keeps && let Ok(script) = &script {
        if let Some((status, body)) = script.demands.iter().find_map(|demand| demand.refusal(&asked.body)) {
            seen.count(&name, asked);
            return send(connection, status, &body).await;
        }
        let (kept, is_new) = seen.shelf.begin(script.clone(), request.idempotency_key.as_deref());
        let is_streamed = asked.body["stream"] == true;
        if is_new {
            seen.count(&name, asked);
        }
        if !is_streamed {
            return kept.look(connection).await;
        }
        return kept.play(connection, &seen.released).await;
    }
    let calls = seen.count(&name, asked.clone());
    let recorded = seen.recorded.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
    if let Some(recorded) = recorded {
        return recorded.play(connection).await;
    }
    match script {
        Ok(mut script) => {
            if script.times.is_some_and(|times| calls > times) {
                script.fault = Fault::None;
            }
            play(connection, &script, &asked, &mut Told::default()).await
        }
        // An unusual status without a code, so that a mistake in a test is not mistaken for a requested fault.
        Err(mistake) => send(connection, 418, &json!({"error": {"message": format!("stub:{name}: {mistake}")}})).await,
    }
}

/// Answers a request at random, and records what was sent.
async fn answer_at_random(
    connection: &mut Connection,
    seen: &Seen,
    choice: Choice,
    asked: &Asked,
) -> io::Result<After> {
    let question = random::question(&asked.body).to_owned();
    let (script, index) = {
        let mut at_random = seen.at_random();
        let number = at_random.numbers.entry(question.clone()).or_default();
        *number += 1;
        let number = *number;
        let (case, script) = match choice {
            Choice::Random(by) => random::choose(by, &question, number),
            Choice::Plain | Choice::Scripted => random::plain(&question, number),
        };
        let case = random::as_asked(case, &asked.body);
        let is_refused = script.demands.iter().any(|demand| demand.refusal(&asked.body).is_some());
        at_random.shown.push(Shown::new(&question, number, case, is_refused));
        (script, at_random.shown.len() - 1)
    };
    let mut told = Told::default();
    let played = play(connection, &script, asked, &mut told).await;
    seen.at_random().shown[index].note(&script, told, played.is_ok());
    played
}

/// Lists the only model, unless the request has the key that counts as wrong.
async fn models(connection: &mut Connection, request: &Request) -> io::Result<After> {
    if request.authorization.as_deref() == Some("Bearer wrong-key") {
        let error = json!({"message": "Incorrect API key provided: wrong-key", "code": "invalid_api_key"});
        return send(connection, 401, &json!({ "error": error })).await;
    }
    send(connection, 200, &json!({"object": "list", "data": [{"id": "stub", "object": "model"}]})).await
}

async fn send(connection: &mut Connection, status: u16, body: &Value) -> io::Result<After> {
    connection.send(status, &[("content-type", "application/json")], body.to_string().as_bytes()).await?;
    Ok(After::KeepOpen)
}

/// The script that a request names in its last user message, or else as its model.
fn script_name(body: &Value) -> &str {
    let messages = body["messages"].as_array().or(body["input"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let question = messages.iter().rev().find(|message| message["role"] == "user");
    let words = question.and_then(|message| message["content"].as_str()).unwrap_or_default().split_whitespace();
    words.chain(body["model"].as_str()).find_map(|word| word.strip_prefix("stub:")).unwrap_or_default()
}
