//! What every job can use.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::activity::{self, Event};
use cairn_core::batcher::Batcher;
use cairn_core::db::Db;
use cairn_core::learning::rollup::{self, Pair};
use tokio_util::sync::CancellationToken;

use crate::metrics::ReplyMetrics;
use crate::providers::{Library, Provider};

/// Handed to each run. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub db: Db,
    /// Writes events in groups: one commit for all that wait.
    pub(crate) events: Batcher<Event, ()>,
    /// Rolls pairs up in groups; `true` = the pair rests, come back for it.
    pub(crate) rollups: Batcher<Pair, bool>,
    /// Writes replies.
    pub(crate) provider: Arc<Provider>,
    /// Counts what became of them, where somebody looks.
    pub(crate) reply_metrics: Option<ReplyMetrics>,
    /// Told when the worker is to stop. Most jobs are done long before it has to; a reply may not be.
    pub(crate) shutdown: CancellationToken,
}

/// Most events of one insert, and pairs of one rollup transaction: enough to share a commit, few enough that a learner
/// who acts meanwhile does not notice the lock on his marker.
const EVENTS: usize = 500;
const PAIRS: usize = 100;

impl Context {
    /// Starts the batchers on the current runtime. Replies are written by the built-in provider, at once, and nothing is
    /// told to stop, unless `answering` says otherwise.
    pub fn new(db: Db) -> Self {
        let events = Batcher::start(EVENTS, {
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
        let rollups = Batcher::start(PAIRS, {
            let db = db.clone();
            move |pairs: Vec<Pair>| {
                let db = db.clone();
                async move {
                    let mut tx = db.begin().await?;
                    let resting = rollup::roll_up(&mut tx, &pairs).await?;
                    tx.commit().await?;
                    Ok(pairs.iter().map(|pair| resting.contains(pair)).collect())
                }
            }
        });
        let provider = Arc::new(Provider::Library(Library { pause: Duration::ZERO }));
        Self { db, events, rollups, provider, reply_metrics: None, shutdown: CancellationToken::new() }
    }

    /// Has replies written by `provider`, counted, and handed over when `shutdown` says that the worker is to stop.
    #[must_use]
    pub(crate) fn answering(self, provider: Arc<Provider>, metrics: ReplyMetrics, shutdown: CancellationToken) -> Self {
        Self { provider, reply_metrics: Some(metrics), shutdown, ..self }
    }
}
