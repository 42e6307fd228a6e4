//! One reader of a reply.

use std::collections::VecDeque;

use cairn_core::batcher::Batcher;
use cairn_core::clock::new_id;
use cairn_core::tools::stream::{Next, Step, Wanted};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use poem::web::sse::Event;
use tokio_util::sync::CancellationToken;

use super::registry::Seat;
use super::{PATIENCE, PATIENCE_DEAF};
use crate::routes::tools::stream::ReplyEvent;

/// Milliseconds after which a client comes back that has lost its stream.
const RECONNECT: u64 = 1000;

pub(super) struct Reader {
    seat: Seat,
    wanted: Wanted,
    /// Read and not yet sent.
    events: VecDeque<Event>,
    next: Next,
    reads: Batcher<Wanted, Option<Step>>,
    stop: CancellationToken,
}

impl Reader {
    pub(super) fn new(
        seat: Seat,
        wanted: Wanted,
        first: Step,
        reads: Batcher<Wanted, Option<Step>>,
        stop: CancellationToken,
    ) -> Self {
        let events = VecDeque::from([Event::retry(RECONNECT)]);
        let mut reader = Self { seat, wanted, events, next: Next::Wait, reads, stop };
        reader.take(first);
        reader
    }

    /// The events in order. More are read only when those before have been taken.
    pub(super) fn into_events(self) -> BoxStream<'static, Event> {
        stream::unfold(self, async |mut reader| reader.next_event().await.map(|event| (event, reader))).boxed()
    }

    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match self.next {
                Next::Over => return None,
                Next::Wait => self.wait().await,
                Next::Read => {}
            }
            if self.stop.is_cancelled() {
                self.next = Next::Over;
                // Not all at the same moment.
                let spread = u64::from(new_id().as_bytes()[15]) * 8;
                return Some(Event::retry(RECONNECT / 2 + spread));
            }
            match self.reads.run(self.wanted).await {
                Ok(Some(step)) => self.take(step),
                // The reply or the session is gone: whoever comes back is told.
                Ok(None) => self.next = Next::Over,
                // Logged by who read for all.
                Err(_) => self.next = Next::Wait,
            }
        }
    }

    fn take(&mut self, step: Step) {
        for (position, news) in step.news {
            self.wanted.position = position;
            self.events.push_back(ReplyEvent::from(news).into_event(position));
        }
        self.next = step.next;
    }

    async fn wait(&mut self) {
        let patience = if self.seat.registry.hears() { PATIENCE } else { PATIENCE_DEAF };
        tokio::select! {
            () = self.seat.woken() => {}
            () = tokio::time::sleep(patience) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
