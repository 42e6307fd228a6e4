//! OpenAI's Responses API: answers that the provider writes on its own and keeps, so that they can be read again.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer::After;
use crate::demand::Demand;
use crate::fault::Fault;
use crate::script::Script;
use crate::wire::Connection;

/// How often is checked whether an answer that stalls may go on.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// An answer that is being written, or has been.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    id: String,
    script: Script,
    since: Instant,
}

/// All answers.
#[derive(Default)]
pub(crate) struct Shelf {
    kept: Mutex<HashMap<String, Kept>>,
    /// Names of answers by the keys of the requests for them.
    by_key: Mutex<HashMap<String, String>>,
}

impl Shelf {
    /// Begins an answer. A request with the key of an earlier one gets its answer. Returns whether it is a new one.
    pub(crate) fn begin(&self, script: Script, key: Option<&str>) -> (Kept, bool) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = key.and_then(|key| by_key.get(key)).and_then(|id| self.find(id)) {
            return (kept, false);
        }
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("resp_{}", all.len() + 1);
        if let Some(key) = key {
            by_key.insert(key.to_owned(), id.clone());
        }
        let kept = Kept { id: id.clone(), script, since: Instant::now() };
        all.insert(id, kept.clone());
        (kept, true)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

impl Kept {
    /// Sends what is written so far, and then the rest while it is being written.
    pub(crate) async fn play(&self, connection: &mut Connection, is_released: &AtomicBool) -> io::Result<After> {
        connection.begin(&[("content-type", "text/event-stream")]).await?;
        self.event(connection, "response.created", &json!({"response": self.response("queued")})).await?;
        for n in 0..self.script.words {
            while self.script.fault == Fault::Stall
                && n >= self.script.pieces_before_fault()
                && !is_released.load(Ordering::Acquire)
            {
                connection.pause(POLL_INTERVAL).await?;
            }
            let due = self.since + self.script.first + self.script.gap * u32::try_from(n).unwrap_or(u32::MAX);
            connection.pause(due.saturating_duration_since(Instant::now())).await?;
            self.event(connection, "response.output_text.delta", &json!({"delta": self.script.piece(n)})).await?;
        }
        let status = if self.script.fault == Fault::Error { "failed" } else { "completed" };
        self.event(connection, &format!("response.{status}"), &json!({"response": self.response(status)})).await?;
        connection.end().await?;
        Ok(After::KeepOpen)
    }

    /// Sends the answer as an object, as far as it is written.
    pub(crate) async fn look(&self, connection: &mut Connection) -> io::Result<After> {
        let words = u32::try_from(self.script.words).unwrap_or(u32::MAX);
        let is_written = self.since.elapsed() >= self.script.first + self.script.gap * words;
        let mut response = self.response(if is_written { "completed" } else { "in_progress" });
        if is_written {
            let content = json!([{"type": "output_text", "text": self.script.answer()}]);
            response["output"] = json!([{"type": "message", "content": content}]);
        }
        connection.send(200, &[("content-type", "application/json")], response.to_string().as_bytes()).await?;
        Ok(After::KeepOpen)
    }

    /// Whether it can be read while it is written.
    pub(crate) fn is_streamed(&self) -> bool {
        !self.script.demands.contains(&Demand::NoStreaming)
    }

    fn response(&self, status: &str) -> Value {
        let mut response = json!({"id": self.id, "object": "response", "status": status, "output": []});
        if status == "completed" {
            response["usage"] = json!({"input_tokens": 10, "output_tokens": self.script.words});
        }
        if status == "failed" {
            response["error"] = json!({"code": "server_error", "message": "The model failed."});
        }
        response
    }

    async fn event(&self, connection: &mut Connection, kind: &str, data: &Value) -> io::Result<()> {
        let mut data = data.clone();
        data["type"] = json!(kind);
        connection.piece(format!("event: {kind}\ndata: {data}\n\n").as_bytes(), self.script.write).await
    }
}
