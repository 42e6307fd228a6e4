//! Streams replies, and the events of users, to many readers at once.
//!
//! ```text
//! cairn_readers ──LISTEN──▶ listener ──wake──▶ readers ──positions──▶ batcher ──one statement for many──▶ rows
//!  (ids only)                                     └── events ──▶ the connection, as fast as it accepts them
//! ```
//!
//! Only its position is kept for a reader. A slow reader reads from the database at its own pace, and a reader may reconnect
//! to any process. Notifications only say when to read, so a lost one costs little time: every reader polls as well, which is
//! also how it notices that its session has ended.

mod listener;
mod reader;
mod registry;
pub mod replies;
pub mod user_events;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::actor::Caller;
use cairn_core::batcher::Batcher;
use cairn_core::db::{Db, Purpose};
use cairn_core::stream::Continuation;
use cairn_core::tools::stream::{self, Position};
use cairn_core::users::events;
use cairn_core::users::tokens::TokenSubject;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use poem::web::sse::Event;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use self::reader::{Read, Reader};
pub use self::registry::Limits;
use self::registry::{Full, Registry, StreamGuard};
use crate::Problem;

/// Most readers that one statement reads for.
const READ_BATCH: usize = 64;

/// How long a statement that reads for streams may hold its connection.
const READ_LIMIT: Duration = Purpose::Requests.limits().hold;

/// Seconds after which a client should retry when there are too many streams.
const RETRY_AFTER: u64 = 5;

/// The streams of this process. Cheap to clone; its tasks end with the last clone.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    replies: Batcher<stream::ReadRequest, Read<stream::ReadRequest>>,
    user_events: Batcher<events::ReadRequest, Read<events::ReadRequest>>,
    stop: CancellationToken,
    _listener: DropGuard,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("open", &self.open_count()).finish_non_exhaustive()
    }
}

impl Streams {
    /// Streams from a database, on a separate connection, until `stop`: then all streams end and readers are told to
    /// reconnect. Listens on one more connection from when the first stream is opened.
    pub fn new(db: &Db, limits: Limits, stop: CancellationToken) -> Self {
        let registry = Arc::new(Registry::new(limits));
        let stop_listening = CancellationToken::new();
        tokio::spawn(listener::listen(db.direct_options(), registry.clone(), stop_listening.clone()));
        let db = db.share(1);
        let replies = Batcher::start(READ_BATCH, READ_LIMIT, {
            let db = db.clone();
            move |requests: Vec<stream::ReadRequest>| {
                let db = db.clone();
                async move { logged(read_replies(&db, &requests).await) }
            }
        });
        let user_events = Batcher::start(READ_BATCH, READ_LIMIT, move |requests: Vec<events::ReadRequest>| {
            let db = db.clone();
            async move { logged(read_user_events(&db, &requests).await) }
        });
        Self(Arc::new(Inner { registry, replies, user_events, stop, _listener: stop_listening.drop_guard() }))
    }

    /// How many streams are open.
    pub fn open_count(&self) -> usize {
        self.0.registry.open_count()
    }

    /// Whether the listener is connected. Without it, readers only poll, so text arrives later.
    pub fn is_listening(&self) -> bool {
        self.0.registry.is_listening()
    }

    /// Follows a reply of the caller from a position. There are no events if the reply is in its final state and the reader
    /// has everything.
    pub async fn follow_reply(
        &self,
        caller: &Caller,
        reply_id: Uuid,
        position: Position,
    ) -> Result<BoxStream<'static, Event>, Problem> {
        let guard = self.open(caller, reply_id)?;
        let request = stream::ReadRequest { reply_id, subject: subject(caller), position };
        let first = self.0.replies.run(request).await?.ok_or_else(Problem::reply_not_found)?;
        if first.next == Continuation::Finished && first.updates.is_empty() {
            return Ok(futures_util::stream::empty().boxed());
        }
        let reader = Reader::new(guard, request, first, self.0.replies.clone(), self.0.stop.clone());
        Ok(reader.into_events())
    }

    /// Follows the events of the caller from a position, or from now on.
    pub async fn follow_user(
        &self,
        caller: &Caller,
        position: Option<i64>,
    ) -> Result<BoxStream<'static, Event>, Problem> {
        let guard = self.open(caller, caller.user_id)?;
        let request = events::ReadRequest { subject: subject(caller), position };
        let first = self.0.user_events.run(request).await?.ok_or_else(Problem::unauthorized)?;
        let reader = Reader::new(guard, request, first, self.0.user_events.clone(), self.0.stop.clone());
        Ok(reader.into_events())
    }

    /// Opens a stream of the caller that follows a reply, or the events of a user.
    fn open(&self, caller: &Caller, followed: Uuid) -> Result<StreamGuard, Problem> {
        self.0.registry.open(caller.user_id, followed).map_err(|full| match full {
            Full::User(limit) => Problem::too_many_streams()
                .detail(format!("At most {limit} streams can be open at once. Close one."))
                .retry_after(RETRY_AFTER),
            Full::Process => Problem::unavailable().retry_after(RETRY_AFTER),
        })
    }
}

fn subject(caller: &Caller) -> TokenSubject {
    TokenSubject { user_id: caller.user_id, session_id: caller.session_id }
}

async fn read_replies(db: &Db, requests: &[stream::ReadRequest]) -> cairn_core::Result<Vec<Read<stream::ReadRequest>>> {
    stream::read(&mut *db.acquire().await?, requests, db.clock().now()).await
}

async fn read_user_events(
    db: &Db,
    requests: &[events::ReadRequest],
) -> cairn_core::Result<Vec<Read<events::ReadRequest>>> {
    events::read(&mut *db.acquire().await?, requests, db.clock().now()).await
}

/// Logs the error of a read for a batch of readers, once for all of them.
fn logged<T>(result: cairn_core::Result<T>) -> cairn_core::Result<T> {
    if let Err(error) = &result {
        tracing::warn!(error = %error, "cannot read for streams; their readers will try again");
    }
    result
}
