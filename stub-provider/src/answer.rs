//! Answers a request according to its script.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::dialect::Dialect;
use crate::fault::Fault;
use crate::script::{Script, word};
use crate::wire::Connection;

/// How often comments are sent that keep the connection open.
const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(50);

/// Whether the connection can be reused.
pub(crate) enum After {
    KeepOpen,
    Close,
}

/// What a client was told, as far as it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Whether the request was accepted: the status was that of a success.
    pub(crate) is_accepted: bool,
    /// How many pieces of the answer were sent.
    pub(crate) pieces: usize,
    /// The tokens of the request and of the answer.
    pub(crate) usage: Option<(usize, usize)>,
}

/// Answers a request according to its script, and notes in `told` what was sent.
pub(crate) async fn play(
    connection: &mut Connection,
    script: &Script,
    asked: &Asked,
    told: &mut Told,
) -> io::Result<After> {
    let request = &asked.body;
    connection.pause(script.headers).await?;
    if let Some((status, body)) = script.demands.iter().find_map(|demand| demand.refusal(request)) {
        return refuse(connection, script, status, &body).await;
    }
    let retry_after = script.retry_after.as_deref().map(|value| ("retry-after", value));
    match script.fault {
        Fault::HangUp => return Ok(After::Close),
        Fault::Redirect => connection.send(307, &[("location", "http://127.0.0.1:9/elsewhere")], b"").await?,
        Fault::Html => {
            connection.send(200, &[("content-type", "text/html")], b"<html>Welcome</html>").await?;
            told.is_accepted = true;
        }
        Fault::Status(_) | Fault::Quota | Fault::Context | Fault::Flagged | Fault::Model | Fault::Error200 => {
            let (status, body) = script.dialect.error(script.fault, asked.authorization.as_deref().unwrap_or_default());
            if script.accepts {
                told.is_accepted = true;
                return refuse(connection, script, status, &body).await;
            }
            let status = if script.fault == Fault::Error200 { 200 } else { status };
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(retry_after);
            connection.send(status, &headers, body.to_string().as_bytes()).await?;
            told.is_accepted = status == 200;
        }
        _ if script.fault == Fault::Json || request["stream"] != true => {
            let body = whole(script, request).to_string();
            connection.send(200, &[("content-type", "application/json")], body.as_bytes()).await?;
            *told =
                Told { is_accepted: true, pieces: script.words, usage: Some(tokens(script, request, script.words)) };
        }
        _ => return Stream { connection, script, model: model(request).to_owned(), told }.play(request).await,
    }
    Ok(After::KeepOpen)
}

/// Refuses a request: with a status, or in place of the answer if every request is accepted.
async fn refuse(connection: &mut Connection, script: &Script, status: u16, body: &Value) -> io::Result<After> {
    let (status, kind, text) = if script.accepts {
        (200, "text/event-stream", format!("data: {body}\n\n"))
    } else {
        (status, "application/json", body.to_string())
    };
    connection.send(status, &[("content-type", kind)], text.as_bytes()).await?;
    Ok(After::KeepOpen)
}

fn model(request: &Value) -> &str {
    request["model"].as_str().unwrap_or("stub")
}

/// The answer as a single object.
fn whole(script: &Script, request: &Value) -> Value {
    json!({
        "id": "chatcmpl-stub", "object": "chat.completion", "created": 1, "model": model(request),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": script.answer()}, "finish_reason": "stop"}],
        "usage": usage(tokens(script, request, script.words)),
    })
}

/// Counts a token for every four characters of the request, and one for each piece of the answer and of thoughts.
fn tokens(script: &Script, request: &Value, pieces: usize) -> (usize, usize) {
    let prompt: usize = request["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|message| message["content"].as_str().unwrap_or_default().chars().count() / 4)
        .sum();
    (prompt, script.think + pieces)
}

fn usage((prompt, completion): (usize, usize)) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// A streamed answer.
struct Stream<'a> {
    connection: &'a mut Connection,
    script: &'a Script,
    model: String,
    told: &'a mut Told,
}

impl Stream<'_> {
    async fn play(mut self, request: &Value) -> io::Result<After> {
        let content_type = self.script.content_type.as_deref().unwrap_or("text/event-stream; charset=utf-8");
        let headers = [("content-type", content_type)];
        self.connection.begin(if content_type.is_empty() { &[] } else { &headers }).await?;
        self.told.is_accepted = true;
        if self.script.dialect == Dialect::OpenRouter {
            self.raw(b": OPENROUTER PROCESSING\n\n").await?;
        }
        self.connection.pause(self.script.first).await?;
        for _ in 0..self.script.alive {
            self.connection.pause(KEEPALIVE_INTERVAL).await?;
            self.raw(b": still here\n\n").await?;
        }
        let opening = if self.script.dialect == Dialect::LlamaCpp { Value::Null } else { json!("") };
        self.piece(&json!({"role": "assistant", "content": opening}), None).await?;
        self.think().await?;
        let (words, fails) = self.words();
        for n in 0..words {
            self.between(n).await?;
            self.piece(&self.delta(&self.script.piece(n)), None).await?;
            self.told.pieces = n + 1;
        }
        if fails {
            self.connection.pause(self.script.gap).await?;
            return self.fail().await;
        }
        self.close(request).await
    }

    async fn think(&mut self) -> io::Result<()> {
        let tags = self.script.tags && self.script.think > 0;
        if tags {
            self.piece(&self.delta("<think>"), None).await?;
        }
        for n in 0..self.script.think {
            self.between(n).await?;
            let delta = if tags { self.delta(&word(n)) } else { json!({"reasoning_content": word(n)}) };
            self.piece(&delta, None).await?;
        }
        if tags {
            self.piece(&self.delta("</think>\n\n"), None).await?;
        }
        Ok(())
    }

    /// How many words are sent, and whether the fault follows instead of the end.
    fn words(&self) -> (usize, bool) {
        match self.script.fault {
            Fault::Empty | Fault::Refusal => (0, false),
            Fault::Length => (self.script.at.unwrap_or(self.script.words), false),
            Fault::None | Fault::NoDone | Fault::NoReason | Fault::LateError => (self.script.words, false),
            Fault::Filter => (self.script.pieces_before_fault(), false),
            _ => (self.script.pieces_before_fault(), true),
        }
    }

    async fn between(&mut self, n: usize) -> io::Result<()> {
        if n > 0 { self.connection.pause(self.script.gap).await } else { Ok(()) }
    }

    fn delta(&self, text: &str) -> Value {
        if self.script.parts {
            return json!({"content": [{"type": "text", "text": text}]});
        }
        match self.script.dialect {
            Dialect::Ollama => json!({"role": "assistant", "content": text}),
            _ => json!({"content": text}),
        }
    }

    /// Sends the fault of a stream.
    async fn fail(&mut self) -> io::Result<After> {
        match self.script.fault {
            Fault::Disconnect => {
                let frame = self.frame(&json!({"content": "never seen"}), None);
                self.connection.broken_piece(format!("data: {frame}\n\n").as_bytes()).await?;
                return Ok(After::Close);
            }
            Fault::Stall => loop {
                self.connection.pause(Duration::from_hours(1)).await?;
            },
            Fault::Keepalive => loop {
                self.connection.pause(KEEPALIVE_INTERVAL).await?;
                self.raw(b": still here\n\n").await?;
            },
            Fault::Line => loop {
                self.raw(&vec![b'x'; 64 * 1024]).await?;
            },
            Fault::Garbage => self.raw(b"data: {\"choices\": [{\"delta\": {\"cont\n\n").await?,
            Fault::Bytes => self.raw(b"data: {\"choices\": [{\"delta\": {\"content\": \"\xff\xfe\"}}]}\n\n").await?,
            Fault::Error | Fault::Overloaded => {
                let error = self.script.dialect.stream_error(self.script.fault, &self.model);
                self.raw(format!("data: {error}\n\n").as_bytes()).await?;
                self.raw(b"data: [DONE]\n\n").await?;
            }
            Fault::End => {}
            fault => return Err(io::Error::other(format!("{fault:?} is not a fault of a stream"))),
        }
        self.connection.end().await?;
        Ok(After::KeepOpen)
    }

    /// Ends an answer regularly.
    async fn close(&mut self, request: &Value) -> io::Result<After> {
        if self.script.fault == Fault::Refusal {
            self.piece(&json!({"refusal": "I'm sorry, I can't help with that."}), None).await?;
        }
        let reason = match self.script.fault {
            Fault::Length => Some("length"),
            Fault::Filter => Some("content_filter"),
            Fault::NoReason => None,
            _ => Some("stop"),
        };
        if reason.is_some() {
            self.piece(&json!({}), reason).await?;
        }
        if self.script.fault == Fault::LateError {
            let error = self.script.dialect.stream_error(self.script.fault, &self.model);
            self.raw(format!("data: {error}\n\n").as_bytes()).await?;
        }
        if self.script.fault != Fault::NoDone {
            // Who has sent an error says no more than the end.
            let counts = self.script.fault != Fault::LateError;
            if counts && request["stream_options"]["include_usage"] == json!(true) {
                let tokens = tokens(self.script, request, self.told.pieces);
                let frame = json!({
                    "id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 1, "model": self.model,
                    "choices": [], "usage": usage(tokens),
                });
                self.raw(format!("data: {frame}\n\n").as_bytes()).await?;
                self.told.usage = Some(tokens);
            }
            self.raw(b"data: [DONE]\n\n").await?;
        }
        self.connection.end().await?;
        Ok(After::KeepOpen)
    }

    async fn piece(&mut self, delta: &Value, reason: Option<&str>) -> io::Result<()> {
        let frame = self.frame(delta, reason);
        self.raw(format!("data: {frame}\n\n").as_bytes()).await
    }

    async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.piece(bytes, self.script.write).await
    }

    fn frame(&self, delta: &Value, reason: Option<&str>) -> Value {
        let mut frame = json!({
            "id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 1, "model": self.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        });
        match self.script.dialect {
            Dialect::OpenAi => frame["service_tier"] = json!("default"),
            Dialect::OpenRouter => frame["provider"] = json!("Stub"),
            Dialect::Ollama => frame["system_fingerprint"] = json!("fp_ollama"),
            Dialect::LlamaCpp if reason.is_some() => frame["timings"] = json!({"predicted_n": self.script.words}),
            Dialect::Vllm | Dialect::LlamaCpp => {}
        }
        frame
    }
}
