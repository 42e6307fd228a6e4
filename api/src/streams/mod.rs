//! Replies, streamed to many readers at once.
//!
//! ```text
//! cairn_replies ──LISTEN──▶ ears ──wake──▶ readers ──positions──▶ batcher ──one statement for many──▶ rows
//!  (ids only)                                  └── events ──▶ the connection, as fast as it takes them
//! ```
//!
//! Nothing is kept for a reader but its position: one that lags reads from the database at its own pace, one that comes
//! back does so on any process. Announcements only say when to look, so a lost one costs a moment: every reader looks
//! again after a moment anyway, which is also how it learns that its session has ended.

mod ears;
mod reader;
mod registry;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::actor::Caller;
use cairn_core::batcher::Batcher;
use cairn_core::db::Db;
use cairn_core::tools::stream::{self, Next, Position, Step, Wanted};
use cairn_core::users::tokens::TokenSubject;
use futures_util::stream::BoxStream;
use poem::web::sse::Event;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use self::reader::Reader;
use self::registry::{Full, Registry};
use crate::Problem;

/// After so long a reader looks by itself, while announcements are heard, and while they are not.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_DEAF: Duration = Duration::from_millis(500);

/// Most readers whose next step one statement reads.
const GROUP: usize = 64;

/// Seconds after which it makes sense to try again when there are too many streams.
const RETRY_AFTER: u64 = 5;

/// How many streams may be open in this process.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub total: usize,
    /// By one user.
    pub per_user: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 2000, per_user: 8 }
    }
}

/// The streams of this process. Cheap to clone; what runs for them ends with the last clone.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    reads: Batcher<Wanted, Option<Step>>,
    stop: CancellationToken,
    _ears: DropGuard,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("open", &self.open_count()).finish_non_exhaustive()
    }
}

/// What somebody who wants to follow a reply gets.
pub enum Following {
    /// What there is, and what comes.
    Events(BoxStream<'static, Event>),
    /// They have everything already.
    Nothing,
}

impl Streams {
    /// Streams over a database, on a connection of their own, until `stop`: then all end, and readers are told to come
    /// back. Listens, on one more connection, from when the first is opened.
    pub fn new(db: &Db, limits: Limits, stop: CancellationToken) -> Self {
        let registry = Arc::new(Registry::new(limits));
        let reads = Batcher::start(GROUP, {
            let db = db.share(1);
            move |wanted: Vec<Wanted>| {
                let db = db.clone();
                async move { read(&db, &wanted).await }
            }
        });
        let ears = CancellationToken::new();
        tokio::spawn(ears::listen(db.direct_options(), registry.clone(), ears.clone()));
        Self(Arc::new(Inner { registry, reads, stop, _ears: ears.drop_guard() }))
    }

    /// How many are open.
    pub fn open_count(&self) -> usize {
        self.0.registry.open_count()
    }

    /// Whether announcements are heard. Without them readers look by themselves, so text comes later.
    pub fn hears(&self) -> bool {
        self.0.registry.hears()
    }

    /// Follows a reply of the caller from a position on.
    pub async fn follow(&self, caller: &Caller, reply_id: Uuid, position: Position) -> Result<Following, Problem> {
        let seat = self.0.registry.enter(caller.user_id, reply_id).map_err(|full| match full {
            Full::User(limit) => Problem::too_many_streams()
                .detail(format!("At most {limit} streams can be open at once. Close one."))
                .retry_after(RETRY_AFTER),
            Full::Process => Problem::unavailable().retry_after(RETRY_AFTER),
        })?;
        let subject = TokenSubject { user_id: caller.user_id, session_id: caller.session_id };
        let wanted = Wanted { reply_id, subject, position };
        let step = self.0.reads.run(wanted).await?.ok_or_else(Problem::reply_not_found)?;
        if step.next == Next::Over && step.news.is_empty() {
            return Ok(Following::Nothing);
        }
        let reader = Reader::new(seat, wanted, step, self.0.reads.clone(), self.0.stop.clone());
        Ok(Following::Events(reader.into_events()))
    }
}

/// Logged here, once for all readers of the group.
async fn read(db: &Db, wanted: &[Wanted]) -> cairn_core::Result<Vec<Option<Step>>> {
    let steps = async { stream::read(&mut *db.pool().acquire().await?, wanted, db.clock().now()).await };
    let steps = steps.await;
    if let Err(error) = &steps {
        tracing::warn!(error = %error, readers = wanted.len(), "replies could not be read; their readers try again");
    }
    steps
}
