//! What every job handler has access to.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::activity::{self, Event};
use cairn_core::batcher::Batcher;
use cairn_core::db::{Db, Purpose};
use cairn_core::learning::rollup::{self, Pair, Skip};
use cairn_core::queue::Queue;
use cairn_core::queue::lease::Lease;
use cairn_core::{Error, Result, settings};
use prometheus::IntCounterVec;
use tokio_util::sync::CancellationToken;

use crate::embeddings::Meaning;
use crate::mail_hook::MailHook;
use crate::metrics::ReplyMetrics;
use crate::providers::{Library, Provider};

/// Passed to each run. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub db: Db,
    /// Writes events in batches, with one commit for all that are waiting. `true` means that the actor is locked and the event has
    /// to be tried again.
    pub(crate) events: Batcher<Event, bool>,
    /// Rolls pairs up in batches. `true` means that the pair is throttled or locked and has to be retried later.
    pub(crate) rollups: Batcher<Pair, bool>,
    /// The platform's settings.
    pub(crate) settings: Arc<settings::Cache>,
    /// Generates replies.
    pub(crate) provider: Arc<Provider>,
    /// Finds sources by their meaning; `None` to find them by their words alone.
    pub(crate) meaning: Option<Arc<Meaning>>,
    /// Sends mails; `None` to send none.
    pub(crate) mail: Option<Arc<MailHook>>,
    /// Counts how reply attempts ended; `None` in tests without an ops port.
    pub(crate) reply_metrics: Option<ReplyMetrics>,
    /// The lease of the job, which an attempt that costs money must still hold when it begins; `None` for other jobs.
    pub(crate) lease: Option<Arc<Lease>>,
    /// Counts jobs that were postponed, by queue and reason; `None` in tests without an ops port.
    pub(crate) postponed: Option<IntCounterVec>,
    /// Cancelled when the worker is told to stop. Most jobs end well within the drain limit; generating a reply may not.
    pub(crate) shutdown: CancellationToken,
}

/// Most events of one insert.
const EVENT_BATCH: usize = 500;

/// Most pairs of one rollup transaction: enough to share a commit, few enough that a learner who is active meanwhile does
/// not notice the lock on their marker.
const ROLLUP_BATCH: usize = 100;

/// How long a batch may hold a connection.
const BATCH_LIMIT: Duration = Purpose::Batches.limits().hold;

impl Context {
    /// Starts the batchers on the current runtime. Unless `with_replies` says otherwise, the built-in provider generates
    /// replies without delay, and shutdown is never requested.
    pub fn new(db: Db) -> Self {
        let events = Batcher::start(EVENT_BATCH, BATCH_LIMIT, {
            let db = db.clone();
            move |events: Vec<Event>| {
                let db = db.clone();
                async move {
                    let mut tx = db.begin().await?;
                    let blocked = activity::insert(&mut tx, &events).await?;
                    tx.commit().await?;
                    Ok(events.iter().map(|event| event.actor_id.is_some_and(|id| blocked.contains(&id))).collect())
                }
            }
        });
        let rollups = Batcher::start(ROLLUP_BATCH, BATCH_LIMIT, {
            let db = db.clone();
            move |pairs: Vec<Pair>| {
                let db = db.clone();
                async move {
                    let mut deferred = roll_up(&db, &pairs, Skip::Markers).await;
                    if deferred.as_ref().is_err_and(Error::is_blocked) {
                        deferred = roll_up(&db, &pairs, Skip::All).await;
                    }
                    let deferred = deferred?;
                    Ok(pairs.iter().map(|pair| deferred.contains(pair)).collect())
                }
            }
        });
        let provider = Arc::new(Provider::Library(Library { pause: Duration::ZERO }));
        let (mail, meaning, reply_metrics, postponed, lease) = (None, None, None, None, None);
        let shutdown = CancellationToken::new();
        let settings = Arc::default();
        Self { db, events, rollups, settings, provider, meaning, mail, reply_metrics, lease, postponed, shutdown }
    }

    /// Has sources found by their meaning as well.
    #[must_use]
    pub(crate) fn with_meaning(self, meaning: Option<Arc<Meaning>>) -> Self {
        Self { meaning, ..self }
    }

    /// Has this hook send mails.
    #[must_use]
    pub(crate) fn with_mail(self, mail: Option<Arc<MailHook>>) -> Self {
        Self { mail, ..self }
    }

    /// The context of a run under this lease.
    #[must_use]
    pub(crate) fn under(self, queue: Queue, lease: &Lease) -> Self {
        Self { lease: (queue == Queue::Replies).then(|| Arc::new(lease.clone())), ..self }
    }

    /// Has postponed jobs counted.
    #[must_use]
    pub(crate) fn counting(self, postponed: IntCounterVec) -> Self {
        Self { postponed: Some(postponed), ..self }
    }

    /// Has `provider` generate replies, `metrics` count them, and `shutdown` interrupt them.
    #[must_use]
    pub(crate) fn with_replies(
        self,
        provider: Arc<Provider>,
        metrics: ReplyMetrics,
        shutdown: CancellationToken,
    ) -> Self {
        Self { provider, reply_metrics: Some(metrics), shutdown, ..self }
    }
}

/// Rolls pairs up in a transaction. Returns those that have to be tried again.
async fn roll_up(db: &Db, pairs: &[Pair], skip: Skip) -> Result<Vec<Pair>> {
    let mut tx = db.begin().await?;
    let deferred = rollup::roll_up(&mut tx, pairs, skip).await?;
    tx.commit().await?;
    Ok(deferred)
}
