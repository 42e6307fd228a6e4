//! What every job handler has access to.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::activity::{self, Event};
use cairn_core::batcher::Batcher;
use cairn_core::db::Db;
use cairn_core::learning::rollup::{self, Pair};
use prometheus::IntCounterVec;
use tokio_util::sync::CancellationToken;

use crate::mail_hook::MailHook;
use crate::metrics::ReplyMetrics;
use crate::providers::{Library, Provider};

/// Passed to each run. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub db: Db,
    /// Writes events in batches, with one commit for all that are waiting.
    pub(crate) events: Batcher<Event, ()>,
    /// Rolls pairs up in batches. `true` means that the pair is throttled and has to be retried later.
    pub(crate) rollups: Batcher<Pair, bool>,
    /// Generates replies.
    pub(crate) provider: Arc<Provider>,
    /// Sends mails; `None` to send none.
    pub(crate) mail: Option<Arc<MailHook>>,
    /// Counts how reply attempts ended; `None` in tests without an ops port.
    pub(crate) reply_metrics: Option<ReplyMetrics>,
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

impl Context {
    /// Starts the batchers on the current runtime. Unless `with_replies` says otherwise, the built-in provider generates
    /// replies without delay, and shutdown is never requested.
    pub fn new(db: Db) -> Self {
        let events = Batcher::start(EVENT_BATCH, {
            let db = db.clone();
            move |events: Vec<Event>| {
                let db = db.clone();
                async move {
                    let mut tx = db.begin().await?;
                    activity::insert(&mut tx, &events).await?;
                    tx.commit().await?;
                    Ok(vec![(); events.len()])
                }
            }
        });
        let rollups = Batcher::start(ROLLUP_BATCH, {
            let db = db.clone();
            move |pairs: Vec<Pair>| {
                let db = db.clone();
                async move {
                    let mut tx = db.begin().await?;
                    let throttled = rollup::roll_up(&mut tx, &pairs).await?;
                    tx.commit().await?;
                    Ok(pairs.iter().map(|pair| throttled.contains(pair)).collect())
                }
            }
        });
        let provider = Arc::new(Provider::Library(Library { pause: Duration::ZERO }));
        let (mail, reply_metrics, postponed, shutdown) = (None, None, None, CancellationToken::new());
        Self { db, events, rollups, provider, mail, reply_metrics, postponed, shutdown }
    }

    /// Has this hook send mails.
    #[must_use]
    pub(crate) fn with_mail(self, mail: Option<Arc<MailHook>>) -> Self {
        Self { mail, ..self }
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
