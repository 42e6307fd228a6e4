//! One reader of a stream.

use std::collections::VecDeque;
use std::time::Duration;

use cairn_core::batcher::Batcher;
use cairn_core::clock::new_id;
use cairn_core::stream::{Continuation, ReadResult};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use poem::web::sse::Event;
use tokio_util::sync::CancellationToken;

use super::registry::StreamGuard;

/// How often a reader polls while the listener is connected.
const POLL_WHEN_CONNECTED: Duration = Duration::from_secs(2);
/// How often a reader polls while the listener is disconnected.
const POLL_WHEN_DISCONNECTED: Duration = Duration::from_millis(500);

/// Milliseconds after which a client reconnects that has lost its stream.
const RECONNECT_AFTER: u64 = 1000;

/// What a reader asks for, with its position.
pub(super) trait Request: Copy + Send + Sync + 'static {
    /// How far a reader is.
    type Position: Copy + Send + 'static;
    /// What comes next.
    type Update: Send + 'static;

    /// Moves the reader to a position.
    fn advance(&mut self, position: Self::Position);

    /// The event for an update, with the position after it; `None` if the update only moves the reader.
    fn event(update: Self::Update, position: Self::Position) -> Option<Event>;
}

/// What one read finds for a reader; `None` if there is nothing that it may read.
pub(super) type Read<R> = Option<ReadResult<<R as Request>::Position, <R as Request>::Update>>;

pub(super) struct Reader<R: Request> {
    guard: StreamGuard,
    request: R,
    /// Events that have been read and not yet sent.
    events: VecDeque<Event>,
    next: Continuation,
    reads: Batcher<R, Read<R>>,
    stop: CancellationToken,
}

impl<R: Request> Reader<R> {
    pub(super) fn new(
        guard: StreamGuard,
        request: R,
        first: ReadResult<R::Position, R::Update>,
        reads: Batcher<R, Read<R>>,
        stop: CancellationToken,
    ) -> Self {
        let events = VecDeque::from([Event::retry(RECONNECT_AFTER)]);
        let mut reader = Self { guard, request, events, next: Continuation::Wait, reads, stop };
        reader.queue(first);
        reader
    }

    /// The events in order. Further events are read only once the earlier ones have been consumed.
    pub(super) fn into_events(self) -> BoxStream<'static, Event> {
        stream::unfold(self, async |mut reader| reader.next_event().await.map(|event| (event, reader))).boxed()
    }

    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match self.next {
                Continuation::Finished => return None,
                Continuation::Wait => self.wait().await,
                Continuation::Read => {}
            }
            if self.stop.is_cancelled() {
                self.next = Continuation::Finished;
                // Spread out, so that clients do not all reconnect at the same moment.
                let spread = u64::from(new_id().as_bytes()[15]) * 8;
                return Some(Event::retry(RECONNECT_AFTER / 2 + spread));
            }
            match self.reads.run(self.request).await {
                Ok(Some(result)) => self.queue(result),
                // What was followed or the session is gone. A client that reconnects gets the corresponding problem.
                Ok(None) => self.next = Continuation::Finished,
                // Logged by the batch.
                Err(_) => self.next = Continuation::Wait,
            }
        }
    }

    fn queue(&mut self, result: ReadResult<R::Position, R::Update>) {
        for (position, update) in result.updates {
            self.request.advance(position);
            self.events.extend(R::event(update, position));
        }
        self.next = result.next;
    }

    async fn wait(&mut self) {
        let poll = if self.guard.registry.is_listening() { POLL_WHEN_CONNECTED } else { POLL_WHEN_DISCONNECTED };
        tokio::select! {
            () = self.guard.woken() => {}
            () = tokio::time::sleep(poll) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
