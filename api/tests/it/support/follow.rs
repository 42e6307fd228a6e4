//! Reads a stream of server-sent events as they arrive.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;

use super::call::Bytes;
use super::contract;

/// How long to wait for an event before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// The id.
    pub(crate) id: String,
    /// The name.
    pub(crate) name: String,
    /// The data.
    pub(crate) data: Value,
}

/// An open stream. Dropping it disconnects the reader.
pub(crate) struct Follow {
    body: Bytes,
    received: Vec<u8>,
    /// The pointer to the schema of the events' data in the document.
    schema: String,
    /// The reconnection time that was sent last.
    pub(crate) retry: Option<u64>,
}

impl Follow {
    pub(super) fn new(body: Bytes, schema: String) -> Self {
        Self { body, received: Vec::new(), schema, retry: None }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("no event came")
    }

    /// The next event, which must have that name.
    #[track_caller]
    pub(crate) fn expect(&mut self, name: &str) -> impl Future<Output = Event> {
        let (caller, name) = (std::panic::Location::caller(), name.to_owned());
        async move {
            let event = self.next().await.unwrap_or_else(|| panic!("{caller}: the stream ended before `{name}`"));
            assert_eq!(event.name, name, "{caller}: {event:?}");
            event
        }
    }

    /// All events until the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.received.windows(2).position(|bytes| bytes == b"\n\n") {
                let block: Vec<u8> = self.received.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("events are text");
                if let Some(event) = self.parse(&block) {
                    return Some(event);
                }
            }
            let Some(bytes) = self.body.next().await else {
                assert!(self.received.is_empty(), "the stream ended in the middle of an event");
                return None;
            };
            self.received.extend(bytes.expect("the stream is not cut"));
        }
    }

    /// Parses the event of a block, unless the block is a comment or a reconnection time.
    fn parse(&mut self, block: &str) -> Option<Event> {
        let (mut id, mut name, mut data) = (None, None, None);
        for line in block.trim_end().lines() {
            match line.split_once(':').unwrap_or((line, "")) {
                ("", _) => {}
                ("id", value) => id = Some(value.trim_start().to_owned()),
                ("event", value) => name = Some(value.trim_start().to_owned()),
                ("data", value) => assert!(data.replace(value.trim_start().to_owned()).is_none(), "{block}"),
                ("retry", value) => self.retry = Some(value.trim_start().parse().unwrap()),
                _ => panic!("{line:?} is no field of an event"),
            }
        }
        let data: Value = serde_json::from_str(&data?).unwrap();
        contract::check(&self.schema, &data, "an event");
        contract::check_times(&data, "an event");
        let event = Event { id: id.unwrap(), name: name.unwrap(), data };
        assert_eq!(event.name, event.data["type"], "the name is the type");
        Some(event)
    }
}

/// Fails unless all events of a complete stream match the schema.
pub(super) async fn check_events(text: String, schema: String) {
    let body = futures_util::stream::iter([Ok(text.into_bytes())]).boxed();
    Follow::new(body, schema).rest().await;
}

/// What a reader has assembled from the events that it received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// The text.
    pub(crate) text: String,
    /// The id of the last event.
    pub(crate) last_id: Option<String>,
    /// The last event, if the reply is in its final state.
    pub(crate) over: Option<Event>,
}

impl Reading {
    /// Processes an event as a reader does.
    pub(crate) fn take(&mut self, event: Event) {
        assert!(self.over.is_none(), "{event:?} after the end");
        self.last_id = Some(event.id.clone());
        match event.name.as_str() {
            "chunk" => self.text += event.data["text"].as_str().unwrap(),
            "restart" => self.text.clear(),
            _ => self.over = Some(event),
        }
    }
}
